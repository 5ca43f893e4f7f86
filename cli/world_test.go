package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/postrider/postrider/cli"
	"github.com/postrider/postrider/controllers"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/internal/transcript"
	"github.com/postrider/postrider/test/process"
	"github.com/postrider/postrider/test/receiver"
)

const system = "postrider-system"

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(process.Main(m))
}

// A world is a real API server, manager and dispatcher, which know each other, and a
// user with a kubeconfig.
type world struct {
	api        kubernetes.Interface
	config     *rest.Config // of the administrator
	dispatcher *process.Dispatcher
	identity   identity // of the fronts
	front      *front
	receiver   *receiver.Receiver
	kubeconfig string // of the user, who is a ServiceAccount of another namespace
	userToken  string
	kubectl    func(t *testing.T, stdin string, args ...string) string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: this test needs a real kube-apiserver and etcd; run it with `make test`, or with KUBEBUILDER_ASSETS=$(hack/k8s/build.sh)")
	}
	env := &envtest.Environment{}
	config, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	w := &world{config: config}
	w.api = kubernetes.NewForConfigOrDie(config)
	admin, err := env.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	kubectl, err := admin.Kubectl()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w.kubectl = func(t *testing.T, stdin string, args ...string) string {
		t.Helper()
		if stdin != "" {
			path := filepath.Join(dir, "in.yaml")
			write(t, path, stdin)
			args = append(args, "-f", path)
		}
		out, errs, err := kubectl.Run(args...)
		said := read(t, out)
		if err != nil {
			t.Fatalf("kubectl %s: %v\n%s%s", strings.Join(args, " "), err, said, read(t, errs))
		}
		return said
	}
	w.kubectl(t, "", "apply", "--server-side", "-k", "../config/local")
	w.kubectl(t, "", "wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
	w.startPlanes(t)
	w.identity = newIdentity(t)
	w.front = newFront(t, w.identity, w.dispatcher.Events())
	w.receiver = receiver.New(t, receiver.Options{})
	w.addUser(t)
	return w
}

func read(t *testing.T, from io.Reader) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := b.ReadFrom(from); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// token has the API server make one for a ServiceAccount.
func (w *world) token(t *testing.T, namespace, name string, audiences ...string) string {
	t.Helper()
	made, err := w.api.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), name, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: audiences, ExpirationSeconds: new(int64(3600))},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made.Status.Token
}

// kubeconfigOf writes one for whoever has the token.
func (w *world) kubeconfigOf(t *testing.T, token string) string {
	t.Helper()
	return kubeconfig(t, w.config.Host, w.config.CAData, token)
}

func kubeconfig(t *testing.T, server string, authority []byte, token string) string {
	t.Helper()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.crt")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: user, user: {token: %q}}]
contexts: [{name: test, context: {cluster: test, user: user, namespace: default}}]
current-context: test
`, server, ca, token)
	path := filepath.Join(dir, "config")
	for file, content := range map[string][]byte{ca: authority, path: []byte(text)} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// startPlanes starts the dispatcher as a process and the manager, each with the
// rights that it has in a cluster.
func (w *world) startPlanes(t *testing.T) {
	t.Helper()
	w.dispatcher = process.New(t, process.Options{Args: []string{
		"--routes-file=", "--token-file=", "--namespace=" + system,
		"--kubeconfig=" + w.kubeconfigOf(t, w.token(t, system, "postrider-dispatcher")),
	}})
	w.dispatcher.Start(t)

	reports := filepath.Join(t.TempDir(), "reports.token")
	if err := os.WriteFile(reports, []byte(w.token(t, system, "postrider-manager", "postrider")), 0o600); err != nil {
		t.Fatal(err)
	}
	config := rest.AnonymousClientConfig(w.config)
	config.BearerToken = w.token(t, system, "postrider-manager")
	manager, err := controllers.New(config, controllers.Options{
		Namespace:         system,
		DispatcherURLs:    []string{w.dispatcher.Admin()},
		DispatcherService: types.NamespacedName{},
		AdminPortName:     controllers.DefaultAdminPortName,
		TokenFile:         reports,
		ActivityInterval:  time.Second,
		Grace:             10 * time.Second,
		MetricsAddress:    "0", ProbeAddress: "0",
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := manager.Start(ctx); err != nil {
			t.Errorf("the manager ended: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

// addUser adds somebody who may view all webhooks and make tokens of ServiceAccounts,
// and proves themselves by a token.
func (w *world) addUser(t *testing.T) {
	t.Helper()
	w.kubectl(t, "", "create", "namespace", "people")
	w.kubectl(t, "", "create", "serviceaccount", "ada", "-n", "people")
	w.kubectl(t, "", "create", "clusterrolebinding", "ada-views", "--clusterrole=postrider-viewer", "--serviceaccount=people:ada")
	w.kubectl(t, "", "create", "clusterrole", "tokens", "--verb=create", "--resource=serviceaccounts/token")
	w.kubectl(t, "", "create", "clusterrolebinding", "ada-makes-tokens", "--clusterrole=tokens", "--serviceaccount=people:ada")
	w.userToken = w.token(t, "people", "ada")
	w.kubeconfig = w.kubeconfigOf(t, w.userToken)
}

// tenant makes a namespace. With operator, the ServiceAccount of the plugin is there
// and may do everything.
func (w *world) tenant(t *testing.T, operator bool) string {
	t.Helper()
	ns, err := w.api.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if operator {
		w.kubectl(t, "", "create", "serviceaccount", "postrider-cli", "-n", ns.Name)
		for _, role := range []string{"operator", "producer"} {
			w.kubectl(t, "", "create", "rolebinding", "postrider-cli-"+role, "-n", ns.Name, "--clusterrole=postrider-"+role, "--serviceaccount="+ns.Name+":postrider-cli")
		}
	}
	return ns.Name
}

// webhook applies one and waits until it is in force. spec is what it has besides its
// type and endpoint, in YAML flow style.
func (w *world) webhook(t *testing.T, namespace, name, path, spec string) {
	t.Helper()
	w.apply(t, namespace, name, path, spec)
	w.kubectl(t, "", "wait", "webhook", name, "-n", namespace, "--for=condition=Ready", "--timeout=30s")
}

func (w *world) apply(t *testing.T, namespace, name, path, spec string) {
	t.Helper()
	w.kubectl(t, fmt.Sprintf("apiVersion: postrider.dev/v1alpha1\nkind: Webhook\nmetadata: {name: %s, namespace: %s}\nspec: {type: EventHandler, endpoint: {url: %q}%s}\n",
		name, namespace, w.receiver.URL(path), spec), "apply", "--server-side")
}

// A result is how a run of the plugin ended.
type result struct {
	code     int
	out, err string
}

// run runs the plugin as the user, in a namespace, with the dispatcher at the front.
func (w *world) run(t *testing.T, namespace string, args ...string) result {
	t.Helper()
	return w.runWith(t.Context(), t, strings.NewReader(""), namespace, args...)
}

func (w *world) runWith(ctx context.Context, t *testing.T, in io.Reader, namespace string, args ...string) result {
	t.Helper()
	return w.start(ctx, in, w.args(namespace, args...)...).wait()
}

// args adds to args who the user is, and where the dispatcher.
func (w *world) args(namespace string, args ...string) []string {
	all := slices.Concat(args, []string{"--kubeconfig", w.kubeconfig, "--server", w.front.URL, "--ca-file", w.identity.file})
	if namespace != "" {
		all = append(all, "-n", namespace)
	}
	return all
}

// runRaw runs the plugin with args and no others.
func (w *world) runRaw(t *testing.T, args ...string) result {
	t.Helper()
	return w.start(t.Context(), strings.NewReader(""), args...).wait()
}

// A running is a run that is under way.
type running struct {
	out, errs transcript.Transcript
	code      chan int
}

func (w *world) start(ctx context.Context, in io.Reader, args ...string) *running {
	r := &running{code: make(chan int, 1)}
	go func() {
		r.code <- cli.Run(ctx, "v0.1.0", args, genericiooptions.IOStreams{In: in, Out: &r.out, ErrOut: &r.errs})
	}()
	return r
}

func (r *running) wait() result { return result{<-r.code, r.out.String(), r.errs.String()} }

// ok fails the test unless the run ended well and said all of want on standard output.
func (r result) ok(t *testing.T, want ...string) result {
	t.Helper()
	return r.ended(t, 0, want...)
}

// ended fails the test unless the run ended with the code and said all of want.
func (r result) ended(t *testing.T, code int, want ...string) result {
	t.Helper()
	if r.code != code {
		t.Errorf("the exit code is %d, want %d; it said:\n%s%s", r.code, code, r.out, r.err)
	}
	for _, text := range want {
		if !strings.Contains(r.out+r.err, text) {
			t.Errorf("it did not say %q, but:\n%s%s", text, r.out, r.err)
		}
	}
	return r
}

// logged waits until the webhook has n attempts in the log.
func (w *world) logged(t *testing.T, namespace, name string, n int) []string {
	t.Helper()
	var ids []string
	eventually.True(t, fmt.Sprintf("%d attempts to %s in the log", n, name), func() bool {
		ids = strings.Fields(w.run(t, namespace, "deliveries", name, "-o", "name").out)
		return len(ids) >= n
	})
	return ids
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
