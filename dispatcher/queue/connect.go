package queue

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Servers say how to reach a NATS cluster and how to prove who we are. Secrets
// are read from files, each time a connection is made, so that they may be
// renewed while the dispatcher runs.
type Servers struct {
	URLs []string // "nats://host:4222", "tls://host:4222"; some of the cluster are enough
	Name string   // of this dispatcher, as the servers list it

	// At most one of these ways; none when the servers ask for nothing, or for
	// the certificate alone.
	Credentials            string // file of a JWT and its key, as "nsc generate creds" writes it
	UserFile, PasswordFile string // files of a user name and a password
	TokenFile              string // file of a token

	CA        string // file of the authorities that sign the servers' certificates, in PEM
	Cert, Key string // files of our own certificate and its key, in PEM

	// Plaintext lets a password or a token travel without TLS to another machine.
	Plaintext bool

	Log *slog.Logger
}

const (
	// connectTimeout bounds one try to reach one server.
	connectTimeout = 5 * time.Second
	// connectPatience is how long a start waits for a server: they may be
	// starting at the same time.
	connectPatience = 30 * time.Second
	// reconnectWait lies between two tries to reach the same server again.
	reconnectWait = 250 * time.Millisecond
	// pingInterval finds a server that has gone without a word.
	pingInterval = 5 * time.Second
)

// Connect opens a connection that is made again, for as long as it takes,
// whenever it is lost. It returns an error when no server can be reached within
// half a minute, or when none lets us in.
func Connect(s Servers) (*nats.Conn, error) {
	opts, err := s.options()
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(connectPatience)
	for {
		nc, err := nats.Connect(strings.Join(s.URLs, ","), opts...)
		if err == nil {
			return nc, nil
		}
		if !unreachable(err) || time.Now().After(deadline) {
			return nil, fmt.Errorf("connecting to NATS at %s: %w", s.hosts(), err)
		}
		s.Log.Info("no NATS server can be reached yet, trying again", "servers", s.hosts(), "err", err)
		<-time.After(time.Second)
	}
}

// unreachable reports whether err may pass when a server has started.
func unreachable(err error) bool {
	return errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, os.ErrDeadlineExceeded)
}

// hosts are the servers for people to read.
func (s Servers) hosts() string {
	var hosts []string
	for _, text := range s.URLs {
		if u, err := url.Parse(text); err == nil {
			hosts = append(hosts, u.Host)
		}
	}
	return strings.Join(hosts, ", ")
}

func (s Servers) options() ([]nats.Option, error) {
	if err := s.checkURLs(); err != nil {
		return nil, err
	}
	opts := []nats.Option{
		nats.Name(s.Name), nats.Timeout(connectTimeout), nats.PingInterval(pingInterval), nats.MaxPingsOutstanding(2),
		nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait), nats.IgnoreAuthErrorAbort(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				s.Log.Warn("the connection to NATS is lost, trying again", "err", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			s.Log.Info("connected to NATS again", "server", nc.ConnectedUrlRedacted())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			s.Log.Warn("NATS reports an error", "err", err)
		}),
	}
	identity, err := s.identity()
	if err != nil {
		return nil, err
	}
	opts = append(append(opts, identity...), s.tls()...)
	if s.reveals() && !s.Plaintext {
		if err := s.checkLoopback(); err != nil {
			return nil, err
		}
		opts = append(opts, nats.IgnoreDiscoveredServers()) // which may be elsewhere
	}
	return opts, nil
}

// reveals reports whether a secret goes over the wire as it is. Credentials do
// not: they sign what the server asks.
func (s Servers) reveals() bool {
	encrypted := s.CA != "" || s.Cert != "" || slices.ContainsFunc(s.URLs, func(text string) bool {
		return strings.HasPrefix(strings.ToLower(text), "tls:") // one of them has all encrypted
	})
	return !encrypted && (s.PasswordFile != "" || s.TokenFile != "")
}

// checkLoopback returns an error unless all servers are on this machine.
func (s Servers) checkLoopback() error {
	for _, text := range s.URLs {
		u, err := url.Parse(text)
		if err != nil {
			return err // never, for it was checked
		}
		addr, err := netip.ParseAddr(u.Hostname())
		if u.Hostname() != "localhost" && (err != nil || !addr.Unmap().IsLoopback()) {
			return fmt.Errorf("the password or token for NATS would go to %s without TLS, where others can read it: write tls://%s and name the authority with --nats-ca, or log in with --nats-creds; if the network itself encrypts, add --nats-plaintext", u.Host, u.Host)
		}
	}
	return nil
}

func (s Servers) checkURLs() error {
	if len(s.URLs) == 0 {
		return errors.New("no NATS server is given")
	}
	for _, text := range s.URLs {
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Host == "":
			return errors.New("the URL of a NATS server is not of the form nats://host:4222")
		case u.User != nil:
			return fmt.Errorf("the URL of the NATS server %s carries credentials; put them into a file", u.Host)
		case u.Scheme != "nats" && u.Scheme != "tls":
			return fmt.Errorf("the NATS server %s is to be reached by %q; use nats or tls", u.Host, u.Scheme)
		}
	}
	return nil
}

// identity is how we prove who we are.
func (s Servers) identity() ([]nats.Option, error) {
	ways := 0
	for _, given := range []bool{s.Credentials != "", s.UserFile != "" || s.PasswordFile != "", s.TokenFile != ""} {
		if given {
			ways++
		}
	}
	switch {
	case ways > 1:
		return nil, errors.New("more than one way to log in to NATS is given; give credentials, user and password, or a token")
	case s.Credentials != "":
		if _, err := os.Stat(s.Credentials); err != nil {
			return nil, fmt.Errorf("the credentials for NATS: %w", err)
		}
		return []nats.Option{nats.UserCredentials(s.Credentials)}, nil
	case s.TokenFile != "":
		if _, err := readSecret(s.TokenFile); err != nil {
			return nil, err
		}
		return []nats.Option{nats.TokenHandler(func() string { return s.secret(s.TokenFile) })}, nil
	case s.UserFile != "" && s.PasswordFile != "":
		if _, err := readSecret(s.UserFile); err != nil {
			return nil, err
		}
		if _, err := readSecret(s.PasswordFile); err != nil {
			return nil, err
		}
		return []nats.Option{nats.UserInfoHandler(func() (string, string) {
			return s.secret(s.UserFile), s.secret(s.PasswordFile)
		})}, nil
	case ways == 1:
		return nil, errors.New("logging in to NATS takes a file with the user and one with the password; only one is given")
	}
	return nil, nil
}

// tls is how we know the servers, and by which certificate they know us.
func (s Servers) tls() (opts []nats.Option) {
	if s.CA != "" {
		opts = append(opts, nats.RootCAs(s.CA))
	}
	if s.Cert != "" || s.Key != "" {
		opts = append(opts, nats.ClientCert(s.Cert, s.Key))
	}
	return opts
}

// secret reads a file that was there at the start. When it is not there any
// more the server refuses us, and we try again.
func (s Servers) secret(file string) string {
	text, err := readSecret(file)
	if err != nil {
		s.Log.Warn("a secret for NATS cannot be read", "err", err)
	}
	return text
}

func readSecret(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("a secret for NATS: %w", err)
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return "", fmt.Errorf("the file %s with a secret for NATS is empty", file)
	}
	return text, nil
}
