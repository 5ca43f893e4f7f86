// Package argocd holds what this repository gives to Argo CD against Argo CD's own
// code: its Lua engine, its way of comparing, and its type of an Application.
package argocd_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const root = "../.." // of the repository

// One API server serves every test; each test has a namespace of its own.
var (
	server  *rest.Config // as its administrator
	cluster kubernetes.Interface
	config  string // a kubeconfig of the same
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) //nolint:forbidigo // there is no test yet whose context it could be
	defer cancel()
	argo, err := module(ctx, "github.com/argoproj/argo-cd/v3")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	env := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join(root, "config/crd/bases"), filepath.Join(argo, "manifests/crds/application-crd.yaml"), filepath.Join(argo, "manifests/crds/appproject-crd.yaml")},
		ErrorIfCRDPathMissing: true,
	}
	defer func() { // also if the CRDs were refused
		if err := env.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the API server:", err)
		}
	}()
	if server, err = env.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "starting the API server (is KUBEBUILDER_ASSETS set to what hack/k8s/build.sh prints?):", err)
		return 1
	}
	if cluster, err = kubernetes.NewForConfig(server); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "postrider-argocd-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	config = filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(config, env.KubeConfig, 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// module is the folder of a module that this one requires.
func module(ctx context.Context, path string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", path).Output()
	if err != nil {
		return "", fmt.Errorf("where is %s: %w", path, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// kubectl returns what kubectl prints.
func kubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	args = append([]string{"--kubeconfig", config, "--cache-dir", t.TempDir()}, args...)
	cmd := exec.CommandContext(t.Context(), filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), args...)
	cmd.Stdin = strings.NewReader(stdin)
	var words bytes.Buffer
	cmd.Stderr = &words
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, words.String())
	}
	return string(out)
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
