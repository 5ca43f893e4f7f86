package cli_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// An identity is a certificate of a dispatcher, signed by itself.
type identity struct {
	certificate tls.Certificate
	pem         string
	file        string // with the same
}

func newIdentity(t *testing.T) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		DNSNames: []string{"postrider-events." + system + ".svc"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	id := identity{certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file: filepath.Join(t.TempDir(), "ca.crt")}
	id.pem = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, id.file, id.pem)
	return id
}

// A front stands before a listener of the dispatcher with TLS, and remembers all that
// it is shown.
type front struct {
	URL  string
	port string

	mu    sync.Mutex
	shown []string // headers, and names of client certificates
}

func newFront(t *testing.T, id identity, target string) *front {
	t.Helper()
	f := &front{}
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		f.remember(r)
		proxy.ServeHTTP(rw, r)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{id.certificate}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	f.URL = server.URL
	_, f.port, err = net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *front) remember(r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b bytes.Buffer
	_ = r.Header.Write(&b) // a Buffer takes everything
	f.shown = append(f.shown, r.URL.String()+"\n"+b.String())
	for _, c := range r.TLS.PeerCertificates {
		f.shown = append(f.shown, "certificate of "+c.Subject.String())
	}
}

func (f *front) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.shown)
}
