package chart_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestChartAndKustomizationsAreTheSameObjects(t *testing.T) {
	for name, helm := range helms {
		t.Run(name, func(t *testing.T) {
			for _, s := range settings {
				if s.chartOnly {
					continue
				}
				t.Run(s.name, func(t *testing.T) {
					t.Parallel()
					fromChart := named(t, render(t, helm, systemNamespace, s.values))
					fromConfig := named(t, kustomize(t, s.components...))
					// Helm makes the namespace itself, with --create-namespace.
					const namespace = "v1 Namespace /postrider-system"
					if fromConfig[namespace] == nil {
						t.Errorf("config/default does not make its namespace")
					}
					delete(fromConfig, namespace)
					for name := range maps.Keys(fromChart) {
						if _, both := fromConfig[name]; !both {
							t.Errorf("only the chart has %s", name)
						}
					}
					for name, object := range fromConfig {
						if diff := cmp.Diff(object, fromChart[name]); diff != "" {
							t.Errorf("%s (-kustomize +helm)\n%s", name, diff)
						}
					}
				})
			}
		})
	}
}

func TestTheChartRendersTheSameEachTime(t *testing.T) {
	for _, s := range settings {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			var last string
			for range 2 {
				out, err := template(helms["helm4"], systemNamespace, s.values)
				if err != nil {
					t.Fatal(err)
				}
				if last != "" && out != last {
					t.Error(cmp.Diff(last, out))
				}
				last = out
			}
		})
	}
}

// named returns objects by kind and name, without what says only that Helm brought
// them, and with the flags of containers sorted: their order means nothing.
func named(t *testing.T, all []unstructured.Unstructured) map[string]any {
	t.Helper()
	byName := map[string]any{}
	for _, u := range all {
		forget(&u, "labels", "app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/chart")
		forget(&u, "annotations", "helm.sh/resource-policy")
		for _, c := range containers(t, u) {
			if args, ok := c["args"].([]any); ok {
				slices.SortFunc(args, func(a, b any) int { return cmpStrings(t, a, b) })
			}
		}
		name := u.GetAPIVersion() + " " + u.GetKind() + " " + u.GetNamespace() + "/" + u.GetName()
		if byName[name] != nil {
			t.Errorf("%s is there twice", name)
		}
		byName[name] = u.Object
	}
	return byName
}

// forget removes keys of labels or annotations, and the map when nothing is left.
func forget(u *unstructured.Unstructured, field string, keys ...string) {
	for _, key := range keys {
		unstructured.RemoveNestedField(u.Object, "metadata", field, key)
	}
	if left, _, err := unstructured.NestedMap(u.Object, "metadata", field); err == nil && len(left) == 0 {
		unstructured.RemoveNestedField(u.Object, "metadata", field)
	}
}
