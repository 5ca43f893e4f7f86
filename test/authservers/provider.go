package authservers

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// What a Provider knows.
const (
	Client       = "sender"
	ClientSecret = "client-Kw8vN2pRt6YxLd3F"
	User         = "jörg"
	Password     = "password-Zb5hQ9mGs4TcVe7J"
	Audience     = "https://receiver.example/" // for which tokens may be asked
)

// A Provider is an OAuth 2.0 provider with one client and one user.
type Provider struct {
	URL  string // base address
	stop func()
}

// The program is built once for the tests of a package.
var program struct {
	once sync.Once
	path string
	err  error
}

// StartProvider starts a Provider that ends with the test. The flags are those of
// its program.
func StartProvider(tb testing.TB, flags ...string) *Provider {
	tb.Helper()
	source := filepath.Join(repository(tb), "test/authservers/provider")
	program.once.Do(func() {
		program.path = filepath.Join(os.TempDir(), fmt.Sprintf("postrider-provider-%d", os.Getpid()))
		build := exec.Command("go", "build", "-trimpath", "-o", program.path, ".") //nolint:noctx // it serves all tests, so it ends with none of them
		build.Dir, build.Env = source, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
		if _, program.err = os.ReadDir(source); program.err != nil { // so that go test knows what its result depends on
			return
		}
		if out, err := build.CombinedOutput(); err != nil {
			program.err = fmt.Errorf("building the provider: %w; if the lines below speak of the network, check it and GOPROXY\n%s", err, out)
		}
	})
	if program.err != nil {
		tb.Fatal(program.err)
	}
	flags = append([]string{
		"-client", Client, "-client-secret", ClientSecret, "-user", User, "-password", Password, "-audience", Audience,
	}, flags...)
	cmd := exec.CommandContext(tb.Context(), program.path, flags...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	p := &Provider{stop: sync.OnceFunc(func() {
		_ = in.Close() // which ends it
		_ = cmd.Wait()
	})}
	tb.Cleanup(p.stop)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		tb.Fatalf("the provider has not begun: %v", err)
	}
	p.URL = strings.TrimSpace(line)
	return p
}

// Remove removes what was built for the tests of a package, after them.
func Remove() {
	if program.path != "" {
		_ = os.Remove(program.path) // a file that stays in the folder for temporary ones fails no test
	}
}

// Stop ends it.
func (p *Provider) Stop() { p.stop() }

// Grants is how many tokens it has given.
func (p *Provider) Grants(tb testing.TB) int {
	tb.Helper()
	n, err := strconv.Atoi(p.call(tb, http.MethodGet, "/grants", nil))
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// Revoke ends a token before its time.
func (p *Provider) Revoke(tb testing.TB, token string) {
	tb.Helper()
	p.call(tb, http.MethodPost, "/revoke", url.Values{"token": {token}})
}

// An Introspection is what it says of a token (RFC 7662).
type Introspection struct {
	Active   bool     `json:"active"`
	Scope    string   `json:"scope"`
	Client   string   `json:"client_id"`
	Username string   `json:"username"`
	Audience []string `json:"aud"`
}

// Introspect asks it about a token.
func (p *Provider) Introspect(tb testing.TB, token string) (i Introspection) {
	tb.Helper()
	if err := json.Unmarshal([]byte(p.call(tb, http.MethodPost, "/introspect", url.Values{"token": {token}})), &i); err != nil {
		tb.Fatal(err)
	}
	return i
}

func (p *Provider) call(tb testing.TB, method, path string, form url.Values) string {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, p.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(Client, ClientSecret)
	resp, err := (&http.Client{Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		tb.Fatalf("the provider answers %s to %s: %v\n%s", resp.Status, path, err, text)
	}
	return string(text)
}
