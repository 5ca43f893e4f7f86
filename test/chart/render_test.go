package chart_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// kubeVersion is for helm template, which asks no API server.
const kubeVersion = "--kube-version=1.30.0"

// rendered remembers what [template] returned.
var rendered sync.Map

// render returns the objects of the chart.
func render(t *testing.T, helm, namespace, values string) []unstructured.Unstructured {
	t.Helper()
	key := [...]string{helm, namespace, values}
	out, ok := rendered.Load(key)
	if !ok {
		var err error
		if out, err = template(helm, namespace, values); err != nil {
			t.Fatal(err)
		}
		rendered.Store(key, out)
	}
	documents, ok := out.(string)
	if !ok {
		t.Fatalf("rendered is a %T", out)
	}
	return parse(t, documents)
}

// template renders the chart with values in YAML, as "helm template" does.
func template(helm, namespace, values string) (string, error) {
	file, err := os.CreateTemp("", "values-*.yaml")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.Remove(file.Name()) }() // as with home
	if _, err := file.WriteString(values); err != nil {
		return "", err
	}
	if err := file.Close(); err != nil {
		return "", err
	}
	return command(helm, "template", "postrider", "charts/postrider", "--namespace", namespace, kubeVersion, "--values", file.Name())
}

// kustomize returns the objects of config/default with components of config.
func kustomize(t *testing.T, components ...string) []unstructured.Unstructured {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	if root, err = filepath.Rel(dir, root); err != nil {
		t.Fatal(err)
	}
	k := map[string]any{"resources": []string{root + "/config/default"}}
	var paths []string
	for _, c := range components {
		paths = append(paths, root+"/config/"+c)
	}
	k["components"] = paths
	b, err := yaml.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := command(kubectl, "kustomize", dir)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, out)
}

// parse reads YAML documents, and takes no key twice.
func parse(t *testing.T, documents string) []unstructured.Unstructured {
	t.Helper()
	var all []unstructured.Unstructured
	for document := range strings.SplitSeq("\n"+documents, "\n---\n") {
		var u unstructured.Unstructured
		if err := yaml.UnmarshalStrict([]byte(document+"\n"), &u.Object); err != nil {
			t.Fatalf("%v in:\n%s", err, document)
		}
		if len(u.Object) > 0 {
			all = append(all, u)
		}
	}
	if len(all) == 0 {
		t.Fatal("nothing was rendered")
	}
	return all
}

// appVersion is that of Chart.yaml.
func appVersion(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(chart + "/Chart.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var c struct{ AppVersion string }
	if err := yaml.Unmarshal(b, &c); err != nil || c.AppVersion == "" {
		t.Fatalf("Chart.yaml has no appVersion: %v", err)
	}
	return c.AppVersion
}
