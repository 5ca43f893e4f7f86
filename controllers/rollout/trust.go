package rollout

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"
)

// Trust is how dispatchers are known that are asked over https.
type Trust struct {
	// Roots are the authorities of their certificates. They are asked for when a
	// connection begins, for they change, and may take as long as that. Nil means
	// those of the system.
	Roots func(context.Context) (*x509.CertPool, error)
	// ServerName is the name in the certificates of dispatchers that are known by
	// their IP addresses. When it is empty, the address has to be there.
	ServerName string
}

// maxRoots bounds what is read of a file of authorities, in bytes.
const maxRoots = 1 << 20

// RootsIn reads the authorities from a file in PEM, each time anew.
func RootsIn(file string) func(context.Context) (*x509.CertPool, error) {
	return func(context.Context) (*x509.CertPool, error) {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("reading --dispatcher-ca-file: %w", err)
		}
		defer f.Close() //nolint:errcheck // it was only read
		b, err := io.ReadAll(io.LimitReader(f, maxRoots))
		if err != nil {
			return nil, fmt.Errorf("reading --dispatcher-ca-file: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("--dispatcher-ca-file: there is no certificate in PEM in %s", file)
		}
		return pool, nil
	}
}

// dialTime bounds how long a connection, its handshake included, may take to be made.
const dialTime = 10 * time.Second

// transport is for one token and those dispatchers alone: no proxy.
func (t Trust) transport() *http.Transport {
	return &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: 2 * wait, DialTLSContext: t.dial}
}

func (t Trust) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	config.ServerName = host
	if _, err := netip.ParseAddr(host); err == nil && t.ServerName != "" {
		config.ServerName = t.ServerName
	}
	if t.Roots != nil {
		if config.RootCAs, err = t.Roots(ctx); err != nil {
			return nil, err
		}
	}
	return (&tls.Dialer{Config: config}).DialContext(ctx, network, address)
}
