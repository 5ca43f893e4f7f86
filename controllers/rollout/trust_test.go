package rollout_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postrider/postrider/controllers/rollout"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/internal/transcript"
)

func TestADispatcherIsKnownByItsAuthorityAndItsName(t *testing.T) {
	server := httptest.NewUnstartedServer(report(outcome.Report{Started: start, Digest: "d1", Revision: 1}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	server.StartTLS() // for 127.0.0.1 and example.com
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	known := func(context.Context) (*x509.CertPool, error) { return roots, nil }
	byName := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	for name, tt := range map[string]struct {
		trust rollout.Trust
		url   string
		want  string // in the log; empty when the report comes
	}{
		"by the address":                   {rollout.Trust{Roots: known}, server.URL, ""},
		"by the name instead":              {rollout.Trust{Roots: known, ServerName: "example.com"}, server.URL, ""},
		"by another name instead":          {rollout.Trust{Roots: known, ServerName: "example.org"}, server.URL, "not example.org"},
		"by the host name of a URL":        {rollout.Trust{Roots: known, ServerName: "example.com"}, byName, "not localhost"},
		"by the authorities of the system": {rollout.Trust{}, server.URL, "unknown authority"},
		"when the authority is not known":  {rollout.Trust{Roots: func(context.Context) (*x509.CertPool, error) { return nil, errors.New("not yet") }}, server.URL, "not yet"},
	} {
		t.Run(name, func(t *testing.T) {
			var log transcript.Transcript
			w := startWorld(t, "", tt.trust, &log)
			w.Published("d1", map[string]rollout.Version{"shop/a": generation(1)})
			w.poller.Follow([]string{tt.url})
			if tt.want == "" {
				w.until(t, "the table is confirmed", w.phase(rollout.Programmed))
				return
			}
			eventually.True(t, "a log that says "+tt.want, func() bool { return strings.Contains(log.String(), tt.want) })
			w.until(t, "the dispatcher counts as silent", w.phase(rollout.Unreachable))
		})
	}
}

func TestTheAuthoritiesInAFileAreReadAnew(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "ca.crt")
	roots := rollout.RootsIn(file)
	for _, step := range []struct{ text, want string }{
		{"", "--dispatcher-ca-file"},
		{"garbage", "there is no certificate in PEM"},
		{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})), ""},
	} {
		if step.text != "" {
			if err := os.WriteFile(file, []byte(step.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		pool, err := roots(t.Context())
		if step.want != "" {
			if err == nil || !strings.Contains(err.Error(), step.want) {
				t.Errorf("with %q: %v", step.text, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := server.Certificate().Verify(x509.VerifyOptions{Roots: pool}); err != nil {
			t.Error(err)
		}
	}
}
