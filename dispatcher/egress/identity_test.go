package egress_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/test/authservers"
)

// A checkpoint asks each client for its certificate.
type checkpoint struct {
	*httptest.Server
	mu          sync.Mutex
	shown       []string // names, in the order of requests
	connections map[string]bool
	protocols   map[string]bool
}

func newCheckpoint(t *testing.T, policy tls.ClientAuthType, ca *authservers.Authority, changes ...func(*tls.Config)) *checkpoint {
	t.Helper()
	c := &checkpoint{connections: map[string]bool{}, protocols: map[string]bool{}}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // what breaks off breaks the answer too
		name := ""
		if certs := r.TLS.PeerCertificates; len(certs) > 0 {
			name = certs[0].Subject.CommonName
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.shown = append(c.shown, name)
		c.connections[r.RemoteAddr], c.protocols[r.Proto] = true, true
	}))
	c.EnableHTTP2 = true
	c.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	c.TLS = &tls.Config{ClientAuth: policy, ClientCAs: x509.NewCertPool()}
	c.TLS.ClientCAs.AppendCertsFromPEM([]byte(ca.PEM))
	for _, change := range changes {
		change(c.TLS)
	}
	c.StartTLS()
	t.Cleanup(c.Close)
	return c
}

func (c *checkpoint) trusted() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.Certificate())
	return pool
}

func pair(t *testing.T, ca *authservers.Authority, name string) *tls.Certificate {
	t.Helper()
	p := ca.Issue(t, name)
	c, err := tls.X509KeyPair([]byte(p.Chain), []byte(p.Key))
	if err != nil {
		t.Fatal(err)
	}
	return &c
}

func identified(t *testing.T, raw string, certificate *tls.Certificate) *egress.Target {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	target, err := egress.NewTarget(u, nil)
	if certificate != nil {
		target, err = egress.NewIdentifiedTarget(u, nil, certificate)
	}
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func post(t *testing.T, c *egress.Client, to *egress.Target, body []byte) error {
	t.Helper()
	_, err := c.Post(t.Context(), &egress.Post{Target: to, Body: body, Deadline: time.Now().Add(long)})
	return err
}

func TestAConnectionIsNotSharedBetweenCertificates(t *testing.T) {
	ca := authservers.NewAuthority(t)
	at := newCheckpoint(t, tls.VerifyClientCertIfGiven, ca)
	c := newClient(t, egress.Options{Allow: loopback, RootCAs: at.trusted()})
	first := pair(t, ca, "first")
	again := *first // as a new table makes it of the same Secret
	targets := []*egress.Target{
		identified(t, at.URL, first), identified(t, at.URL, pair(t, ca, "second")), identified(t, at.URL, nil), identified(t, at.URL+"/other", &again),
	}
	for range 3 {
		for _, to := range targets {
			if err := post(t, c, to, []byte("{}")); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := strings.Repeat("first,second,,first,", 3)
	if got := strings.Join(at.shown, ",") + ","; got != want {
		t.Errorf("the certificates are %s, want %s", got, want)
	}
	if len(at.connections) != 3 {
		t.Errorf("there are %d connections, want one for each certificate and one for none", len(at.connections))
	}
	if !at.protocols["HTTP/1.1"] || !at.protocols["HTTP/2.0"] {
		t.Errorf("the protocols are %v; what shows a certificate speaks HTTP/1.1", at.protocols)
	}
}

func TestALargeBodyGoesWithACertificateToo(t *testing.T) {
	ca := authservers.NewAuthority(t)
	at := newCheckpoint(t, tls.RequireAndVerifyClientCert, ca)
	c := newClient(t, egress.Options{Allow: loopback, RootCAs: at.trusted()})
	if err := post(t, c, identified(t, at.URL, pair(t, ca, "shop")), bytes.Repeat([]byte("x"), 1<<20)); err != nil {
		t.Fatal(err)
	}
	if len(at.shown) != 1 || at.shown[0] != "shop" {
		t.Errorf("the certificates are %q", at.shown)
	}
}

func TestACertificateThatIsRefusedFailsTLS(t *testing.T) {
	ca := authservers.NewAuthority(t)
	stranger := pair(t, authservers.NewAuthority(t), "stranger")
	older := newCheckpoint(t, tls.RequireAndVerifyClientCert, ca, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })
	c := newClient(t, egress.Options{Allow: loopback, RootCAs: older.trusted()})
	wantFailure(t, post(t, c, identified(t, older.URL, stranger), nil), outcome.TLSFailed, "handshake refused by the receiver")
	wantFailure(t, post(t, c, identified(t, older.URL, nil), nil), outcome.TLSFailed, "handshake refused by the receiver")

	// TLS 1.3 refuses after the handshake. Whether the word of it comes before the
	// connection breaks is a matter of luck.
	at := newCheckpoint(t, tls.RequireAndVerifyClientCert, ca)
	c = newClient(t, egress.Options{Allow: loopback, RootCAs: at.trusted()})
	for _, to := range []*egress.Target{identified(t, at.URL, stranger), identified(t, at.URL, nil)} {
		err := post(t, c, to, nil)
		if err == nil {
			t.Fatal("it was let in")
		}
		if reason, detail := egress.Classify(err); reason != outcome.TLSFailed && reason != outcome.ConnectFailed {
			t.Errorf("classified as %s: %s", reason, detail)
		}
	}
}

func TestWithoutTLSNoCertificateIsPromised(t *testing.T) {
	u := &url.URL{Scheme: "http", Host: "a.example"}
	if _, err := egress.NewIdentifiedTarget(u, nil, &tls.Certificate{}); err == nil {
		t.Error("a certificate is to be shown over plain HTTP")
	}
}

func TestTheClientForLibrariesHasTheSameGuardAndBounds(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(bytes.Repeat([]byte("x"), egress.MaxResponse+1)) // whoever reads has had enough
	})
	mux.HandleFunc("/full", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(bytes.Repeat([]byte("x"), egress.MaxResponse)) // likewise
	})
	mux.Handle("/away", http.RedirectHandler("/full", http.StatusFound))
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	get := func(c *egress.Client, path string) (int, int, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.HTTP().Do(req)
		if err != nil {
			return 0, 0, err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		return resp.StatusCode, len(text), err
	}
	open := newClient(t, egress.Options{Allow: loopback})
	if status, n, err := get(open, s.URL+"/full"); status != http.StatusOK || n != egress.MaxResponse || err != nil {
		t.Errorf("%d, %d bytes, %v", status, n, err)
	}
	if _, n, err := get(open, s.URL+"/long"); n != egress.MaxResponse || err == nil {
		t.Errorf("of an answer that is too long came %d bytes, %v", n, err)
	}
	if status, _, err := get(open, s.URL+"/away"); status != http.StatusFound || err != nil {
		t.Errorf("a redirect was followed: %d, %v", status, err)
	}
	guarded := newClient(t, egress.Options{})
	_, _, err := get(guarded, s.URL+"/full")
	wantFailure(t, err, outcome.EgressDenied, "loopback address")
	_, _, err = get(guarded, "http://169.254.169.254/latest/")
	wantFailure(t, err, outcome.EgressDenied, "link-local or metadata address")
}
