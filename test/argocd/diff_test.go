package argocd_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/argoproj/argo-cd/v3/common"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	argodiff "github.com/argoproj/argo-cd/v3/util/argo/diff"
	"github.com/argoproj/argo-cd/v3/util/argo/normalizers"
	"github.com/argoproj/gitops-engine/pkg/diff"
	"github.com/argoproj/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/gitops-engine/pkg/utils/tracing"
	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
)

// A way is how Argo CD applies and compares.
type way struct {
	apply   []string // the flags of kubectl that do the same
	compare func(*testing.T, *argodiff.DiffConfigBuilder)
}

func ways(t *testing.T) map[string]way {
	t.Helper()
	cmd := &kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}
	resources, parser, err := cmd.LoadOpenAPISchema(server)
	if err != nil {
		t.Fatal(err)
	}
	byServer := []string{"--server-side", "--field-manager=" + common.ArgoCDSSAManager}
	return map[string]way{
		"by default": {nil, func(*testing.T, *argodiff.DiffConfigBuilder) {}},
		"with ServerSideApply": {byServer, func(_ *testing.T, b *argodiff.DiffConfigBuilder) {
			b.WithStructuredMergeDiff(true).WithGVKParser(parser).WithManager(common.ArgoCDSSAManager)
		}},
		"with ServerSideDiff": {byServer, func(t *testing.T, b *argodiff.DiffConfigBuilder) {
			t.Helper()
			applier, cleanup, err := kube.ManageServerSideDiffDryRuns(server, resources, tracing.NopTracer{}, logr.Discard(), func(string) (kube.CleanupFunc, error) { return func() {}, nil })
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cleanup)
			b.WithServerSideDiff(true).WithServerSideDryRunner(diff.NewK8sServerSideDryRunner(applier)).WithGVKParser(parser).WithManager(common.ArgoCDSSAManager)
		}},
	}
}

// TestArgoCDShowsNoDifferenceAfterASync compares in each way that Argo CD has.
func TestArgoCDShowsNoDifferenceAfterASync(t *testing.T) {
	declared := map[string]string{
		"every field": read(t, "testdata/every-field.yaml"),
		"the samples": kubectl(t, "", "kustomize", filepath.Join(root, "config/samples")),
	}
	for name, w := range ways(t) {
		for what, text := range declared {
			t.Run(what+" "+name, func(t *testing.T) {
				ns := namespace(t)
				text = strings.ReplaceAll(text, "namespace: cms", "namespace: "+ns)
				kubectl(t, text, append([]string{"apply", "-n", ns, "-f", "-"}, w.apply...)...)
				for _, want := range ours(t, text, ns) {
					if d := compare(t, w, want); d.Modified {
						t.Errorf("%s %s differs:\nlive:      %s\npredicted: %s", want.GetKind(), want.GetName(), d.NormalizedLive, d.PredictedLive)
					}
				}
			})
		}
	}
}

// TestArgoCDShowsWhatSomebodyChanged proves that the comparisons can see.
func TestArgoCDShowsWhatSomebodyChanged(t *testing.T) {
	for name, w := range ways(t) {
		t.Run(name, func(t *testing.T) {
			ns := namespace(t)
			text := read(t, "testdata/every-field.yaml")
			kubectl(t, text, append([]string{"apply", "-n", ns, "-f", "-"}, w.apply...)...)
			kubectl(t, "", "patch", "webhook", "written-out", "-n", ns, "--type=merge", "-p", `{"spec":{"disabled":true}}`)
			for _, want := range ours(t, text, ns) {
				if d := compare(t, w, want); d.Modified != (want.GetName() == "written-out") {
					t.Errorf("%s %s is modified: %t", want.GetKind(), want.GetName(), d.Modified)
				}
			}
		})
	}
}

// TestArgoCDShowsAnEventThatSomebodyAdded is why the example of an Application for
// webhooks does not apply by the server: to the server, the elements of a set belong
// to whoever added them, and what others add is no difference.
func TestArgoCDShowsAnEventThatSomebodyAdded(t *testing.T) {
	for name, w := range ways(t) {
		t.Run(name, func(t *testing.T) {
			ns := namespace(t)
			text := read(t, "testdata/every-field.yaml")
			kubectl(t, text, append([]string{"apply", "-n", ns, "-f", "-"}, w.apply...)...)
			kubectl(t, "", "patch", "webhook", "event-handler", "-n", ns, "--type=merge", "-p", `{"spec":{"events":["item:saved","item:*","publish:*"]}}`)
			if d := compare(t, w, ours(t, text, ns)[0]); d.Modified != (w.apply == nil) {
				t.Errorf("it is modified: %t", d.Modified)
			}
		})
	}
}

// compare is what Argo CD finds when it compares what is declared with what is there.
func compare(t *testing.T, w way, declared *unstructured.Unstructured) diff.DiffResult {
	t.Helper()
	b := argodiff.NewDiffConfigBuilder().
		WithDiffSettings(nil, nil, false, normalizers.IgnoreNormalizerOpts{}).
		WithTracking(common.LabelKeyAppInstance, string(v1alpha1.TrackingMethodAnnotation)).
		WithNoCache()
	w.compare(t, b)
	c, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	d, err := argodiff.StateDiff(live(t, declared), declared.DeepCopy(), c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func live(t *testing.T, o *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	client, err := dynamic.NewForConfig(server)
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]string{"Webhook": "webhooks", "WebhookPolicy": "webhookpolicies", "AuthorizationItem": "authorizationitems"}[o.GetKind()]
	kind := schema.GroupVersionResource{Group: "postrider.dev", Version: "v1alpha1", Resource: of}
	u, err := client.Resource(kind).Namespace(o.GetNamespace()).Get(t.Context(), o.GetName(), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return u
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

// namespace makes the namespace of a test.
func namespace(t *testing.T) string {
	t.Helper()
	name := kubectl(t, "apiVersion: v1\nkind: Namespace\nmetadata: {generateName: test-}", "create", "-f", "-", "-o", "jsonpath={.metadata.name}")
	return name
}
