package certificate_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider/postrider/dispatcher/certificate"
	"github.com/postrider/postrider/internal/eventually"
)

// volume is a folder as the kubelet fills it with a Secret: the files are links
// into a folder that is a link itself, which it swaps.
type volume struct {
	dir     string
	version int
}

func newVolume(t *testing.T) *volume {
	t.Helper()
	v := &volume{dir: t.TempDir()}
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(v.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

func (v *volume) files() certificate.Files {
	return certificate.Files{Cert: filepath.Join(v.dir, "tls.crt"), Key: filepath.Join(v.dir, "tls.key")}
}

// put swaps what is in the volume.
func (v *volume) put(t *testing.T, cert, key []byte) {
	t.Helper()
	v.version++
	version := "..version-" + strings.Repeat("i", v.version)
	fresh := filepath.Join(v.dir, "..data_tmp")
	if err := errors.Join(
		os.Mkdir(filepath.Join(v.dir, version), 0o700),
		os.WriteFile(filepath.Join(v.dir, version, "tls.crt"), cert, 0o600),
		os.WriteFile(filepath.Join(v.dir, version, "tls.key"), key, 0o600),
		os.Symlink(version, fresh),
		os.Rename(fresh, filepath.Join(v.dir, "..data")),
	); err != nil {
		t.Fatal(err)
	}
}

// pair makes a certificate that signs itself, with the serial number.
func pair(t *testing.T, serial int64) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Unix(4e9, 0).Add(time.Duration(serial) * time.Second), DNSNames: []string{"a"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// shown is the serial number of the certificate that a handshake shows.
func shown(t *testing.T, k *certificate.Keeper) int64 {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", k.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing more comes
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		if shaking, ok := c.(*tls.Conn); ok {
			_ = shaking.HandshakeContext(t.Context()) // the client tells
		}
		_ = c.Close()
	}()
	dialer := &tls.Dialer{NetDialer: new(net.Dialer), Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}}}
	c, err := dialer.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()                          //nolint:errcheck // nothing was written
	state := c.(*tls.Conn).ConnectionState() //nolint:errcheck // that is what this dialer makes
	if state.NegotiatedProtocol != "http/1.1" || state.Version < tls.VersionTLS12 {
		t.Errorf("the connection speaks %q over %s", state.NegotiatedProtocol, tls.VersionName(state.Version))
	}
	return state.PeerCertificates[0].SerialNumber.Int64()
}

func metric(t *testing.T, r prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

const (
	rejected = "postrider_tls_certificate_rejected"
	notAfter = "postrider_tls_certificate_not_after_seconds"
)

func TestANewCertificateIsShownAndABrokenOneIsNot(t *testing.T) {
	v := newVolume(t)
	cert1, key1 := pair(t, 1)
	v.put(t, cert1, key1)
	var text bytes.Buffer
	metrics := prometheus.NewRegistry()
	k, err := certificate.Open(v.files(), metrics, slog.New(slog.NewTextHandler(&text, nil)))
	if err != nil {
		t.Fatal(err)
	}
	cert2, key2 := pair(t, 2)
	cert3, key3 := pair(t, 3)
	for _, step := range []struct {
		what      string
		cert, key []byte
		looks     int // before it is looked at
		serial    int64
		fault     string
	}{
		{"the first", cert1, key1, 1, 1, ""},
		{"another", cert2, key2, 1, 2, ""},
		{"a key that belongs to another, for a moment", cert2, key3, 1, 2, ""},
		{"and for good", cert2, key3, 1, 2, "private key does not match public key"},
		{"nothing", nil, nil, 2, 2, "tls.crt is empty"},
		{"garbage", []byte("garbage"), key3, 2, 2, "are not a certificate and its key in PEM"},
		{"a huge file", bytes.Repeat([]byte("a"), 2<<20), key3, 2, 2, "has more than"},
		{"the old one again", cert2, key2, 1, 2, ""},
		{"a third", cert3, key3, 1, 3, ""},
	} {
		v.put(t, step.cert, step.key)
		synctest.Test(t, func(t *testing.T) { follow(t, k, step.looks) })
		if got := shown(t, k); got != step.serial {
			t.Errorf("%s: number %d is shown, want %d", step.what, got, step.serial)
		}
		leaf, fault := k.State()
		if leaf.SerialNumber.Int64() != step.serial || !strings.Contains(fault, step.fault) || (fault == "") != (step.fault == "") {
			t.Errorf("%s: the state is number %s and %q", step.what, leaf.SerialNumber, fault)
		}
		if got := metric(t, metrics, notAfter); got != float64(4e9+step.serial) {
			t.Errorf("%s: it expires at %v", step.what, got)
		}
		if got := metric(t, metrics, rejected) == 1; got != (step.fault != "") {
			t.Errorf("%s: rejected is %t", step.what, got)
		}
	}
	if n := strings.Count(text.String(), "level=ERROR"); n != 4 {
		t.Errorf("%d failures are logged, want each once:\n%s", n, &text)
	}
	if n := strings.Count(text.String(), "a new certificate is shown"); n != 2 {
		t.Errorf("%d certificates are logged:\n%s", n, &text)
	}
	if err := os.RemoveAll(v.dir); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) { follow(t, k, 2) })
	if got := shown(t, k); got != 3 {
		t.Errorf("with the files gone, number %d is shown", got)
	}
}

// follow has k look at its files so often.
func follow(t *testing.T, k *certificate.Keeper, looks int) {
	t.Helper()
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(ended)
		k.Follow(ctx)
	}()
	for range looks {
		eventually.After(time.Second)
	}
	cancel()
	<-ended
}

func TestFilesThatCannotBeUsedAreRefusedAtTheStart(t *testing.T) {
	cert, key := pair(t, 1)
	_, another := pair(t, 2)
	for name, tt := range map[string]struct {
		cert, key []byte
		want      string
	}{
		"no certificate":   {[]byte("garbage"), key, "not a certificate and its key in PEM"},
		"another key":      {cert, another, "private key does not match"},
		"an empty file":    {cert, nil, "tls.key is empty"},
		"the wrong way":    {key, cert, "not a certificate and its key in PEM"},
		"a key beneath it": {cert, cert, "not a certificate and its key in PEM"},
	} {
		v := newVolume(t)
		v.put(t, tt.cert, tt.key)
		_, err := certificate.Open(v.files(), prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "--tls-cert-file") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := certificate.Open(newVolume(t).files(), prometheus.NewRegistry(), slog.New(slog.DiscardHandler)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
}
