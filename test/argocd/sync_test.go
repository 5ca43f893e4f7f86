//go:build e2e

package argocd_test

import (
	"bytes"
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
)

// TestArgoCDDeploysWebhooks runs Postrider and Argo CD for a team that keeps its
// webhooks in Git: what is committed is in force, what somebody changes besides is
// undone, what is taken out is taken away, and what is wrong is seen.
func TestArgoCDDeploysWebhooks(t *testing.T) {
	dir := t.TempDir()
	startPostrider(t, dir)
	startArgoCD(t, dir)

	ns := namespace(t)
	repository := newRepository(t, filepath.Join(dir, "repository"))
	repository.commit(t, "webhooks/terms.yaml", "apiVersion: postrider.dev/v1alpha1\nkind: WebhookPolicy\nmetadata: {name: terms}\nspec: {timeout: 20s, retry: {backoff: [1s, 90s]}}\n")
	repository.commit(t, "webhooks/orders.yaml", fmt.Sprintf(webhook, "orders", "item:*"))
	repository.commit(t, "webhooks/pages.yaml", fmt.Sprintf(webhook, "pages", "page:*"))
	app := application{ns}
	kubectl(t, app.manifest(t, repository), "apply", "-f", "-")

	app.isSyncedAnd(t, "Healthy")
	if got := app.webhook(t, "orders", "{.spec.policyRef.name} {.status.conditions[?(@.type=='Ready')].status}"); got != "terms True" {
		t.Errorf("the webhook that Argo CD created is %q", got)
	}

	t.Run("what somebody changes is undone", func(t *testing.T) {
		kubectl(t, "", "patch", "webhook", "orders", "-n", ns, "--type=merge", "-p", `{"spec":{"events":["*"]}}`)
		until(t, func() error {
			if got := app.webhook(t, "orders", "{.spec.events}"); got != `["item:*"]` {
				return fmt.Errorf("it selects %s", got)
			}
			return nil
		})
		app.isSyncedAnd(t, "Healthy")
	})

	t.Run("a mistake is seen, and its correction too", func(t *testing.T) {
		repository.commit(t, "webhooks/pages.yaml", fmt.Sprintf(webhook, "pages", "page:*")+"  condition: event.data.total >\n")
		app.refresh(t)
		app.isSyncedAnd(t, "Degraded")
		repository.commit(t, "webhooks/pages.yaml", fmt.Sprintf(webhook, "pages", "page:*")+"  condition: event.data.total > 10\n")
		app.refresh(t)
		app.isSyncedAnd(t, "Healthy")
	})

	t.Run("what is missing is waited for", func(t *testing.T) {
		repository.commit(t, "webhooks/orders.yaml", fmt.Sprintf(webhook, "orders", "item:*")+"  authorizationRef: {name: receiver}\n")
		app.refresh(t)
		app.isSyncedAnd(t, "Progressing")
		repository.commit(t, "webhooks/receiver.yaml", `apiVersion: postrider.dev/v1alpha1
kind: AuthorizationItem
metadata: {name: receiver}
spec: {type: Bearer, bearer: {secretKeyRef: {name: token}}}
---
apiVersion: v1
kind: Secret
metadata: {name: token}
stringData: {token: of-a-test}
`)
		app.refresh(t)
		app.isSyncedAnd(t, "Healthy")
	})

	t.Run("what is taken out of the repository is taken away", func(t *testing.T) {
		repository.remove(t, "webhooks/pages.yaml")
		app.refresh(t)
		until(t, func() error {
			if got := kubectl(t, "", "get", "webhooks", "-n", ns, "-o", "name"); got != "webhook.postrider.dev/orders\n" {
				return fmt.Errorf("there are\n%s", got)
			}
			return nil
		})
		app.isSyncedAnd(t, "Healthy")
	})
}

const webhook = `apiVersion: postrider.dev/v1alpha1
kind: Webhook
metadata: {name: %s}
spec:
  type: EventHandler
  events: ["%s"]
  endpoint: {url: "https://receiver.example.com/hooks"}
  policyRef: {name: terms}
`

// An application deploys to one namespace.
type application struct{ namespace string }

// manifest is the example of the documentation, for the repository.
func (a application) manifest(t *testing.T, r repository) string {
	t.Helper()
	text := read(t, filepath.Join(root, "config/argocd/applications/webhooks.yaml"))
	return strings.NewReplacer(
		"https://git.example.com/cms/webhooks.git", "file://"+r.dir,
		"namespace: cms", "namespace: "+a.namespace,
		"    syncOptions:\n", "    syncOptions:\n      - PrunePropagationPolicy=background\n", // in the foreground it takes a garbage collector
	).Replace(text)
}

// refresh has Argo CD look at the repository at once, as its user interface does.
func (a application) refresh(t *testing.T) {
	t.Helper()
	kubectl(t, "", "annotate", "application", "cms-webhooks", "-n", "argocd", "--overwrite", "argocd.argoproj.io/refresh=normal")
	until(t, func() error {
		if at := a.get(t, `{.metadata.annotations.argocd\.argoproj\.io/refresh}`); at != "" {
			return fmt.Errorf("it has yet to look")
		}
		return nil
	})
}

// isSyncedAnd waits until Argo CD says of the application that it is as in the
// repository, and of that health.
func (a application) isSyncedAnd(t *testing.T, health string) {
	t.Helper()
	until(t, func() error {
		if got := a.get(t, "{.status.sync.status} {.status.health.status} {.status.operationState.phase}"); got != "Synced "+health+" Succeeded" {
			return fmt.Errorf("the application is %s: %s", got, a.get(t, "{.status.conditions} {.status.operationState.message} {.status.resources}"))
		}
		return nil
	})
}

func (a application) get(t *testing.T, path string) string {
	t.Helper()
	return kubectl(t, "", "get", "application", "cms-webhooks", "-n", "argocd", "-o", "jsonpath="+path)
}

func (a application) webhook(t *testing.T, name, path string) string {
	t.Helper()
	return kubectl(t, "", "get", "webhook", name, "-n", a.namespace, "-o", "jsonpath="+path)
}

// A repository is one of git, on disk.
type repository struct{ dir string }

func newRepository(t *testing.T, dir string) repository {
	t.Helper()
	r := repository{dir}
	if err := os.MkdirAll(filepath.Join(dir, "webhooks"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.git(t, "init", "--quiet", "--initial-branch=main")
	return r
}

func (r repository) commit(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, file), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r.git(t, "add", file)
	r.git(t, "commit", "--quiet", "--message=Change "+file)
}

func (r repository) remove(t *testing.T, file string) {
	t.Helper()
	r.git(t, "rm", "--quiet", file)
	r.git(t, "commit", "--quiet", "--message=Remove "+file)
}

func (r repository) git(t *testing.T, args ...string) {
	t.Helper()
	args = append([]string{"-C", r.dir, "-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"}, args...)
	if out, err := exec.CommandContext(t.Context(), "git", args...).CombinedOutput(); err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// startPostrider starts the manager and one dispatcher, and waits for them.
func startPostrider(t *testing.T, dir string) {
	t.Helper()
	build(t, root, dir, "./cmd/manager", "./cmd/dispatcher")
	kubectl(t, "", "apply", "-k", filepath.Join(root, "config/default/namespace"))
	kubectl(t, "", "apply", "-k", filepath.Join(root, "config/rbac"))
	token := filepath.Join(dir, "token")
	text := kubectl(t, "", "create", "token", "postrider-manager", "-n", "postrider-system", "--audience=postrider", "--duration=2h")
	if err := os.WriteFile(token, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	admin, probe := address(t), address(t)
	start(t, nil, filepath.Join(dir, "dispatcher"), "--listen="+address(t), "--admin-listen="+admin,
		"--data-dir="+filepath.Join(dir, "store"), "--namespace=postrider-system", "--kubeconfig="+config)
	start(t, nil, filepath.Join(dir, "manager"), "--namespace=postrider-system", "--kubeconfig="+config, "--dispatcher-url=http://"+admin,
		"--dispatcher-token-file="+token, "--health-probe-bind-address="+probe, "--activity-interval=1s")
	ready(t, "http://"+probe+"/readyz")
	ready(t, "http://"+admin+"/readyz")
}

// startArgoCD starts the parts of Argo CD that sync, with our health checks.
func startArgoCD(t *testing.T, dir string) {
	t.Helper()
	build(t, ".", dir, "./parts")
	checks(t)
	kubectl(t, `
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: default, namespace: argocd}
spec:
  sourceRepos: ["*"]
  destinations: [{server: "*", namespace: "*"}]
  clusterResourceWhitelist: [{group: "*", kind: "*"}]
`, "apply", "-f", "-")

	home := filepath.Join(dir, "argocd")
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	environment := []string{
		"HOME=" + home, "TMPDIR=" + home, "PATH=" + os.Getenv("KUBEBUILDER_ASSETS") + ":" + os.Getenv("PATH"),
		"KUBECONFIG=" + config, "ARGOCD_FAKE_IN_CLUSTER=true", // the cluster that it runs in is that of the kubeconfig
		"ARGOCD_GPG_ENABLED=false", "ARGOCD_TLS_DATA_PATH=" + home, "ARGOCD_SSH_DATA_PATH=" + home,
		"ARGOCD_RECONCILIATION_JITTER=0",
	}
	redis, repositories, metrics := address(t), address(t), address(t)
	program := filepath.Join(dir, "parts")
	start(t, environment, program, "redis", redis)
	host, port, err := net.SplitHostPort(repositories)
	if err != nil {
		t.Fatal(err)
	}
	_, metricsPort, err := net.SplitHostPort(metrics)
	if err != nil {
		t.Fatal(err)
	}
	start(t, environment, program, "repo-server", "--address="+host, "--port="+port, "--metrics-address="+host, "--metrics-port="+metricsPort,
		"--disable-tls", "--redis="+redis)
	_, metricsPort, err = net.SplitHostPort(address(t))
	if err != nil {
		t.Fatal(err)
	}
	start(t, environment, program, "application-controller", "--kubeconfig="+config, "--namespace=argocd", "--redis="+redis,
		"--repo-server="+repositories, "--repo-server-plaintext", "--metrics-port="+metricsPort)
	ready(t, "http://127.0.0.1:"+metricsPort+"/healthz")
}

// build builds programs of the module in the folder from into the folder to.
func build(t *testing.T, from, to string, programs ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"build", "-o", to + "/"}, programs...)...)
	cmd.Dir = from
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %v: %v\n%s", programs, err, out)
	}
}

// start starts a program that ends with the test, which shows its words if it failed.
func start(t *testing.T, environment []string, program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = environment
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &words, &words
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Wait() // it was told to end
		if t.Failed() {
			t.Logf("%s %s:\n%s", filepath.Base(program), args[0], words.Bytes()[max(0, words.Len()-20_000):])
		}
	})
}

// address is one on loopback that nobody uses.
func address(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// ready waits until the address answers 200.
func ready(t *testing.T, url string) {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second}
	until(t, func() error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, resp.Status)
		}
		return nil
	})
}

// until waits until check returns no complaint.
func until(t *testing.T, check func() error) {
	t.Helper()
	timeout := time.After(90 * time.Second)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("waited in vain: %v", err)
		}
	}
}
