package chart_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

func TestTheAPIServerTakesEveryObject(t *testing.T) {
	namespace(t, systemNamespace, nil)
	for _, s := range settings {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for _, u := range render(t, helms["helm4"], systemNamespace, s.values) {
				if err := tryApply(t, u); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestTheAPIServerRefusesWhatItDoesNotKnow(t *testing.T) {
	namespace(t, systemNamespace, nil)
	all := render(t, helms["helm4"], systemNamespace, `{serviceMonitor: {enabled: true}, prometheusRule: {enabled: true}, tls: {mode: certManager}}`)
	for kind, name := range map[string]string{"Deployment": "postrider-manager", "ServiceMonitor": "postrider-dispatcher", "Certificate": "postrider-dispatcher", "PrometheusRule": "postrider"} {
		u := find(t, all, kind, name)
		if err := unstructured.SetNestedField(u.Object, "x", "spec", "unheardOf"); err != nil {
			t.Fatal(err)
		}
		if err := tryApply(t, u); err == nil || !strings.Contains(err.Error(), "unheardOf") {
			t.Errorf("of a %s with a field that there is not: %v", kind, err)
		}
	}
}

func TestThePodsAreAdmittedWherePodSecurityIsRestricted(t *testing.T) {
	const restricted = "restricted"
	namespace(t, restricted, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	for _, s := range settings {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			pods := 0
			for _, u := range render(t, helms["helm4"], systemNamespace, s.values) {
				if u.GetKind() != "Deployment" {
					continue
				}
				pod := podOf(t, u)
				if _, err := cluster.CoreV1().Pods(restricted).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
					t.Error(err)
				}
				pod.Spec.Containers[0].SecurityContext.RunAsNonRoot = nil
				pod.Spec.SecurityContext.RunAsNonRoot = nil
				if _, err := cluster.CoreV1().Pods(restricted).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); !apierrors.IsForbidden(err) {
					t.Errorf("a pod that may be root was not refused: %v", err)
				}
				pods++
			}
			if pods != 2 {
				t.Errorf("there are %d Deployments", pods)
			}
		})
	}
}

func TestNothingNamesANamespaceOfItsOwn(t *testing.T) {
	for _, s := range settings {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for _, u := range render(t, helms["helm4"], "elsewhere", s.values) {
				b, err := json.Marshal(u.Object)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(b), systemNamespace) {
					t.Errorf("%s %s speaks of %s", u.GetKind(), u.GetName(), systemNamespace)
				}
			}
		})
	}
}

func TestANamespaceMayLookLikeANumber(t *testing.T) {
	for _, u := range render(t, helms["helm4"], "12", `{networkPolicy: {enabled: true}, serviceMonitor: {enabled: true}, prometheusRule: {enabled: true}, grafanaDashboard: {enabled: true}, tls: {mode: certManager}}`) {
		metadata, _, err := unstructured.NestedMap(u.Object, "metadata")
		if namespace, there := metadata["namespace"]; err != nil || there && namespace != "12" {
			t.Errorf("%s %s is in namespace %#v (%v)", u.GetKind(), u.GetName(), namespace, err)
		}
		subjects, _, err := unstructured.NestedSlice(u.Object, "subjects")
		for _, s := range subjects {
			if subject, ok := s.(map[string]any); err != nil || !ok || subject["kind"] == "ServiceAccount" && subject["namespace"] != "12" {
				t.Errorf("%s %s is for %v (%v)", u.GetKind(), u.GetName(), s, err)
			}
		}
	}
}

func TestEveryObjectSaysWhatItBelongsTo(t *testing.T) {
	for _, s := range settings {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for _, u := range render(t, helms["helm4"], systemNamespace, s.values) {
				for key, value := range map[string]string{"app.kubernetes.io/instance": "postrider", "app.kubernetes.io/managed-by": "Helm"} {
					if u.GetLabels()[key] != value {
						t.Errorf("%s %s has the label %s=%q", u.GetKind(), u.GetName(), key, u.GetLabels()[key])
					}
				}
			}
		})
	}
}

// tryApply applies an object as kubectl does with --server-side, strictly and
// without a trace.
func tryApply(t *testing.T, u unstructured.Unstructured) error {
	t.Helper()
	gvk := u.GroupVersionKind()
	mapping, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(u.Object)
	if err != nil {
		t.Fatal(err)
	}
	options := metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: "test", FieldValidation: metav1.FieldValidationStrict}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		_, err = objects.Resource(mapping.Resource).Namespace(u.GetNamespace()).Patch(t.Context(), u.GetName(), types.ApplyPatchType, b, options)
	} else {
		_, err = objects.Resource(mapping.Resource).Patch(t.Context(), u.GetName(), types.ApplyPatchType, b, options)
	}
	return err
}

// podOf is the pod that a Deployment makes.
func podOf(t *testing.T, u unstructured.Unstructured) *corev1.Pod {
	t.Helper()
	template, _, err := unstructured.NestedMap(u.Object, "spec", "template")
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(template, pod); err != nil {
		t.Fatal(err)
	}
	pod.Name, pod.Namespace = "try", ""
	return pod
}

// namespace makes a namespace, which stays: envtest has no controller that would remove it.
func namespace(t *testing.T, name string, labels map[string]string) {
	t.Helper()
	_, err := cluster.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

func TestSwitchesDoWhatTheySay(t *testing.T) {
	objectsOf := func(t *testing.T, values string) []unstructured.Unstructured {
		t.Helper()
		return render(t, helms["helm4"], systemNamespace, values)
	}
	image := func(t *testing.T, values, component string) any {
		t.Helper()
		return containers(t, find(t, objectsOf(t, values), "Deployment", "postrider-"+component))[0]["image"]
	}
	t.Run("images", func(t *testing.T) {
		for _, c := range []struct{ values, component, want string }{
			{``, "manager", "postrider/manager:" + appVersion(t)},
			{`{image: {registry: r.example.com/m/}}`, "dispatcher", "r.example.com/m/postrider/dispatcher:" + appVersion(t)},
			{`{manager: {image: {repository: ours, tag: v9}}}`, "manager", "ours:v9"},
			{`{dispatcher: {image: {tag: v9, digest: "sha256:` + digest + `"}}}`, "dispatcher", "postrider/dispatcher@sha256:" + digest},
		} {
			if got := image(t, c.values, c.component); got != c.want {
				t.Errorf("with %s the image is %v, not %s", c.values, got, c.want)
			}
		}
	})
	t.Run("flags", func(t *testing.T) {
		for _, c := range []struct{ values, component, want string }{
			{`{dispatcher: {store: {maxBytes: 879609302220}}}`, "dispatcher", "--store-max-bytes=879609302220"},
			{`{dispatcher: {store: {sync: interval}}}`, "dispatcher", "--store-sync=interval"},
			{`{dispatcher: {sitecoreCheck: pass}}`, "dispatcher", "--sitecore-check=pass"},
			{`{dispatcher: {validationBudget: 20s}}`, "dispatcher", "--validation-budget=20s"},
			{`{dispatcher: {metricsPerWebhook: false}}`, "dispatcher", "--metrics-per-webhook=false"},
			{`{dispatcher: {egressAllowCIDRs: [10.0.0.0/8, 10.20.0.0/16]}}`, "dispatcher", "--egress-allow-cidr=10.20.0.0/16"},
			{`{dispatcher: {tracing: {enabled: true}}}`, "dispatcher", "--tracing"},
			{`{dispatcher: {extraArgs: [--retention=48h]}}`, "dispatcher", "--retention=48h"},
			{`{manager: {logLevel: debug}}`, "manager", "--log-level=debug"},
			{`{clusterDomain: example.local}`, "manager", "--cluster-domain=example.local"},
			{`{tls: {mode: existingSecret, existingSecret: ours}}`, "manager", "--dispatcher-ca-file=/etc/postrider/ca/ca.crt"},
		} {
			if got := args(t, find(t, objectsOf(t, c.values), "Deployment", "postrider-"+c.component)); !slices.Contains(got, c.want) {
				t.Errorf("with %s the flags are %q", c.values, got)
			}
		}
	})
	t.Run("metrics of webhooks keep the namespace of the webhook", func(t *testing.T) {
		monitor := find(t, objectsOf(t, `{serviceMonitor: {enabled: true}}`), "ServiceMonitor", "postrider-dispatcher")
		endpoints, _, err := unstructured.NestedSlice(monitor.Object, "spec", "endpoints")
		if err != nil || len(endpoints) != 1 {
			t.Fatalf("there are the endpoints %v (%v)", endpoints, err)
		}
		if endpoint, ok := endpoints[0].(map[string]any); !ok || endpoint["honorLabels"] != true {
			t.Errorf("Prometheus renames their label namespace: %v", endpoints[0])
		}
	})
	t.Run("grants in the same namespace are one", func(t *testing.T) {
		role := find(t, objectsOf(t, `{serviceAccountTokens: {grants: [{namespace: cms, serviceAccounts: [a]}, {namespace: shop, serviceAccounts: [c]}, {namespace: cms, serviceAccounts: [a, b]}]}}`), "Role", "postrider-dispatcher-tokens")
		rules, _, err := unstructured.NestedSlice(role.Object, "rules")
		if err != nil || len(rules) != 1 {
			t.Fatalf("there are the rules %v (%v)", rules, err)
		}
		rule, ok := rules[0].(map[string]any)
		if want := []any{"a", "b"}; !ok || role.GetNamespace() != "cms" || !reflect.DeepEqual(rule["resourceNames"], want) {
			t.Errorf("in %s it says %v", role.GetNamespace(), rules[0])
		}
	})
	t.Run("aggregated roles", func(t *testing.T) {
		for _, u := range objectsOf(t, `{aggregateRoles: false}`) {
			for key := range u.GetLabels() {
				if strings.Contains(key, "aggregate-to") {
					t.Errorf("%s is part of another role: %s", u.GetName(), key)
				}
			}
		}
	})
	t.Run("signing keys", func(t *testing.T) {
		for _, u := range objectsOf(t, `{signingKeys: {clusterWide: false}}`) {
			if u.GetKind() == "ClusterRoleBinding" && u.GetName() == "postrider-manager-signing-keys" {
				t.Error("the manager may create signing keys everywhere")
			}
		}
	})
	t.Run("CRDs", func(t *testing.T) {
		for values, want := range map[string]int{``: 3, `{crds: {keep: false}}`: 3, `{crds: {install: false}}`: 0} {
			crds := 0
			for _, u := range objectsOf(t, values) {
				if u.GetKind() != "CustomResourceDefinition" {
					continue
				}
				crds++
				if kept := u.GetAnnotations()["helm.sh/resource-policy"] == "keep"; kept != (values == "") {
					t.Errorf("with %s, that %s is kept is %v", values, u.GetName(), kept)
				}
			}
			if crds != want {
				t.Errorf("with %s there are %d CRDs", values, crds)
			}
		}
	})
	t.Run("a kept volume", func(t *testing.T) {
		claim := find(t, objectsOf(t, `{dispatcher: {store: {keep: true}}}`), "PersistentVolumeClaim", "postrider-dispatcher")
		if claim.GetAnnotations()["helm.sh/resource-policy"] != "keep" {
			t.Error("the volume goes with the release")
		}
	})
	t.Run("no volume with a NATS cluster, and none beside one of yours", func(t *testing.T) {
		for _, values := range []string{natsValues + `}}`, `{dispatcher: {store: {existingClaim: ours}}}`} {
			for _, u := range objectsOf(t, values) {
				if u.GetKind() == "PersistentVolumeClaim" {
					t.Errorf("with %s there is the claim %s", values, u.GetName())
				}
			}
		}
	})
}
