package argocd_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/argo-cd/v3/util/settings"
	"github.com/argoproj/gitops-engine/pkg/health"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// An installation of Argo CD, like its install.yaml, has this before our health checks come; what its
// owner has set stays.
const installation = `
apiVersion: v1
kind: Namespace
metadata: {name: argocd}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: argocd-cm, labels: {app.kubernetes.io/name: argocd-cm, app.kubernetes.io/part-of: argocd}}
data:
  resource.customizations.health.example.com_Thing: 'return {status = "Healthy"}'
---
apiVersion: v1
kind: Secret
metadata: {name: argocd-secret, labels: {app.kubernetes.io/name: argocd-secret, app.kubernetes.io/part-of: argocd}}
stringData: {server.secretkey: of-a-test}
`

// checks are the health checks that Argo CD reads from its configuration, once
// ours are added to that of one that runs.
func checks(t *testing.T) lua.ResourceHealthOverrides {
	t.Helper()
	kubectl(t, installation, "apply", "-n", "argocd", "-f", "-")
	patch := kubectl(t, "", "kustomize", filepath.Join(root, "config/argocd"))
	kubectl(t, patch, "patch", "-n", "argocd", "configmap", "argocd-cm", "--type=merge", "--patch-file=/dev/stdin")
	return readChecks(t)
}

// readChecks are the health checks that Argo CD reads from its configuration.
func readChecks(t *testing.T) lua.ResourceHealthOverrides {
	t.Helper()
	overrides, err := settings.NewSettingsManager(t.Context(), cluster, "argocd").GetResourceOverrides()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"example.com/Thing", "postrider.dev/Webhook", "postrider.dev/WebhookPolicy", "postrider.dev/AuthorizationItem"} {
		if overrides[kind].HealthLua == "" {
			t.Fatalf("Argo CD has no health check of %s, but of %v", kind, slices.Sorted(maps.Keys(overrides)))
		}
	}
	return overrides
}

func TestAnArgoCDInstalledWithKustomizeHasTheHealthChecksToo(t *testing.T) {
	health, err := filepath.Abs(filepath.Join(root, "config/argocd/health"))
	if err != nil {
		t.Fatal(err)
	}
	// Inside a folder of its own: kustomize takes no absolute path.
	dir := t.TempDir()
	relative, err := filepath.Rel(dir, health)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"installation.yaml":  installation,
		"kustomization.yaml": "namespace: argocd\nresources: [installation.yaml]\ncomponents: [" + relative + "]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kubectl(t, "", "apply", "-k", dir)
	readChecks(t)
}

// TestArgoCDShowsTheHealthOf holds the health checks against what the controllers
// wrote: the tests of package controllers keep the samples.
func TestArgoCDShowsTheHealthOf(t *testing.T) {
	overrides := checks(t)
	const healthy, progressing, degraded = health.HealthStatusHealthy, health.HealthStatusProgressing, health.HealthStatusDegraded
	want := map[string]health.HealthStatus{
		"webhook-new":                      {Status: progressing, Message: "Waiting for the controller"},
		"webhook-unconfirmed":              {Status: progressing, Message: "DispatcherUnreachable: "},
		"webhook-table-refused":            {Status: progressing, Message: "TableRejected: "},
		"webhook-reference-missing":        {Status: progressing, Message: "RefNotFound: "},
		"webhook-secret-missing":           {Status: progressing, Message: "SecretNotFound: "},
		"webhook-ready":                    {Status: healthy, Message: "Valid, complete and in force"},
		"webhook-edited":                   {Status: progressing, Message: "Waiting for the controller"},
		"webhook-invalid":                  {Status: degraded, Message: "InvalidCondition: spec.condition: "},
		"webhook-disabled":                 {Status: healthy, Message: "SpecDisabled: "},
		"webhook-receiver-failing":         {Status: healthy, Message: "ReceiverFailing: "},
		"webhook-receiver-gone":            {Status: healthy, Message: "ReceiverGone: Disabled by Postrider"},
		"webhookpolicy-new":                {Status: progressing, Message: "Waiting for the controller"},
		"webhookpolicy-secret-missing":     {Status: progressing, Message: "SecretNotFound: "},
		"webhookpolicy-ready":              {Status: healthy, Message: "Valid, complete and in force"},
		"authorizationitem-new":            {Status: progressing, Message: "Waiting for the controller"},
		"authorizationitem-secret-missing": {Status: progressing, Message: "SecretNotFound: "},
		"authorizationitem-ready":          {Status: healthy, Message: "Valid, complete and in force"},
		"authorizationitem-invalid":        {Status: degraded, Message: "InvalidAuthorization: "},
	}
	files, err := filepath.Glob("testdata/health/*.yaml")
	if err != nil || len(files) != len(want) {
		t.Errorf("there are %d samples, and %d answers: %v", len(files), len(want), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			u := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(read(t, file)), &u.Object); err != nil {
				t.Fatal(err)
			}
			got, err := health.GetResourceHealth(u, overrides)
			if err != nil {
				t.Fatal(err)
			}
			if got == nil || got.Status != want[name].Status || !strings.HasPrefix(got.Message, want[name].Message) {
				t.Errorf("it is %+v, not %+v", got, want[name])
			}
		})
	}
}

func TestTheThreeKindsHaveOneHealthCheck(t *testing.T) {
	overrides := checks(t)
	of := overrides["postrider.dev/Webhook"].HealthLua
	for _, kind := range []string{"postrider.dev/WebhookPolicy", "postrider.dev/AuthorizationItem"} {
		if overrides[kind].HealthLua != of {
			t.Errorf("%s has another one", kind)
		}
	}
}

func TestArgoCDShowsAnObjectWithoutStatusAsProgressing(t *testing.T) {
	overrides := checks(t)
	for _, status := range []any{nil, map[string]any{}, map[string]any{"conditions": []any{}}} {
		u := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "postrider.dev/v1alpha1", "kind": "Webhook", "metadata": map[string]any{"generation": int64(1)},
		}}
		if status != nil {
			u.Object["status"] = status
		}
		if got, err := health.GetResourceHealth(u, overrides); err != nil || got == nil || got.Status != health.HealthStatusProgressing {
			t.Errorf("with the status %v it is %+v: %v", status, got, err)
		}
	}
}
