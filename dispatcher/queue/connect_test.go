package queue_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/queue"
	"github.com/postrider/postrider/internal/eventually"
)

// aServer is a NATS server on loopback.
func aServer(t *testing.T, change func(*server.Options)) *server.Server {
	t.Helper()
	opts := &server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), MaxPayload: 8 << 20}
	change(opts)
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server does not start")
	}
	return s
}

// connect makes a connection to a server without a login.
func connect(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := queue.Connect(queue.Servers{URLs: []string{url}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// openAt opens a queue on servers elsewhere.
func openAt(t *testing.T, nc *nats.Conn, maxBytes int64) *queue.Queue {
	t.Helper()
	q, err := queue.Open(t.Context(), nc, queue.Options{MaxBytes: maxBytes, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	return q
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestADispatcherLogsInWithWhatIsInFiles(t *testing.T) {
	t.Parallel()
	const secret = "correct horse" //nolint:gosec // of this test's own server
	for _, tt := range []struct {
		name   string
		server func(*server.Options)
		login  func(t *testing.T, s *queue.Servers, secret string)
	}{
		{"user and password", func(o *server.Options) { o.Username, o.Password = "postrider", secret }, func(t *testing.T, s *queue.Servers, secret string) {
			t.Helper()
			s.UserFile, s.PasswordFile = file(t, "user", "postrider\n"), file(t, "password", secret+"\n")
		}},
		{"a token", func(o *server.Options) { o.Authorization = secret }, func(t *testing.T, s *queue.Servers, secret string) {
			t.Helper()
			s.TokenFile = file(t, "token", secret)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ns := aServer(t, tt.server)
			s := queue.Servers{URLs: []string{ns.ClientURL()}, Name: "test", Log: slog.New(slog.DiscardHandler)}
			tt.login(t, &s, secret)
			nc, err := queue.Connect(s)
			if err != nil {
				t.Fatal(err)
			}
			nc.Close()

			tt.login(t, &s, "wrong")
			_, err = queue.Connect(s)
			if err == nil {
				t.Fatal("a wrong secret is let in")
			}
			if strings.Contains(err.Error(), "wrong") || strings.Contains(err.Error(), secret) {
				t.Errorf("the error tells the secret: %v", err)
			}
		})
	}
}

func TestADispatcherKnowsTheServersByTheirCertificate(t *testing.T) {
	t.Parallel()
	ca, cert, key := certificate(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	authorities := x509.NewCertPool()
	text, err := os.ReadFile(ca)
	if err != nil || !authorities.AppendCertsFromPEM(text) {
		t.Fatal("no authority", err)
	}
	ns := aServer(t, func(o *server.Options) {
		o.TLS, o.TLSVerify = true, true
		o.TLSConfig = &tls.Config{
			Certificates: []tls.Certificate{pair}, ClientCAs: authorities, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
		}
	})
	s := queue.Servers{URLs: []string{ns.ClientURL()}, CA: ca, Cert: cert, Key: key, Log: slog.New(slog.DiscardHandler)}
	nc, err := queue.Connect(s)
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	other, _, _ := certificate(t)
	s.CA = other
	if _, err := queue.Connect(s); err == nil {
		t.Error("a server with a certificate of somebody else is believed")
	}
}

// certificate makes one that is its own authority, for 127.0.0.1.
func certificate(t *testing.T) (ca, cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return file(t, "ca.pem", text), file(t, "cert.pem", text),
		file(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
}

func TestWhatCannotWorkIsRefusedBeforeItIsTried(t *testing.T) {
	t.Parallel()
	const there = "nats://127.0.0.1:4222"
	secret := file(t, "secret", "pssst")
	for _, tt := range []struct {
		name    string
		servers queue.Servers
		says    string
	}{
		{"no server", queue.Servers{}, "no NATS server"},
		{"no URL", queue.Servers{URLs: []string{"127.0.0.1:4222"}}, "nats://host:4222"},
		{"another scheme", queue.Servers{URLs: []string{"http://127.0.0.1:4222"}}, "use nats or tls"},
		{"a password in the URL", queue.Servers{URLs: []string{"nats://me:pssst@127.0.0.1:4222"}}, "put them into a file"},
		{"a user without a password", queue.Servers{URLs: []string{there}, UserFile: "/there"}, "only one is given"},
		{"two ways", queue.Servers{URLs: []string{there}, TokenFile: "/token", Credentials: "/creds"}, "more than one way"},
		{"a password over the network", queue.Servers{URLs: []string{there, "nats://nats-0.nats:4222"}, UserFile: secret, PasswordFile: secret}, "write tls://nats-0.nats:4222 and"},
		{"a token over the network", queue.Servers{URLs: []string{"nats://10.1.2.3"}, TokenFile: secret}, "add --nats-plaintext"},
		{"credentials that are not there", queue.Servers{URLs: []string{there}, Credentials: "/not/there"}, "no such file"},
		{"a token that is not there", queue.Servers{URLs: []string{there}, TokenFile: "/not/there"}, "no such file"},
		{"an authority that is not there", queue.Servers{URLs: []string{there}, CA: "/not/there"}, "no such file"},
		{"a certificate without its key", queue.Servers{URLs: []string{there}, Cert: "/not/there"}, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.servers.Log = slog.New(slog.DiscardHandler)
			_, err := queue.Connect(tt.servers)
			if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "pssst") {
				t.Errorf("it says %v, want %q in it", err, tt.says)
			}
		})
	}
}

func TestASecretGoesWithoutTLSOnlyWhereNobodyReadsIt(t *testing.T) {
	t.Parallel()
	ns := aServer(t, func(o *server.Options) { o.Authorization = "pssst" })
	_, port, err := net.SplitHostPort(ns.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		url       string
		plaintext bool
		stays     bool // at the servers that were named
	}{
		{"nats://127.0.0.1:" + port, false, true},
		{"nats://localhost:" + port, false, true},
		{"nats://0.0.0.0:" + port, true, false}, // which is not a loopback address, and leads to one
	} {
		nc, err := queue.Connect(queue.Servers{
			URLs: []string{tt.url}, TokenFile: file(t, "token", "pssst"), Plaintext: tt.plaintext, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Errorf("%s: %v", tt.url, err)
			continue
		}
		if nc.Opts.IgnoreDiscoveredServers != tt.stays {
			t.Errorf("%s: it may go on to servers that were not named: %t", tt.url, tt.stays)
		}
		nc.Close()
	}
}

// An operator is who says whom servers let in, by JWT.
type operator struct {
	operator, account nkeys.KeyPair
	claims            *jwt.OperatorClaims
	resolver          *server.MemAccResolver // of the JWTs of accounts
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	o := &operator{operator: aKey(t, nkeys.CreateOperator), account: aKey(t, nkeys.CreateAccount), resolver: &server.MemAccResolver{}}
	o.claims = jwt.NewOperatorClaims(public(t, o.operator))
	o.claims.SystemAccount = public(t, aKey(t, nkeys.CreateAccount))
	encode(t, o.claims, o.operator) // which signs them
	ac := jwt.NewAccountClaims(public(t, o.account))
	ac.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	for _, claims := range []*jwt.AccountClaims{jwt.NewAccountClaims(o.claims.SystemAccount), ac} {
		if err := o.resolver.Store(claims.Subject, encode(t, claims, o.operator)); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// credentials are of a user whom account lets in, as "nsc generate creds" writes them.
func credentials(t *testing.T, account nkeys.KeyPair, allow ...string) string {
	t.Helper()
	user := aKey(t, nkeys.CreateUser)
	claims := jwt.NewUserClaims(public(t, user))
	claims.Pub.Allow.Add(allow...)
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.FormatUserConfig(encode(t, claims, account), seed)
	if err != nil {
		t.Fatal(err)
	}
	return file(t, "dispatcher.creds", string(text))
}

func aKey(t *testing.T, create func() (nkeys.KeyPair, error)) nkeys.KeyPair {
	t.Helper()
	key, err := create()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func public(t *testing.T, key nkeys.KeyPair) string {
	t.Helper()
	text, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func encode(t *testing.T, claims jwt.Claims, key nkeys.KeyPair) string {
	t.Helper()
	text, err := claims.Encode(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestADispatcherLogsInWithCredentials(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	ns := aServer(t, func(so *server.Options) {
		so.TrustedOperators, so.SystemAccount, so.AccountResolver = []*jwt.OperatorClaims{o.claims}, o.claims.SystemAccount, o.resolver
	})
	s := queue.Servers{URLs: []string{ns.ClientURL()}, Log: slog.New(slog.DiscardHandler)}
	s.Credentials = credentials(t, o.account, "postrider.>", "$JS.API.>", "$JS.ACK.>") // what the documentation asks for
	nc, err := queue.Connect(s)
	if err != nil {
		t.Fatal(err)
	}
	q := openAt(t, nc, 64<<20)
	if err := q.Append(t.Context(), []event.Event{anEvent("1")}); err != nil {
		t.Error(err)
	}
	s.Credentials = credentials(t, aKey(t, nkeys.CreateAccount))
	if _, err = queue.Connect(s); err == nil {
		t.Error("credentials of somebody else's account are let in")
	}
	s.Credentials = file(t, "no.creds", "pssst")
	if _, err = queue.Connect(s); err == nil || strings.Contains(err.Error(), "pssst") {
		t.Errorf("of a file without credentials it says %v", err)
	}
}

func TestAServerWhoseMessagesAreTooSmallIsRefused(t *testing.T) {
	t.Parallel()
	ns := aServer(t, func(o *server.Options) { o.MaxPayload = 1 << 20 })
	o := queue.Options{MaxBytes: 64 << 20, Log: slog.New(slog.DiscardHandler)}
	if _, err := queue.Open(t.Context(), connect(t, ns.ClientURL()), o); err == nil || !strings.Contains(err.Error(), "max_payload") {
		t.Errorf("it says %v, want what to set", err)
	}
}

func TestEventsGoTogetherOnlyAsFarAsTheServersTakeThem(t *testing.T) {
	t.Parallel()
	ns := aServer(t, func(o *server.Options) { o.MaxPayload = 1_900_000 })
	q := openAt(t, connect(t, ns.ClientURL()), 256<<20)
	var callers sync.WaitGroup
	for i := range 32 {
		callers.Go(func() {
			e := anEvent(fmt.Sprint("large", i))
			e.Data = make([]byte, 1_000_000)
			if err := q.Append(t.Context(), []event.Event{e}); err != nil {
				t.Errorf("an event that is not too large: %v", err)
			}
		})
	}
	callers.Wait()
}

func TestADispatcherWithoutItsServersIsAliveAndNotReady(t *testing.T) {
	t.Parallel()
	ns := newOutside(t)
	q := ns.open(t)
	state := func() [2]bool { return [2]bool{q.Healthy() == nil, q.Ready() == nil} }
	if got := state(); got != [2]bool{true, true} {
		t.Errorf("healthy and ready: %v", got)
	}
	ns.stop()
	eventually.True(t, "the loss to be noticed", func() bool { return state() == [2]bool{true, false} })
	ns.start(t)
	eventually.True(t, "the connection to be made again", func() bool {
		return q.Append(t.Context(), []event.Event{anEvent("1")}) == nil && state() == [2]bool{true, true}
	})
}
