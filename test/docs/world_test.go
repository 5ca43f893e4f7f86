package docs_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/receiver"
)

const system = "postrider-system"

// A world is what the pages speak of, as processes: a cluster without nodes,
// the manager, a dispatcher and a receiver. It has the samples.
type world struct {
	root, dir  string // the checkout, and a folder for files
	api        *rest.Config
	kubeconfig string
	receiver   *receiver.Receiver

	events, admin, metrics string // base URLs: of the dispatcher, of its admin listener, and of the manager's metrics
}

func newWorld(t *testing.T) *world {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{root: root, dir: t.TempDir(), receiver: receiver.New(t, receiver.Options{})}
	for path, status := range map[string]int{"/missing": 404, "/broken": 500, "/gone": 410, "/locked": 401, "/busy": 429} {
		w.receiver.On(path, receiver.Status(status))
	}
	w.receiver.On("/moved", receiver.Redirect("/hooks"))
	w.receiver.On("/slow", receiver.Hang(nil, receiver.Status(200)))

	w.startAPI(t)
	w.kubectl(t, "", "apply", "--server-side", "-k", "config/local")
	w.kubectl(t, "", "wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
	w.startPlanes(t)
	samples := strings.ReplaceAll(w.kubectl(t, "", "kustomize", "config/samples"), "http://127.0.0.1:9400", w.receiver.URL(""))
	w.kubectl(t, samples, "apply", "--server-side", "-f", "-")
	w.kubectl(t, "", "delete", "webhook", "page-created", "-n", "cms") // README.md makes one of this name
	w.kubectl(t, "", "wait", "webhooks", "--all", "-n", "cms", "--for=condition=Programmed", "--timeout=60s")
	return w
}

func (w *world) startAPI(t *testing.T) {
	t.Helper()
	env := &envtest.Environment{}
	var err error
	if w.api, err = env.Start(); err != nil {
		t.Fatalf("starting the API server (is KUBEBUILDER_ASSETS set to what hack/k8s/build.sh prints?): %v", err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Errorf("stopping the API server: %v", err)
		}
	})
	w.kubeconfig = w.writeKubeconfig(t, "admin", fmt.Sprintf("{client-certificate-data: %s, client-key-data: %s}",
		base64.StdEncoding.EncodeToString(w.api.CertData), base64.StdEncoding.EncodeToString(w.api.KeyData)))
}

// writeKubeconfig writes one for a user who proves itself by credentials, in
// YAML flow style.
func (w *world) writeKubeconfig(t *testing.T, user, credentials string) string {
	t.Helper()
	return w.write(t, user+".kubeconfig", fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: local, cluster: {server: %q, certificate-authority-data: %s}}]
users: [{name: user, user: %s}]
contexts: [{name: local, context: {cluster: local, user: user}}]
current-context: local
`, "https://"+strings.TrimPrefix(w.api.Host, "https://"), base64.StdEncoding.EncodeToString(w.api.CAData), credentials))
}

func (w *world) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// kubectl runs the real one as the administrator.
func (w *world) kubectl(t *testing.T, input string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), append([]string{"--kubeconfig", w.kubeconfig}, args...)...)
	cmd.Dir = w.root
	cmd.Stdin = strings.NewReader(input)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, complaint.String())
	}
	return string(out)
}

// token is one of a ServiceAccount; an empty audience is the API server itself.
func (w *world) token(t *testing.T, namespace, account, audience string) string {
	t.Helper()
	args := []string{"create", "token", account, "--namespace", namespace}
	if audience != "" {
		args = append(args, "--audience", audience)
	}
	return strings.TrimSpace(w.kubectl(t, "", args...))
}

// startPlanes starts the dispatcher and the manager with the ServiceAccounts
// and rights that they have in a cluster.
func (w *world) startPlanes(t *testing.T) {
	t.Helper()
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", bin+"/", "./cmd/dispatcher", "./cmd/manager")
	build.Dir, build.Env = w.root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	config := func(account string) string {
		t.Helper()
		return w.writeKubeconfig(t, account, fmt.Sprintf("{token: %s}", w.token(t, system, account, "")))
	}
	ready := make(chan struct{})
	w.start(t, func(line logLine) {
		if line.Msg == "ready for events" {
			w.events, w.admin = "http://"+line.Address, "http://"+line.Admin
			close(ready)
		}
	}, filepath.Join(bin, "dispatcher"),
		"--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--data-dir="+t.TempDir(), "--namespace="+system,
		"--kubeconfig="+config("postrider-dispatcher"), "--egress-allow-cidr=127.0.0.0/8")
	select {
	case <-ready:
	case <-time.After(time.Minute):
		t.Fatal("the dispatcher is not ready after a minute")
	}

	w.metrics = "http://" + freeAddress(t)
	w.start(t, func(logLine) {}, filepath.Join(bin, "manager"),
		"--namespace="+system, "--kubeconfig="+config("postrider-manager"), "--leader-elect", "--activity-interval=1s",
		"--dispatcher-url="+w.admin, "--dispatcher-token-file="+w.write(t, "reports.token", w.token(t, system, "postrider-manager", "postrider")),
		"--metrics-bind-address="+strings.TrimPrefix(w.metrics, "http://"))
}

// freeAddress is one of loopback that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // it served its purpose
	return l.Addr().String()
}

// logLine is what is read of the log of a process.
type logLine struct{ Msg, Address, Admin string }

// start runs a process until the test ends. The end of its log is shown when
// the test has failed.
func (w *world) start(t *testing.T, see func(logLine), path string, args ...string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var log []string
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			log = append(log, lines.Text())
			var line logLine
			if json.Unmarshal(lines.Bytes(), &line) == nil {
				see(line)
			}
		}
		_ = cmd.Wait() // being killed is its fate
	}()
	t.Cleanup(func() {
		stop()
		<-ended
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", filepath.Base(path), strings.Join(log[max(0, len(log)-20):], "\n"))
		}
	})
}

// scrape is a page of metrics.
func (w *world) scrape(t *testing.T, url string) string {
	t.Helper()
	var page string
	eventually.True(t, url+" to answer", func() bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req) //nolint:forbidigo // of a page on loopback
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		var text strings.Builder
		_, err = bufio.NewReader(resp.Body).WriteTo(&text)
		page = text.String()
		return err == nil && resp.StatusCode == http.StatusOK
	})
	return page
}
