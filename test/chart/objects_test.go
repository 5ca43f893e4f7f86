package chart_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// containers returns those of a Deployment, to be read and changed, and none of other objects.
func containers(t *testing.T, u unstructured.Unstructured) []map[string]any {
	t.Helper()
	if u.GetKind() != "Deployment" {
		return nil
	}
	found, _, err := unstructured.NestedFieldNoCopy(u.Object, "spec", "template", "spec", "containers")
	if err != nil {
		t.Fatal(err)
	}
	list, ok := found.([]any)
	if !ok || len(list) == 0 {
		t.Fatalf("%s has no containers", u.GetName())
	}
	var all []map[string]any
	for _, c := range list {
		c, ok := c.(map[string]any)
		if !ok {
			t.Fatalf("a container of %s is a %T", u.GetName(), c)
		}
		all = append(all, c)
	}
	return all
}

// args returns the flags of the only container of a Deployment.
func args(t *testing.T, u unstructured.Unstructured) []string {
	t.Helper()
	all, _, err := unstructured.NestedStringSlice(containers(t, u)[0], "args")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// find returns the object of a kind and name.
func find(t *testing.T, all []unstructured.Unstructured, kind, name string) unstructured.Unstructured {
	t.Helper()
	for _, u := range all {
		if u.GetKind() == kind && u.GetName() == name {
			return u
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return unstructured.Unstructured{}
}

func cmpStrings(t *testing.T, a, b any) int {
	t.Helper()
	x, ok1 := a.(string)
	y, ok2 := b.(string)
	if !ok1 || !ok2 {
		t.Fatalf("%v or %v is no string", a, b)
	}
	return strings.Compare(x, y)
}
