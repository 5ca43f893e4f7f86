package main_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// install builds the plugin into a folder, under both of its names, and returns a
// kubectl that finds it there.
func install(t *testing.T) func(args ...string) string {
	t.Helper()
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: this test needs a real kubectl; run it with `make test`, or with KUBEBUILDER_ASSETS=$(hack/k8s/build.sh)")
	}
	dir := t.TempDir()
	plugin := filepath.Join(dir, "kubectl-postrider")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", plugin, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %s", out)
	}
	if err := os.Symlink(plugin, filepath.Join(dir, "kubectl_complete-postrider")); err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(kubeconfig, []byte("apiVersion: v1\nkind: Config\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(assets, "kubectl"), args...)
		cmd.Env = append(os.Environ(), "PATH="+dir, "KUBECONFIG="+kubeconfig, "HOME="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
}

func TestKubectlFindsThePluginAndItsCompletion(t *testing.T) {
	kubectl := install(t)
	if got := kubectl("postrider", "version", "--client"); !strings.HasPrefix(got, "plugin:     ") || strings.Contains(got, "unknown") {
		t.Errorf("the version is %q", got)
	}
	if got := kubectl("plugin", "list"); !strings.Contains(got, "kubectl-postrider") {
		t.Errorf("the plugins are %q", got)
	}
	if got := kubectl("__complete", "postrider", "dead-letters", ""); !strings.Contains(got, "list") || !strings.Contains(got, "redrive") {
		t.Errorf("commands are completed with %q", got)
	}
	if got := kubectl("__complete", "postrider", "list", "--state", ""); !strings.Contains(got, "Failing") {
		t.Errorf("states are completed with %q", got)
	}
}

// A module with replace directives cannot be installed by its path and version.
func TestTheModuleCanBeInstalledByItsPath(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var module struct {
		Require, Replace []struct{}
	}
	if err := json.Unmarshal(out, &module); err != nil || len(module.Require) == 0 || len(module.Replace) > 0 {
		t.Errorf("%d modules are required and %d replaced (%v)", len(module.Require), len(module.Replace), err)
	}
}
