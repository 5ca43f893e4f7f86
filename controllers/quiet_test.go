package controllers_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// everyField holds objects that together have each field of each kind.
const everyField = "../test/argocd/testdata/every-field.yaml"

// TestWhatWasAppliedShowsNoDifference keeps tools that compare what is declared
// with what is there quiet: nobody defaults or rewrites a spec.
func TestWhatWasAppliedShowsNoDifference(t *testing.T) {
	kubectl := newKubectl(t)
	declared := map[string]string{"every field": read(t, everyField), "the samples": kubectl.run(t, "", "kustomize", "../config/samples")}
	for name, text := range declared {
		for way, flag := range map[string]string{"by the client": "--server-side=false", "by the server": "--server-side=true"} {
			t.Run(name+" applied "+way, func(t *testing.T) {
				ns := namespace(t)
				text := strings.ReplaceAll(text, "namespace: cms", "namespace: "+ns)
				objects := ours(t, text, ns)
				manifest := manifestOf(t, text)
				kubectl.run(t, manifest, "apply", flag, "-n", ns, "-f", "-")
				for _, want := range objects {
					live := settled(t, want)
					if diff := cmp.Diff(want.Object["spec"], live.Object["spec"]); diff != "" {
						t.Errorf("the spec of %s %s is not what was applied (-declared +live):\n%s", want.GetKind(), want.GetName(), diff)
					}
				}
				if out := kubectl.run(t, manifest, "diff", flag, "-n", ns, "-f", "-"); out != "" {
					t.Errorf("kubectl diff shows:\n%s", out)
				}
			})
		}
	}
}

// TestWhatSomebodyChangedShowsADifference proves that the comparison can see.
func TestWhatSomebodyChangedShowsADifference(t *testing.T) {
	kubectl := newKubectl(t)
	ns := namespace(t)
	text := read(t, everyField)
	kubectl.run(t, text, "apply", "-n", ns, "-f", "-")
	kubectl.run(t, "", "patch", "webhook", "written-out", "-n", ns, "--type=merge", "-p", `{"spec":{"disabled":true}}`)
	if out := kubectl.run(t, text, "diff", "-n", ns, "-f", "-"); !strings.Contains(out, "-  disabled: true") || !strings.Contains(out, "+  disabled: false") {
		t.Errorf("kubectl diff shows:\n%s", out)
	}
}

// settled waits until the controllers have said about the object what they have
// to say, and returns it.
func settled(t *testing.T, o *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	var live *unstructured.Unstructured
	until(t, func() error {
		live = object(t, o.GetKind(), o.GetNamespace(), o.GetName())
		at, _, err := unstructured.NestedInt64(live.Object, "status", "observedGeneration")
		if err == nil && at != live.GetGeneration() {
			err = fmt.Errorf("the status of %s is about generation %d", o.GetName(), at)
		}
		return err
	})
	return live
}

// ours are the objects of our kinds in the text.
func ours(t *testing.T, text, ns string) (list []*unstructured.Unstructured) {
	t.Helper()
	for doc := range strings.SplitSeq(text, "\n---\n") {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), &u.Object); err != nil {
			t.Fatal(err)
		}
		if u.GroupVersionKind().Group == "postrider.dev" {
			u.SetNamespace(ns)
			list = append(list, u)
		}
	}
	if len(list) == 0 {
		t.Fatal("there is nothing of ours")
	}
	return list
}

// manifestOf is the text without its Namespace: the test has one of its own.
func manifestOf(t *testing.T, text string) string {
	t.Helper()
	return strings.Join(slices.DeleteFunc(strings.Split(text, "\n---\n"), func(doc string) bool {
		return strings.Contains(doc, "\nkind: Namespace\n")
	}), "\n---\n")
}

func TestTheObjectsWithEveryFieldHaveEveryField(t *testing.T) {
	has := map[string]bool{}
	for _, o := range ours(t, read(t, everyField), "any") {
		present(o.Object["spec"], o.GetKind(), has)
	}
	for kind, spec := range specs(t) {
		spec.each(kind, func(path string, s schema) {
			if s.Items == nil && len(s.Properties) == 0 && !has[path] {
				t.Errorf("%s lacks %s", everyField, path)
			}
		})
	}
}

func TestNoSpecHasDefaults(t *testing.T) {
	for kind, spec := range specs(t) {
		spec.each(kind, func(path string, s schema) {
			if s.Default != nil {
				t.Errorf("%s has the default %v, which would be written into what people declared; let the compiler apply it", path, s.Default)
			}
		})
	}
}

// schema is what counts here of the schema of a field.
type schema struct {
	Default    any
	Properties map[string]schema
	Items      *schema
}

// specs are the schemas of the specs in the CRDs, by kind.
func specs(t *testing.T) map[string]schema {
	t.Helper()
	files, err := filepath.Glob("../config/crd/bases/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no CRDs: %v", err)
	}
	all := map[string]schema{}
	for _, file := range files {
		var crd struct {
			Spec struct {
				Names    struct{ Kind string }
				Versions []struct {
					Schema struct{ OpenAPIV3Schema schema }
				}
			}
		}
		if err := yaml.Unmarshal([]byte(read(t, file)), &crd); err != nil {
			t.Fatal(err)
		}
		for _, v := range crd.Spec.Versions {
			spec, ok := v.Schema.OpenAPIV3Schema.Properties["spec"]
			if !ok || len(spec.Properties) == 0 {
				t.Fatalf("%s has no spec", file)
			}
			all[crd.Spec.Names.Kind] = spec
		}
	}
	return all
}

// each visits s, which is at the path, and all below it.
func (s schema) each(path string, visit func(path string, s schema)) {
	visit(path, s)
	if s.Items != nil {
		s.Items.each(path+"[]", visit)
	}
	for name, below := range s.Properties {
		below.each(path+"."+name, visit)
	}
}

// present notes the paths of all fields of a value.
func present(value any, path string, in map[string]bool) {
	switch v := value.(type) {
	case map[string]any:
		for name, below := range v {
			present(below, path+"."+name, in)
		}
	case []any:
		for _, below := range v {
			present(below, path+"[]", in)
		}
	default:
		in[path] = true
	}
}

// TestFluxLeavesTheCRDsAsTheyAre: their descriptions and rules hold "${" or may,
// which Flux would take for variables of its own.
func TestFluxLeavesTheCRDsAsTheyAre(t *testing.T) {
	files, err := filepath.Glob("../config/crd/bases/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no CRDs: %v", err)
	}
	for _, file := range files {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(read(t, file)), &u.Object); err != nil {
			t.Fatal(err)
		}
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(u.GroupVersionKind())
		if err := api.Get(t.Context(), client.ObjectKeyFromObject(u), live); err != nil {
			t.Fatal(err)
		}
		for where, o := range map[string]*unstructured.Unstructured{file: u, "the API server": live} {
			if o.GetAnnotations()["kustomize.toolkit.fluxcd.io/substitute"] != "disabled" {
				t.Errorf("%s in %s has the annotations %v", u.GetName(), where, o.GetAnnotations())
			}
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A kubectl works as the administrator of the API server of the tests.
type kubectl struct{ config, cache string }

func newKubectl(t *testing.T) kubectl {
	t.Helper()
	dir := t.TempDir()
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: server.Host, CertificateAuthorityData: server.CAData}
	config.AuthInfos["test"] = &clientcmdapi.AuthInfo{ClientCertificateData: server.CertData, ClientKeyData: server.KeyData}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test"}
	config.CurrentContext = "test"
	k := kubectl{filepath.Join(dir, "kubeconfig"), filepath.Join(dir, "cache")}
	if err := clientcmd.WriteToFile(*config, k.config); err != nil {
		t.Fatal(err)
	}
	return k
}

// run returns what kubectl prints: of kubectl diff, also the difference.
func (k kubectl) run(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	args = append([]string{"--kubeconfig", k.config, "--cache-dir", k.cache}, args...)
	cmd := exec.CommandContext(t.Context(), filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), args...)
	cmd.Stdin = strings.NewReader(stdin)
	var words bytes.Buffer
	cmd.Stderr = &words
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 && len(out) > 0 && words.Len() == 0 {
		return string(out) // a difference
	}
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, words.String())
	}
	return string(out)
}
