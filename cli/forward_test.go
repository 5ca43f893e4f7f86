package cli_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"github.com/postrider/postrider/internal/eventually"
)

// A forwarder is the real API server with what it lacks without kubelets: it forwards
// ports of any pod, to the ports of that number on this machine, by SPDY as older API
// servers do. So what speaks WebSocket has to fall back.
type forwarder struct {
	api      *httputil.ReverseProxy
	streams  atomic.Int64
	upgrades atomic.Int64
	refuses  atomic.Bool

	mu    sync.Mutex
	conns []httpstream.Connection
}

// cut ends all port-forwards, as when their pods go away.
func (f *forwarder) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		_ = c.Close() // it may have ended
	}
	f.conns = nil
}

func newForwarder(t *testing.T, w *world) (*forwarder, string) {
	t.Helper()
	target, err := url.Parse(w.config.Host)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.config.CAData)
	f := &forwarder{api: &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
	}}
	server := httptest.NewTLSServer(f)
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return f, kubeconfig(t, server.URL, ca, w.userToken)
}

func (f *forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/portforward") {
		f.api.ServeHTTP(w, r)
		return
	}
	if f.refuses.Load() {
		http.Error(w, "forbidden", http.StatusForbidden)
		return
	}
	if r.Method != http.MethodPost {
		http.Error(w, "no WebSocket here", http.StatusBadRequest)
		return
	}
	if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardProtocolV1Name}); err != nil {
		return
	}
	f.upgrades.Add(1)
	arrived := make(chan httpstream.Stream, 16)
	conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, _ <-chan struct{}) error {
		arrived <- s
		return nil
	})
	if conn == nil {
		return
	}
	f.mu.Lock()
	f.conns = append(f.conns, conn)
	f.mu.Unlock()
	conn.SetIdleTimeout(time.Minute)
	for {
		select {
		case s := <-arrived:
			f.carry(s)
		case <-conn.CloseChan():
			return
		}
	}
}

// carry joins a data stream with the port that it names.
func (f *forwarder) carry(s httpstream.Stream) {
	if s.Headers().Get(corev1.StreamType) != corev1.StreamTypeData {
		_ = s.Close() // the other end reads that there is no error
		return
	}
	f.streams.Add(1)
	to, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", s.Headers().Get(corev1.PortHeader))) //nolint:noctx // it ends with the stream
	if err != nil {
		_ = s.Reset() // likewise
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(to, s) // how it ends does not matter
		_ = to.Close()        // likewise
	})
	both.Go(func() {
		_, _ = io.Copy(s, to) // likewise
		_ = s.Close()         // likewise
	})
}

// pod makes one of a dispatcher, which listens at the ports, and makes it ready.
func (w *world) pod(t *testing.T, name, events, admin string) {
	t.Helper()
	w.kubectl(t, fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s, labels: {app.kubernetes.io/component: dispatcher}}
spec:
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: dispatcher
      image: none
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
      ports: [{name: events, containerPort: %s}, {name: admin, containerPort: %s}]
`, name, system, events, admin), "apply", "--server-side")
	w.kubectl(t, "", "patch", "pod", name, "-n", system, "--subresource=status", "--type=merge", "-p",
		`{"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}`)
}

func (w *world) service(t *testing.T, port int) {
	t.Helper()
	w.kubectl(t, fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: postrider-events, namespace: %s}
spec: {selector: {app.kubernetes.io/component: dispatcher}, ports: [{name: events, port: %d, targetPort: events}]}
`, system, port), "apply", "--server-side", "--force-conflicts")
}

func (w *world) forwards(t *testing.T) {
	forwarder, config := newForwarder(t, w)
	admin := newFront(t, w.identity, w.dispatcher.Admin())
	ns := w.tenant(t, true)
	w.webhook(t, ns, "near", "/near", ", events: [a]")
	run := func(args ...string) result {
		t.Helper()
		return w.runRaw(t, append(args, "-n", ns, "--kubeconfig", config)...)
	}

	run("test", "near").ended(t, 3, `there is no Service "postrider-events"`, "--postrider-namespace")
	w.service(t, 443)
	w.kubectl(t, "", "delete", "rolebinding", "postrider-ca-reader", "-n", system)
	eventually.True(t, "the right to be gone", func() bool {
		return strings.Contains(run("test", "near").err, `you may not read ConfigMap "postrider-ca"`)
	})
	run("test", "near").ended(t, 3, "--ca-file")
	w.kubectl(t, "", "create", "rolebinding", "postrider-ca-reader", "-n", system, "--role=postrider-ca-reader", "--group=system:authenticated")
	eventually.True(t, "the right to be seen", func() bool {
		return strings.Contains(run("test", "near").err, `there is no ConfigMap "postrider-ca"`)
	})
	w.kubectl(t, "", "create", "configmap", "postrider-ca", "-n", system, "--from-literal=ca.crt=damaged")
	run("test", "near").ended(t, 3, `ca.crt of ConfigMap "postrider-ca" in namespace "postrider-system" holds no certificate`)
	w.kubectl(t, "", "delete", "configmap", "postrider-ca", "-n", system)
	w.kubectl(t, "", "create", "configmap", "postrider-ca", "-n", system, "--from-file=ca.crt="+w.identity.file)
	run("test", "near").ended(t, 3, "none of the 0 pods of the dispatcher")

	w.pod(t, "dispatcher-0", w.front.port, admin.port)
	w.kubectl(t, "", "delete", "clusterrolebinding", "ada-forwards")
	forwarder.refuses.Store(true)
	eventually.True(t, "the right to be gone", func() bool {
		return strings.Contains(run("test", "near").err, "you may not forward ports of pods")
	})
	run("test", "near").ended(t, 3, "kubectl create role postrider-cli-forward -n "+system+" --verb=create --resource=pods/portforward")
	forwarder.refuses.Store(false)
	w.kubectl(t, "", "create", "clusterrolebinding", "ada-forwards", "--clusterrole=forwards", "--serviceaccount=people:ada")

	run("test", "near").ok(t, "The receiver took the delivery")
	run("send", "--type", "a", "--wait").ok(t, "near: attempt 1 Delivered")
	run("doctor").ended(t, 1, "OK      store", "that of the dispatcher is valid until")
	if forwarder.upgrades.Load() != 3 || forwarder.streams.Load() < 3 {
		t.Errorf("there were %d port-forwards with %d connections", forwarder.upgrades.Load(), forwarder.streams.Load())
	}
	for _, text := range admin.all() {
		if strings.Contains(text, "Authorization") {
			t.Errorf("the admin listener was shown a credential:\n%s", text)
		}
	}

	// A certificate of somebody else is not taken, whatever leads there.
	other := newIdentity(t)
	run("test", "near", "--ca-file", other.file).ended(t, 3, "the dispatcher cannot be reached", "certificate", "--ca-file")

	// Without TLS the Service has another port.
	w.kubectl(t, "", "delete", "service", "postrider-events", "-n", system)
	w.service(t, 80)
	w.kubectl(t, "", "delete", "pod", "dispatcher-0", "-n", system, "--force", "--grace-period=0")
	plain := func(address string) string {
		_, port, _ := strings.Cut(strings.TrimPrefix(address, "http://"), ":")
		return port
	}
	w.pod(t, "dispatcher-1", plain(w.dispatcher.Events()), plain(w.dispatcher.Admin()))
	run("test", "near").ok(t, "The receiver took the delivery")

	// What keeps on asking finds the pod that takes the place of another.
	ctx, stop := context.WithCancel(t.Context())
	following := w.start(ctx, bytes.NewReader(nil), "deliveries", "near", "-f", "-n", ns, "--kubeconfig", config)
	eventually.True(t, "what there is", func() bool { return strings.Contains(following.out.String(), "Delivered") })
	w.kubectl(t, "", "delete", "pod", "dispatcher-1", "-n", system, "--force", "--grace-period=0")
	w.pod(t, "dispatcher-2", plain(w.dispatcher.Events()), plain(w.dispatcher.Admin()))
	forwarder.cut()
	before, upgrades := strings.Count(following.out.String(), "\n"), forwarder.upgrades.Load()
	run("send", "--type", "a").ok(t)
	eventually.True(t, "what is new", func() bool { return strings.Count(following.out.String(), "\n") > before })
	if got := forwarder.upgrades.Load() - upgrades; got != 2 {
		t.Errorf("there were %d port-forwards, want one of each command", got)
	}
	stop()
	following.wait().ended(t, 130)
}
