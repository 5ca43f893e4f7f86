package conformance_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/controllers/certificate"
	"github.com/postrider/postrider/controllers/rollout"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/process"
	"github.com/postrider/postrider/test/receiver"
)

const eventsService = "postrider-events.postrider-system.svc"

// A mount is a folder with the Secret that the manager keeps for the dispatchers,
// as the kubelet mounts it: what changes, changes at once.
type mount struct {
	dir     string
	version int
	state   certificate.State
	expiry  certificate.Expiry
}

// newMount has a certificate that was made at a time.
func newMount(t *testing.T, made time.Time) *mount {
	t.Helper()
	m := &mount{dir: t.TempDir()}
	for _, name := range []string{"tls.crt", "tls.key", "ca.crt"} {
		if err := os.Symlink(filepath.Join("..data", name), m.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	m.renew(t, made)
	return m
}

func (m *mount) path(name string) string { return filepath.Join(m.dir, name) }

// renew does what the manager and the kubelet do at a time.
func (m *mount) renew(t *testing.T, now time.Time) {
	t.Helper()
	var err error
	if m.state, m.expiry, _, err = certificate.Renew(m.state, []string{eventsService}, now); err != nil {
		t.Fatal(err)
	}
	m.version++
	folder, fresh := fmt.Sprintf("..%d", m.version), m.path("..data_tmp")
	if err := errors.Join(
		os.Mkdir(m.path(folder), 0o700),
		os.WriteFile(m.path(filepath.Join(folder, "tls.crt")), m.state.Serving.Cert, 0o600),
		os.WriteFile(m.path(filepath.Join(folder, "tls.key")), m.state.Serving.Key, 0o600),
		os.WriteFile(m.path(filepath.Join(folder, "ca.crt")), m.state.Trusted, 0o600),
		os.Symlink(folder, fresh),
		os.Rename(fresh, m.path("..data")),
	); err != nil {
		t.Fatal(err)
	}
}

// client trusts what is published now, and nothing else.
func (m *mount) client(t *testing.T) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(m.state.Trusted) {
		t.Fatal("nothing is published")
	}
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: eventsService}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Timeout: 30 * time.Second, Transport: transport}
}

// secured starts a dispatcher that shows the certificate.
func secured(t *testing.T, m *mount) (*target, *process.Dispatcher) {
	t.Helper()
	p := process.New(t, process.Options{Cert: m.path("tls.crt"), Key: m.path("tls.key")})
	p.Start(t)
	d := at(p)
	d.client = m.client(t)
	return d, p
}

func TestADispatcherKeepsItsPromisesOverTLS(t *testing.T) {
	t.Parallel()
	d, _ := secured(t, newMount(t, time.Now()))
	t.Run("together", func(t *testing.T) { // ends when all that is parallel in it has
		t.Run("what is not an event is refused with a remedy, and not delivered", d.refusals)
		t.Run("an event is taken in every form, and delivered under the id of its 202", d.forms)
		t.Run("the same event again is accepted, and delivered once", d.repetition)
		t.Run("a test delivery tells what happened, and changes nothing else", d.trials)
		t.Run("a time range is sent again, counted before if wanted", d.replays)
		t.Run("a workflow command that nobody refuses is submitted, once", d.workflows)
		t.Run("the report answers when something has changed", d.following)
		t.Run("health, readiness and metrics are there", d.pages)
		t.Run("each metric is in the documentation", d.documentedMetrics)
	})
}

func TestACallerThatLeavesIsNoticedOverTLS(t *testing.T) {
	t.Parallel()
	d, _ := secured(t, newMount(t, time.Now()))
	rc := receiver.New(t, receiver.Options{})
	rc.On("/", receiver.Hang(nil, nil))
	n := d.tenant(t, hook("asked", rc.URL("/"), asks))
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.events+"/v1/namespaces/"+n.namespace+"/workflow-commands", strings.NewReader(command("left")))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+*producer)
	req.Header.Set("Content-Type", "application/json")
	go func() {
		rc.Wait(t, 1)
		leave()
	}()
	if resp, err := d.client.Do(req); err == nil {
		_ = resp.Body.Close()
		t.Error("a caller that has left got an answer")
	}
	eventually.True(t, "the command to be counted as abandoned", func() bool {
		return strings.Contains(string(d.get(t, "/metrics").body), `postrider_workflow_commands_total{result="Abandoned"} 1`)
	})
}

func TestTheManagerFollowsTheReportOverTLS(t *testing.T) {
	t.Parallel()
	m := newMount(t, time.Now())
	d, p := secured(t, m)
	n := d.tenant(t, hook("one", "http://127.0.0.1:1/"))
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(*operator), 0o600); err != nil {
		t.Fatal(err)
	}
	stranger := newMount(t, time.Now())
	for name, tt := range map[string]struct {
		trust rollout.Trust
		heard bool
	}{
		"by the authority and the name": {rollout.Trust{Roots: rollout.RootsIn(m.path("ca.crt")), ServerName: eventsService}, true},
		"by another authority":          {rollout.Trust{Roots: rollout.RootsIn(stranger.path("ca.crt")), ServerName: eventsService}, false},
		"by another name":               {rollout.Trust{Roots: rollout.RootsIn(m.path("ca.crt")), ServerName: "other.svc"}, false},
		"by the address":                {rollout.Trust{Roots: rollout.RootsIn(m.path("ca.crt"))}, false},
		"by the system":                 {rollout.Trust{ServerName: eventsService}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tracker := rollout.NewTracker(time.Minute, time.Now, func([]string) {})
			var log lockedBuffer
			poller := rollout.NewPoller(tracker, token, tt.trust, slog.New(slog.NewTextHandler(&log, nil)))
			tracker.Published(n.report(t).Digest, map[string]rollout.Version{n.namespace + "/one": {Generation: 1}})
			poller.Follow([]string{p.Admin()})
			ctx, stop := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { _ = poller.Start(ctx) }) // it ends without an error
			t.Cleanup(func() { stop(); running.Wait() })
			confirmed := func() bool {
				return tracker.Facts(n.namespace+"/one", rollout.Version{Generation: 1}, "").Progress.Phase == rollout.Programmed
			}
			eventually.True(t, "the report, or that there is none", func() bool {
				return confirmed() || strings.Contains(log.String(), "a dispatcher does not answer")
			})
			if confirmed() != tt.heard {
				t.Errorf("the report came: %t\n%s", confirmed(), log.String())
			}
		})
	}
}

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// A certificate is renewed, an authority replaced, and producers, which know what
// was published before, notice nothing.
func TestNoRequestFailsWhileTheCertificateIsReplaced(t *testing.T) {
	t.Parallel()
	m := newMount(t, time.Now().Add(-certificate.ServingAge))
	d, _ := secured(t, m)
	n := d.tenant(t, hook("one", receiver.New(t, receiver.Options{IDsOnly: true}).URL("/")))
	stop := make(chan struct{})
	var producers sync.WaitGroup
	var mu sync.Mutex
	taken := map[string]int{} // requests by the serial number of the certificate
	for i := range 6 {
		client := m.client(t)
		client.Transport.(*http.Transport).DisableKeepAlives = i%2 == 0 //nolint:errcheck // that is what it is
		producers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				serial, err := n.postBy(t.Context(), client)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				taken[serial]++
				mu.Unlock()
			}
		})
	}
	defer producers.Wait()
	defer close(stop)
	// many waits for requests by the certificate that the files have.
	many := func(what string) {
		t.Helper()
		serial := leaf(t, m.state.Serving).SerialNumber.String()
		mu.Lock()
		until := taken[serial] + 50
		mu.Unlock()
		eventually.True(t, what, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return taken[serial] >= until || t.Failed()
		})
	}
	many("requests by the first certificate")
	m.renew(t, time.Now())
	many("requests by the second certificate")
	m.state.Authority = certificate.Pair{} // its key is lost
	m.renew(t, time.Now())
	many("requests by the second certificate, with another authority beside its own")
	gauge := fmt.Sprintf("postrider_tls_certificate_not_after_seconds{certificate=\"serving\"} %v\n", float64(m.expiry.Serving.Unix()))
	if text := string(d.get(t, "/metrics").body); !strings.Contains(text, gauge) {
		t.Errorf("the metrics lack %s", gauge)
	}

	if err := os.WriteFile(m.path("..data/tls.crt"), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the refusal of a broken certificate", func() bool {
		ready := d.do(t, call{method: http.MethodGet, path: "/readyz", token: "-"}, d.admin)
		return ready.status == 200 && strings.Contains(string(ready.body), "[!]certificate: the one in the files is refused")
	})
	m.renew(t, time.Now())
	eventually.True(t, "the certificate to be whole again", func() bool {
		return strings.Contains(string(d.get(t, "/readyz").body), "[+]certificate: shown until ")
	})
}

// postBy posts an event and returns the serial number of the certificate that
// the dispatcher has shown.
func (n *tenant) postBy(ctx context.Context, client *http.Client) (serial string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.events+"/v1/namespaces/"+n.namespace+"/events", strings.NewReader(`{"type":"t","data":{}}`))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+*producer)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusAccepted {
		return "", fmt.Errorf("the answer is %s, %w: %s", resp.Status, err, body)
	}
	return resp.TLS.PeerCertificates[0].SerialNumber.String(), nil
}

func leaf(t *testing.T, p certificate.Pair) *x509.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf
}

func TestConnectionsThatGoNowhereAreClosed(t *testing.T) {
	t.Parallel()
	m := newMount(t, time.Now())
	d, _ := secured(t, m)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(m.state.Trusted)
	handshake := func(t *testing.T, c net.Conn) net.Conn {
		t.Helper()
		secure := tls.Client(c, &tls.Config{RootCAs: roots, ServerName: eventsService})
		if err := secure.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		return secure
	}
	for name, tt := range map[string]struct {
		secure bool
		say    string
	}{
		"without a word":                        {false, ""},
		"in a handshake":                        {false, "\x16\x03\x01\x02\x00\x01"},
		"after a handshake":                     {true, ""},
		"in a header":                           {true, "POST /v1/namespaces/a/events HTTP/1.1\r\nHost: a\r\n"},
		"in plain HTTP, which is told about it": {false, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
	} {
		for _, url := range []string{d.events, d.admin} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				c, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "https://"))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close() //nolint:errcheck // the other end has closed it
				if err := c.SetDeadline(time.Now().Add(60 * time.Second)); err != nil {
					t.Fatal(err)
				}
				if tt.secure {
					c = handshake(t, c)
				}
				if _, err := io.WriteString(c, tt.say); err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(bufio.NewReader(c))
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("it was not closed")
				}
				if told := strings.HasPrefix(string(text), "HTTP/1.0 400"); told != strings.HasPrefix(tt.say, "GET") {
					t.Errorf("it was told %q", text)
				}
			})
		}
	}
}
