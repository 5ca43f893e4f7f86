// Package chart_test holds the Helm chart against the kustomizations, and both
// against a real API server, with Helm 3 and Helm 4.
package chart_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const (
	repository      = "../.."
	chart           = repository + "/charts/postrider"
	systemNamespace = "postrider-system"
)

// helms are the programs of Helm 3 and Helm 4, by their names.
var helms = map[string]string{"helm3": "", "helm4": ""}

// One API server serves the tests of the package. It has the kinds of others that
// the chart uses, and not Postrider's.
var (
	cluster    kubernetes.Interface
	objects    dynamic.Interface
	mapper     *restmapper.DeferredDiscoveryRESTMapper
	kubeconfig string // of an administrator
	kubectl    string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	env := &envtest.Environment{ErrorIfCRDPathMissing: true}
	defer func() {
		if err := env.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the API server:", err)
		}
	}()
	home, err := os.MkdirTemp("", "postrider-chart-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(home) }() // a folder that stays among the temporary ones fails no test
	for _, prepare := range []func() error{look, buildHelms, func() error { return findCRDs(env) }, func() error { return start(env, home) }} {
		if err := prepare(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

// look reads what the programs that the tests start will read: go test remembers
// a result for as long as what the test itself has read does not change.
func look() error {
	for _, tree := range []string{chart, repository + "/config", repository + "/hack/helm3", repository + "/hack/helm4", repository + "/cmd"} {
		err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				_, err = os.ReadFile(path)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// buildHelms builds both, unless Go's cache has them.
func buildHelms() error {
	for name := range helms {
		out, err := command("go", "tool", "-n", "-modfile=hack/"+name+"/go.mod", "helm")
		if err != nil {
			return fmt.Errorf("building %s (if the lines below speak of the network, check it and GOPROXY): %w", name, err)
		}
		helms[name] = strings.TrimSpace(out)
	}
	return nil
}

// findCRDs takes the CRDs of others out of the modules that bring them.
func findCRDs(env *envtest.Environment) error {
	out, err := command("go", "-C", "test/chart/crds", "mod", "download", "-json",
		"github.com/cert-manager/cert-manager", "github.com/prometheus-operator/prometheus-operator")
	if err != nil {
		return fmt.Errorf("downloading CRDs (if the lines below speak of the network, check it and GOPROXY): %w", err)
	}
	for modules := json.NewDecoder(strings.NewReader(out)); modules.More(); {
		var module struct{ Path, Dir string }
		if err := modules.Decode(&module); err != nil {
			return err
		}
		files := map[string][]string{
			"github.com/cert-manager/cert-manager": {
				"deploy/crds/cert-manager.io_certificates.yaml", "deploy/crds/cert-manager.io_issuers.yaml"},
			"github.com/prometheus-operator/prometheus-operator": {
				"example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml", "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"},
		}[module.Path]
		for _, file := range files {
			env.CRDDirectoryPaths = append(env.CRDDirectoryPaths, filepath.Join(module.Dir, file))
		}
	}
	return nil
}

func start(env *envtest.Environment, home string) error {
	cfg, err := env.Start()
	if err != nil {
		return fmt.Errorf("starting the API server (is KUBEBUILDER_ASSETS set to what hack/k8s/build.sh prints?): %w", err)
	}
	cfg.QPS = -1 // nobody else waits
	cluster, err = kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	if objects, err = dynamic.NewForConfig(cfg); err != nil {
		return err
	}
	mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(cluster.Discovery()))
	kubectl = filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl")
	// Helm keeps what it likes in folders of its own.
	for _, variable := range []string{"HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"} {
		if err := os.Setenv(variable, filepath.Join(home, variable)); err != nil {
			return err
		}
	}
	kubeconfig = filepath.Join(home, "kubeconfig")
	return os.WriteFile(kubeconfig, env.KubeConfig, 0o600)
}

// command runs a program in the repository's folder and returns what it printed.
func command(program string, args ...string) (string, error) {
	cmd := exec.Command(program, args...) //nolint:noctx // each ends by itself, and some serve all tests
	cmd.Dir = repository
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "CGO_ENABLED=0", "GOFLAGS=-trimpath") // as make builds, so that it is in the cache
	out, err := cmd.Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%s %s: %w\n%s", filepath.Base(program), strings.Join(args, " "), err, failed.Stderr)
	}
	return string(out), err
}
