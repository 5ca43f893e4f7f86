package face

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	// maxHealth bounds a page of checks, in bytes.
	maxHealth = 64 << 10
	// healthTime bounds the wait for it: a dispatcher that is stuck still takes
	// connections.
	healthTime = 10 * time.Second
)

// A Check is a line of the readiness page.
type Check struct {
	Name string
	Mark byte // '+' all is well, '!' somebody should look, '-' it is not ready
	Says string
}

// Ready returns the checks of the admin listener at server, and the certificate that
// it shows, nil without TLS. client must not send anything of the user's.
func Ready(ctx context.Context, client *http.Client, server string) ([]Check, *x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(server, "/")+"/readyz", http.NoBody)
	if err != nil {
		return nil, nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, unreached(err)
	}
	defer resp.Body.Close()
	checks, err := parseChecks(io.LimitReader(resp.Body, maxHealth))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("the answer of the dispatcher broke off: %w", err)
	case len(checks) == 0:
		return nil, nil, fmt.Errorf("what listens there is no dispatcher: it answers %s to /readyz", resp.Status)
	}
	return checks, leaf(resp.TLS), nil
}

func leaf(state *tls.ConnectionState) *x509.Certificate {
	if state == nil || len(state.PeerCertificates) == 0 {
		return nil
	}
	return state.PeerCertificates[0]
}

// parseChecks reads lines like "[+]store: events can be stored".
func parseChecks(r io.Reader) ([]Check, error) {
	var checks []Check
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		name, says, ok := strings.Cut(line, ": ")
		if ok && len(name) > 3 && name[0] == '[' && name[2] == ']' {
			checks = append(checks, Check{Name: name[3:], Mark: name[1], Says: says})
		}
	}
	return checks, lines.Err()
}
