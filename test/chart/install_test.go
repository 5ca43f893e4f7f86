package chart_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/postrider/postrider/internal/eventually"
)

var crds = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// Helm installs the release, upgrades it and removes it, by the API server's leave;
// pods there are none. The second Helm finds the kinds that the first one left.
func TestHelmInstallsUpgradesAndUninstalls(t *testing.T) {
	defer func() {
		for _, name := range crdNames(t) {
			if err := objects.Resource(crds).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		}
	}()
	for name, helm := range helms {
		t.Run(name, func(t *testing.T) {
			run := func(args ...string) string {
				t.Helper()
				out, err := command(helm, args...)
				if err != nil {
					t.Fatal(err)
				}
				return out
			}
			const namespace = "hooks"
			notes := run("install", "postrider", "charts/postrider", "--namespace", namespace, "--create-namespace")
			if got := crdNames(t); len(got) != 3 {
				t.Errorf("there are the kinds %v", got)
			}
			runNotes(t, notes)

			leaveVolume(t, helm, namespace)
			run("upgrade", "postrider", "charts/postrider", "--namespace", namespace, "--set", "dispatcher.nats.urls={tls://nats:4222},dispatcher.replicas=3,networkPolicy.enabled=true")
			if claim := claim(t, namespace); claim.DeletionTimestamp != nil {
				t.Error("the volume went although it was to be kept")
			}
			d, err := cluster.AppsV1().Deployments(namespace).Get(t.Context(), "postrider-dispatcher", metav1.GetOptions{})
			if err != nil || *d.Spec.Replicas != 3 || d.Spec.Strategy.Type != "RollingUpdate" {
				t.Errorf("after the upgrade there are %v dispatchers by %v (%v)", *d.Spec.Replicas, d.Spec.Strategy.Type, err)
			}
			run("upgrade", "postrider", "charts/postrider", "--namespace", namespace, "--reset-values")
			if d, err = cluster.AppsV1().Deployments(namespace).Get(t.Context(), "postrider-dispatcher", metav1.GetOptions{}); err != nil || *d.Spec.Replicas != 1 || d.Spec.Strategy.Type != "Recreate" || d.Spec.Strategy.RollingUpdate != nil {
				t.Errorf("back at one there are %v dispatchers by %v (%v)", *d.Spec.Replicas, d.Spec.Strategy, err)
			}

			out := run("uninstall", "postrider", "--namespace", namespace)
			releaseVolume(t, namespace)
			for _, name := range crdNames(t) {
				if !strings.Contains(out, name) {
					t.Errorf("that %s stays, uninstall does not say:\n%s", name, out)
				}
			}
			if got := crdNames(t); len(got) != 3 {
				t.Errorf("of the kinds there are left %v", got)
			}
			for _, list := range []string{"clusterroles", "clusterrolebindings", "roles,rolebindings,services,deployments,serviceaccounts,networkpolicies,poddisruptionbudgets", "validatingadmissionpolicies,validatingadmissionpolicybindings"} {
				left, err := command(kubectl, "get", list, "--all-namespaces", "--selector=app.kubernetes.io/instance=postrider", "--output=name")
				if err != nil {
					t.Fatal(err)
				}
				if left != "" {
					t.Errorf("what stays when the release is uninstalled:\n%s", left)
				}
			}
		})
	}
}

// leaveVolume has Helm refuse whatever would delete the volume, and then keep it.
func leaveVolume(t *testing.T, helm, namespace string) {
	t.Helper()
	for _, set := range []string{"dispatcher.nats.urls={tls://nats:4222}", "dispatcher.store.existingClaim=ours", "nameOverride=hooks",
		"dispatcher.store.keep=true,dispatcher.nats.urls={tls://nats:4222}"} {
		_, err := command(helm, "upgrade", "postrider", "charts/postrider", "--namespace", namespace, "--set", set)
		if err == nil || !strings.Contains(err.Error(), "dispatcher.store.keep=true") {
			t.Errorf("with %s: %v", set, err)
		}
	}
	if claim := claim(t, namespace); claim.DeletionTimestamp != nil {
		t.Error("the volume went with an upgrade that was refused")
	}
	// A chart that has this one as a part may have volumes of its own.
	other := claim(t, namespace)
	other.ObjectMeta = metav1.ObjectMeta{Namespace: namespace, Name: "other-" + filepath.Base(t.Name()), Annotations: other.Annotations}
	if _, err := cluster.CoreV1().PersistentVolumeClaims(namespace).Create(t.Context(), other, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := command(helm, "upgrade", "postrider", "charts/postrider", "--namespace", namespace, "--set", "dispatcher.store.keep=true"); err != nil {
		t.Fatal(err)
	}
}

// releaseVolume does what a controller of the cluster does when no pod uses the
// volume any more, and fails when Helm has not deleted it.
func releaseVolume(t *testing.T, namespace string) {
	t.Helper()
	deleted := claim(t, namespace)
	if deleted.DeletionTimestamp == nil {
		t.Error("the volume stays when the release is uninstalled")
	}
	deleted.Finalizers = nil
	if _, err := cluster.CoreV1().PersistentVolumeClaims(namespace).Update(t.Context(), deleted, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// claim is that of the embedded store.
func claim(t *testing.T, namespace string) *corev1.PersistentVolumeClaim {
	t.Helper()
	claim, err := cluster.CoreV1().PersistentVolumeClaims(namespace).Get(t.Context(), "postrider-dispatcher", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return claim
}

// crdNames lists the kinds of Postrider.
func crdNames(t *testing.T) []string {
	t.Helper()
	list, err := objects.Resource(crds).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/instance=postrider"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, crd := range list.Items {
		names = append(names, crd.GetName())
	}
	return names
}

// A kind belongs to the release that has brought it, even when that is gone.
func TestAnotherReleaseTakesOverTheKindsWhenItIsTold(t *testing.T) {
	const first, second = "former", "later"
	for name, helm := range helms {
		t.Run(name, func(t *testing.T) {
			defer func() {
				for _, name := range crdNames(t) {
					if err := objects.Resource(crds).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
						t.Error(err)
					}
				}
			}()
			run := func(args ...string) {
				t.Helper()
				if _, err := command(helm, args...); err != nil {
					t.Fatal(err)
				}
			}
			refused := func(args ...string) {
				t.Helper()
				if _, err := command(helm, args...); err == nil || !strings.Contains(err.Error(), "postrider") || !strings.Contains(err.Error(), "invalid ownership metadata") {
					t.Errorf("%s: %v", strings.Join(args, " "), err)
				}
			}
			install := func(namespace string, more ...string) []string {
				return append([]string{"install", "postrider", "charts/postrider", "--namespace", namespace, "--create-namespace"}, more...)
			}
			run(install(first)...)
			refused(install(second)...)
			refused(install(second, "--set=nameOverride=hooks")...)
			run("uninstall", "postrider", "--namespace", first)
			refused(install(second)...)
			run(install(second, "--take-ownership")...)
			run("upgrade", "postrider", "charts/postrider", "--namespace", second)
			run("uninstall", "postrider", "--namespace", second)
			releaseVolume(t, first)
			releaseVolume(t, second)
		})
	}
}

// step is the beginning of one of the steps of NOTES.txt.
var step = regexp.MustCompile(`(?m)^\d\. .*:$`)

// runNotes runs the commands of NOTES.txt that need no pod, and has bash read the others.
func runNotes(t *testing.T, notes string) {
	t.Helper()
	steps := step.Split(notes, -1)
	if len(steps) != 4 {
		t.Fatalf("there are not three steps:\n%s", notes)
	}
	bin := t.TempDir()
	if err := os.Symlink(kubectl, filepath.Join(bin, "kubectl")); err != nil {
		t.Fatal(err)
	}
	bash := func(script string, flags ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "bash", append(flags, "-euo", "pipefail", "-c", script)...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "PATH="+bin+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, script, out)
		}
		return string(out)
	}
	commands := func(i int) string { return script(steps[i]) }
	eventually.True(t, "the kinds to be served", func() bool {
		_, err := command(kubectl, "get", "webhooks.postrider.dev", "--namespace=default")
		return err == nil
	})
	if out := bash(commands(1)); !strings.Contains(out, "webhook.postrider.dev/first created") {
		t.Errorf("the first step says\n%s", out)
	}
	bash(commands(2), "-n")
	if !strings.Contains(commands(2), "curl") {
		t.Errorf("the second step sends nothing:\n%s", commands(2))
	}
	if out := bash(commands(3)); !strings.Contains(out, "first") {
		t.Errorf("the third step says\n%s", out)
	}
	bash("kubectl delete --namespace default webhook/first serviceaccount/producer rolebinding/producer")
	if _, err := cluster.CoreV1().ServiceAccounts("default").Get(t.Context(), "producer", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Error(err)
	}
	if !strings.Contains(notes, "kubectl delete crd") {
		t.Errorf("the notes do not say what stays:\n%s", notes)
	}
}

// script returns the lines of a step that are commands, which are indented.
func script(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if command, ok := strings.CutPrefix(line, "  "); ok {
			lines = append(lines, command)
		} else if strings.TrimSpace(line) != "" {
			break
		}
	}
	return strings.Join(lines, "")
}

func TestHelmFindsNoFault(t *testing.T) {
	for name, helm := range helms {
		t.Run(name, func(t *testing.T) {
			for _, s := range settings {
				if s.components == nil && s.values != "" {
					continue // the API server judges all of them
				}
				t.Run(s.name, func(t *testing.T) {
					t.Parallel()
					values := filepath.Join(t.TempDir(), "values.yaml")
					if err := os.WriteFile(values, []byte(s.values), 0o600); err != nil {
						t.Fatal(err)
					}
					if out, err := command(helm, "lint", "--strict", "charts/postrider", kubeVersion, "--values", values); err != nil || strings.Contains(out, "[WARNING]") {
						t.Errorf("%v\n%s", err, out)
					}
				})
			}
		})
	}
}
