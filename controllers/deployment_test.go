package controllers_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kstatus "sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/internal/scenario"
)

// What tools that wait for a deployment make of our objects: they know none of
// our conditions, only what kstatus, which Flux and kpt judge by, knows.

// object returns the object as any tool reads it.
func object(t *testing.T, kind, ns, name string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	if err := api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: name}, u); err != nil {
		t.Fatal(err)
	}
	return u
}

// judge is what kstatus makes of u, and what it says to that.
func judge(t *testing.T, u *unstructured.Unstructured) (kstatus.Status, string) {
	t.Helper()
	r, err := kstatus.Compute(u)
	if err != nil {
		t.Fatal(err)
	}
	return r.Status, r.Message
}

// isSeenAs waits until the verdict on the object is want and its words hold what
// is said besides, and returns it.
func isSeenAs(t *testing.T, want kstatus.Status, says, kind, ns, name string) *unstructured.Unstructured {
	t.Helper()
	var u *unstructured.Unstructured
	until(t, func() error {
		u = object(t, kind, ns, name)
		if got, words := judge(t, u); got != want || !strings.Contains(words, says) {
			return fmt.Errorf("%s %s is %s: %q", kind, name, got, words)
		}
		return nil
	})
	return u
}

// wouldBe is the object that the API server would make of the text.
func wouldBe(t *testing.T, ns, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(document(ns, text), &u.Object); err != nil {
		t.Fatal(err)
	}
	err := api.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("test"), client.ForceOwnership, client.DryRunAll)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

var (
	times     = regexp.MustCompile(`20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ`)
	addresses = regexp.MustCompile(`127\.0\.0\.1:\d+`)
)

// sample keeps u among the samples that test/argocd judges by the health checks
// of Argo CD, without what differs between two runs.
func sample(t *testing.T, u *unstructured.Unstructured, name string) {
	t.Helper()
	b, err := json.Marshal(map[string]any{
		"apiVersion": u.GetAPIVersion(), "kind": u.GetKind(),
		"metadata": map[string]any{"namespace": "shop", "name": u.GetName(), "generation": u.GetGeneration()},
		"spec":     u.Object["spec"], "status": u.Object["status"],
	})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(b), u.GetNamespace(), "shop")
	text = times.ReplaceAllString(text, "2026-01-02T12:00:00Z")
	text = addresses.ReplaceAllString(text, "10.0.0.7:8081")
	out, err := yaml.JSONToYAML([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	scenario.Golden(t, filepath.Join("../test/argocd/testdata/health", name+".yaml"), out)
}

// terminates checks that an object that cannot go yet is seen as going.
func terminates(t *testing.T, kind, ns, name string) {
	t.Helper()
	u := object(t, kind, ns, name)
	held := u.DeepCopy()
	held.SetFinalizers([]string{"example.com/held"})
	if err := api.Patch(t.Context(), held, client.MergeFrom(u)); err != nil {
		t.Fatal(err)
	}
	if err := api.Delete(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	u = isSeenAs(t, kstatus.TerminatingStatus, "", kind, ns, name)
	free := u.DeepCopy()
	free.SetFinalizers(nil)
	if err := api.Patch(t.Context(), free, client.MergeFrom(u)); err != nil {
		t.Fatal(err)
	}
}

// isStalled reports whether u has the condition at all.
func isStalled(t *testing.T, u *unstructured.Unstructured) bool {
	t.Helper()
	text, err := yaml.Marshal(u.Object["status"])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(text), "type: "+v1alpha1.ConditionStalled)
}

func TestADeploymentWaitsForAWebhookToBeInForce(t *testing.T) {
	ns := namespace(t)
	text := fmt.Sprintf(plain, "orders")
	fresh := wouldBe(t, ns, text)
	if got, words := judge(t, fresh); got != kstatus.InProgressStatus {
		t.Errorf("before any controller saw it, it is %s: %s", got, words)
	}
	sample(t, fresh, "webhook-new")

	peer.set(func(d *dispatcher) { d.silent = true })
	t.Cleanup(func() { peer.set(func(d *dispatcher) { d.silent = false }) })
	apply(t, ns, text)
	becomes(t, ns, "orders", "Ready=Unknown/DispatcherUnreachable")
	sample(t, isSeenAs(t, kstatus.InProgressStatus, "", "Webhook", ns, "orders"), "webhook-unconfirmed")
	peer.set(func(d *dispatcher) { d.silent = false })
	sample(t, isSeenAs(t, kstatus.CurrentStatus, "", "Webhook", ns, "orders"), "webhook-ready")

	edited := wouldBe(t, ns, strings.Replace(text, "item:*", "item:added", 1))
	if got, words := judge(t, edited); got != kstatus.InProgressStatus {
		t.Errorf("of a generation that nobody has looked at, it is %s: %s", got, words)
	}
	sample(t, edited, "webhook-edited")
	terminates(t, "Webhook", ns, "orders")
}

func TestADeploymentFailsWhenOnlyAnEditOfTheWebhookHelps(t *testing.T) {
	ns := namespace(t)
	text := fmt.Sprintf(plain, "orders")
	apply(t, ns, strings.Replace(text, "spec: {", `spec: {condition: "event.data.total >", `, 1))
	becomes(t, ns, "orders", "Accepted=False/InvalidCondition", "Programmed=True/Programmed")
	wrong := isSeenAs(t, kstatus.FailedStatus, "spec.condition", "Webhook", ns, "orders")
	sample(t, wrong, "webhook-invalid")
	if !isStalled(t, wrong) {
		t.Error("it is not stalled")
	}

	apply(t, ns, text)
	if mended := isSeenAs(t, kstatus.CurrentStatus, "", "Webhook", ns, "orders"); isStalled(t, mended) {
		t.Error("it is mended, and still stalled")
	}
}

func TestADeploymentWaitsForWhatAWebhookRefersTo(t *testing.T) {
	ns := namespace(t)
	apply(t, ns, `
kind: Webhook
metadata: {name: orders}
spec: {type: EventHandler, events: ["*"], endpoint: {url: "https://a.example/"}, authorizationRef: {name: receiver}}
`)
	becomes(t, ns, "orders", "ResolvedRefs=False/RefNotFound", "Programmed=True/Programmed")
	sample(t, isSeenAs(t, kstatus.InProgressStatus, `"receiver" does not exist`, "Webhook", ns, "orders"), "webhook-reference-missing")

	const item = "kind: AuthorizationItem\nmetadata: {name: receiver}\nspec: {type: Bearer, bearer: {secretKeyRef: {name: token}}}"
	fresh := wouldBe(t, ns, item)
	if got, words := judge(t, fresh); got != kstatus.InProgressStatus {
		t.Errorf("before any controller saw it, the AuthorizationItem is %s: %s", got, words)
	}
	sample(t, fresh, "authorizationitem-new")
	apply(t, ns, item)
	sample(t, isSeenAs(t, kstatus.InProgressStatus, `Secret "token" does not exist`, "AuthorizationItem", ns, "receiver"), "authorizationitem-secret-missing")
	becomes(t, ns, "orders", "ResolvedRefs=False/SecretNotFound", "Programmed=True/Programmed")
	sample(t, isSeenAs(t, kstatus.InProgressStatus, `Secret "token" does not exist`, "Webhook", ns, "orders"), "webhook-secret-missing")

	apply(t, ns, "kind: Secret\nmetadata: {name: token}\nstringData: {token: let-me-in}")
	sample(t, isSeenAs(t, kstatus.CurrentStatus, "", "AuthorizationItem", ns, "receiver"), "authorizationitem-ready")
	isSeenAs(t, kstatus.CurrentStatus, "", "Webhook", ns, "orders")
	terminates(t, "AuthorizationItem", ns, "receiver")
}

func TestADeploymentFailsWhenOnlyAnEditOfAnAuthorizationItemHelps(t *testing.T) {
	ns := namespace(t)
	const item = `
kind: AuthorizationItem
metadata: {name: receiver}
spec:
  type: OAuth2ClientCredentials
  oauth2ClientCredentials: {authorityURL: "https://login.example.com", clientSecretRef: {name: client}, additionalEndpointBaseAddresses: ["%s"]}`
	apply(t, ns, "kind: Secret\nmetadata: {name: client}\nstringData: {clientID: shop, clientSecret: let-me-in}")
	apply(t, ns, fmt.Sprintf(item, "tokens.example.com"))
	apply(t, ns, `
kind: Webhook
metadata: {name: orders}
spec: {type: EventHandler, events: ["*"], endpoint: {url: "https://a.example/"}, authorizationRef: {name: receiver}}`)
	wrong := isSeenAs(t, kstatus.FailedStatus, "spec.oauth2ClientCredentials", "AuthorizationItem", ns, "receiver")
	sample(t, wrong, "authorizationitem-invalid")
	if w := isSeenAs(t, kstatus.InProgressStatus, "is not accepted", "Webhook", ns, "orders"); isStalled(t, w) {
		t.Error("the Webhook is stalled too, though an edit of it would not help")
	}

	apply(t, ns, fmt.Sprintf(item, "https://tokens.example.com"))
	if mended := isSeenAs(t, kstatus.CurrentStatus, "", "AuthorizationItem", ns, "receiver"); isStalled(t, mended) {
		t.Error("it is mended, and still stalled")
	}
	isSeenAs(t, kstatus.CurrentStatus, "", "Webhook", ns, "orders")
}

// That a policy can be stalled too is shown in package status: what it says by
// itself the CRD judges, so it takes one that another version let in.
func TestADeploymentWaitsForWhatAPolicyRefersTo(t *testing.T) {
	ns := namespace(t)
	const policy = "kind: WebhookPolicy\nmetadata: {name: terms}\nspec: {timeout: 10s, signing: {type: StandardWebhooks, secretRef: {name: key}}}"
	fresh := wouldBe(t, ns, policy)
	if got, words := judge(t, fresh); got != kstatus.InProgressStatus {
		t.Errorf("before any controller saw it, it is %s: %s", got, words)
	}
	sample(t, fresh, "webhookpolicy-new")
	apply(t, ns, policy)
	sample(t, isSeenAs(t, kstatus.InProgressStatus, `Secret "key" does not exist`, "WebhookPolicy", ns, "terms"), "webhookpolicy-secret-missing")
	apply(t, ns, `
kind: Secret
metadata: {name: key}
stringData: {secret: whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=}`)
	sample(t, isSeenAs(t, kstatus.CurrentStatus, "", "WebhookPolicy", ns, "terms"), "webhookpolicy-ready")

	terminates(t, "WebhookPolicy", ns, "terms")
}

func TestADeploymentDoesNotFailForWhatAReceiverDoes(t *testing.T) {
	ns := namespace(t)
	id := ns + "/orders"
	text := fmt.Sprintf(plain, "orders")
	apply(t, ns, text)
	_, r := becomesState(t, ns, v1alpha1.StateEnabled, "")

	peer.tell(failures(id, r.Epoch, 2, outcome.Rejected, 404))
	becomes(t, ns, "orders", "Delivering=False/ReceiverFailing", "Programmed=True/Programmed")
	sample(t, isSeenAs(t, kstatus.CurrentStatus, "", "Webhook", ns, "orders"), "webhook-receiver-failing")

	peer.tell(gone(id, r.Epoch))
	becomesState(t, ns, v1alpha1.StateDisabled, v1alpha1.ReasonReceiverGone)
	becomes(t, ns, "orders", "Delivering=False/ReceiverGone", "Programmed=True/Programmed")
	sample(t, isSeenAs(t, kstatus.CurrentStatus, "", "Webhook", ns, "orders"), "webhook-receiver-gone")

	apply(t, ns, strings.Replace(text, "spec: {", "spec: {disabled: true, ", 1))
	becomesState(t, ns, v1alpha1.StateDisabled, v1alpha1.ReasonSpecDisabled)
	becomes(t, ns, "orders", "Programmed=True/Programmed")
	sample(t, isSeenAs(t, kstatus.CurrentStatus, "", "Webhook", ns, "orders"), "webhook-disabled")
}

func TestADeploymentWaitsWhileADispatcherRefusesTheTable(t *testing.T) {
	ns := namespace(t)
	peer.set(func(d *dispatcher) { d.fault = "the shard has schema 2" })
	t.Cleanup(func() { peer.set(func(d *dispatcher) { d.fault = "" }) })
	apply(t, ns, fmt.Sprintf(plain, "orders"))
	becomes(t, ns, "orders", "Programmed=False/TableRejected")
	sample(t, isSeenAs(t, kstatus.InProgressStatus, "schema 2", "Webhook", ns, "orders"), "webhook-table-refused")
	peer.set(func(d *dispatcher) { d.fault = "" })
	isSeenAs(t, kstatus.CurrentStatus, "", "Webhook", ns, "orders")
}
