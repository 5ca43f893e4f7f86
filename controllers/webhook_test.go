package controllers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/dispatcher/outcome"
)

const plain = `
kind: Webhook
metadata: {name: %s}
spec: {type: EventHandler, events: ["item:*"], endpoint: {url: "https://receiver.example.com/"}}
`

func get(t *testing.T, ns, name string) *v1alpha1.Webhook {
	t.Helper()
	var w v1alpha1.Webhook
	if err := api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: name}, &w); err != nil {
		t.Fatal(err)
	}
	return &w
}

// conditions tells the conditions of a Webhook in one line.
func conditions(list []metav1.Condition) string {
	var words []string
	for _, c := range list {
		words = append(words, c.Type+"="+string(c.Status)+"/"+c.Reason)
	}
	return strings.Join(words, " ")
}

// becomes waits until each of the conditions, such as "Ready=False/RefNotFound",
// holds of the Webhook as it is now, and returns it.
func becomes(t *testing.T, ns, name string, want ...string) *v1alpha1.Webhook {
	t.Helper()
	var w *v1alpha1.Webhook
	until(t, func() error {
		w = get(t, ns, name)
		got := conditions(w.Status.Conditions)
		if w.Status.ObservedGeneration != w.Generation {
			return fmt.Errorf("%s is at generation %d, its status at %d", name, w.Generation, w.Status.ObservedGeneration)
		}
		for _, c := range want {
			if !strings.Contains(got+" ", c+" ") {
				return fmt.Errorf("%s is not %s: %s", name, c, got)
			}
		}
		return nil
	})
	checkInvariants(t, w)
	return w
}

// checkInvariants are what holds of every status at any time.
func checkInvariants(t *testing.T, w *v1alpha1.Webhook) {
	t.Helper()
	all := w.Status.Conditions
	want := metav1.ConditionTrue
	for _, typ := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionResolvedRefs, v1alpha1.ConditionProgrammed} {
		c := meta.FindStatusCondition(all, typ)
		switch {
		case c == nil:
			t.Fatalf("%s lacks %s", w.Name, typ)
		case c.Status == metav1.ConditionFalse:
			want = metav1.ConditionFalse
		case c.Status == metav1.ConditionUnknown && want == metav1.ConditionTrue:
			want = metav1.ConditionUnknown
		}
	}
	if ready := meta.FindStatusCondition(all, v1alpha1.ConditionReady); ready == nil || ready.Status != want {
		t.Errorf("%s: Ready does not follow from the others: %s", w.Name, conditions(all))
	}
	number := 5
	if meta.IsStatusConditionFalse(all, v1alpha1.ConditionAccepted) {
		number++
	}
	if len(all) != number || meta.IsStatusConditionTrue(all, v1alpha1.ConditionStalled) != (number == 6) {
		t.Errorf("%s has %d conditions: %s", w.Name, len(all), conditions(all))
	}
	for _, c := range all {
		if c.ObservedGeneration != w.Generation || c.Reason == "" || c.Message == "" || c.LastTransitionTime.Unix() <= 0 {
			t.Errorf("%s: an incomplete condition: %+v", w.Name, c)
		}
	}
	a := w.Status.AutomaticDisabling
	disabled := w.Spec.Disabled || a != nil && a.EnabledTime == nil
	if disabled != (w.Status.State == v1alpha1.StateDisabled) || disabled != (w.Status.StateReason != "") {
		t.Errorf("%s is %s %s", w.Name, w.Status.State, w.Status.StateReason)
	}
}

func TestAnAppliedWebhookIsProgrammed(t *testing.T) {
	ns := namespace(t)
	begin := time.Now()
	apply(t, ns, fmt.Sprintf(plain, "orders"))
	w := becomes(t, ns, "orders", "Programmed=True/Programmed", "Ready=True/Ready", "Delivering=Unknown/NothingSent")
	t.Logf("apply to Programmed=True: %s", time.Since(begin).Round(time.Millisecond))
	if w.Status.State != v1alpha1.StateEnabled {
		t.Errorf("the state is %q", w.Status.State)
	}
	if r := routeOf(t, ns+"/orders"); r.URL != "https://receiver.example.com/" || r.Hold != "" {
		t.Errorf("the route is %+v", r)
	}

	apply(t, ns, strings.Replace(fmt.Sprintf(plain, "orders"), "spec: {", "spec: {disabled: true, ", 1))
	w = becomes(t, ns, "orders", "Ready=True/Ready")
	if w.Status.State != v1alpha1.StateDisabled || w.Status.StateReason != v1alpha1.ReasonSpecDisabled {
		t.Errorf("the state is %s %s", w.Status.State, w.Status.StateReason)
	}
	if r := routeOf(t, ns+"/orders"); r.Hold != v1alpha1.ReasonSpecDisabled || len(r.Events) > 0 || !r.Complete() {
		t.Errorf("the route is %+v", r)
	}

	if err := api.Delete(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	until(t, func() error {
		if r := routeOf(t, ns+"/orders"); r.ID != "" {
			return errors.New("the route is still there")
		}
		return nil
	})
}

func TestWhatOnlyTheCompilerKnowsBecomesAConditionAndNeighboursWork(t *testing.T) {
	ns := namespace(t)
	apply(t, ns, `
kind: Webhook
metadata: {name: bad-condition}
spec: {type: EventHandler, events: ["*"], condition: "event.data.total >", endpoint: {url: "https://a.example/"}}
---
kind: Webhook
metadata: {name: no-item}
spec: {type: EventHandler, events: ["*"], endpoint: {url: "https://a.example/"}, authorizationRef: {name: token}}
---
kind: Webhook
metadata: {name: no-policy}
spec: {type: EventHandler, events: ["*"], endpoint: {url: "https://a.example/"}, policyRef: {name: nothing}}
---
kind: Webhook
metadata: {name: no-key}
spec: {type: EventHandler, events: ["*"], endpoint: {url: "https://a.example/", headers: [{name: X-Key, valueFrom: {secretKeyRef: {name: headers}}}]}}
---
kind: Secret
metadata: {name: headers}
stringData: {other: sample-value-1}
---
`+fmt.Sprintf(plain, "neighbour"))
	becomes(t, ns, "bad-condition", "Accepted=False/InvalidCondition", "ResolvedRefs=True/ResolvedRefs", "Programmed=True/Programmed", "Ready=False/InvalidCondition")
	becomes(t, ns, "no-item", "ResolvedRefs=False/RefNotFound", "Ready=False/RefNotFound", "Programmed=True/Programmed")
	becomes(t, ns, "no-policy", "ResolvedRefs=False/RefNotFound")
	becomes(t, ns, "no-key", "ResolvedRefs=False/SecretKeyMissing")
	becomes(t, ns, "neighbour", "Ready=True/Ready")
	if r := routeOf(t, ns+"/no-item"); r.Hold != v1alpha1.ReasonRefNotFound || len(r.Events) != 1 {
		t.Errorf("the route waits as %+v", r)
	}

	// One after the other, what is missing comes.
	apply(t, ns, `
kind: AuthorizationItem
metadata: {name: token}
spec: {type: Bearer, bearer: {secretKeyRef: {name: token}}}`)
	becomes(t, ns, "no-item", "ResolvedRefs=False/SecretNotFound")
	apply(t, ns, `
kind: Secret
metadata: {name: token}
stringData: {wrong: sample-value-2}`)
	becomes(t, ns, "no-item", "ResolvedRefs=False/SecretKeyMissing")
	apply(t, ns, `
kind: Secret
metadata: {name: token}
stringData: {token: sample-value-3}`)
	becomes(t, ns, "no-item", "Ready=True/Ready")
	until(t, func() error {
		if r := routeOf(t, ns+"/no-item"); r.Hold != "" || r.Authorization == nil || r.Authorization.Bearer.Token.Reveal() != "sample-value-3" {
			return fmt.Errorf("the route is %+v", r)
		}
		return nil
	})

	var item v1alpha1.AuthorizationItem
	until(t, func() error {
		if err := api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "token"}, &item); err != nil {
			return err
		}
		if got := conditions(item.Status.Conditions); got != "Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs Ready=True/Ready" {
			return errors.New(got)
		}
		return nil
	})
}

func TestARotatedSecretIsInForceAndDisturbsNobody(t *testing.T) {
	ns := namespace(t)
	const secret = "\nkind: Secret\nmetadata: {name: headers}\nstringData: {value: %s}"
	apply(t, ns, fmt.Sprintf(secret, "sample-before")+"\n---\n"+fmt.Sprintf(plain, "neighbour")+"\n---\n"+`
kind: Webhook
metadata: {name: orders}
spec: {type: EventHandler, events: ["*"], endpoint: {url: "https://a.example/", headers: [{name: X-Key, valueFrom: {secretKeyRef: {name: headers}}}]}}`)
	before := becomes(t, ns, "orders", "Ready=True/Ready")
	neighbour := becomes(t, ns, "neighbour", "Ready=True/Ready")

	begin := time.Now()
	apply(t, ns, fmt.Sprintf(secret, "sample-after"))
	until(t, func() error {
		r := routeOf(t, ns+"/orders")
		if len(r.Headers) != 1 || r.Headers[0].Value.Reveal() != "sample-after" {
			return errors.New("the old value is still published")
		}
		return nil
	})
	t.Logf("a changed Secret to the published table: %s", time.Since(begin).Round(time.Millisecond))

	// Another change, after which the dispatcher has confirmed both.
	apply(t, ns, fmt.Sprintf(plain, "later"))
	becomes(t, ns, "later", "Ready=True/Ready")
	if after := get(t, ns, "orders"); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("the status was written without need: %s", conditions(after.Status.Conditions))
	}
	if after := get(t, ns, "neighbour"); after.ResourceVersion != neighbour.ResourceVersion {
		t.Errorf("the status of a neighbour was written without need: %s", conditions(after.Status.Conditions))
	}
}

func TestDeliveriesAreToldAsTheyMatter(t *testing.T) {
	ns := namespace(t)
	apply(t, ns, fmt.Sprintf(plain, "orders")+"\n---\n"+fmt.Sprintf(plain, "marker"))
	becomes(t, ns, "orders", "Ready=True/Ready")
	id := ns + "/orders"
	at := time.Now().UTC().Truncate(time.Second)
	delivered := outcome.Summary{
		Route: id, LastSuccess: at,
		Last: &outcome.Attempt{Time: at, EventID: "e1", EventType: "item:added", Number: 1, Reason: outcome.Delivered, Status: 204, Took: 12 * time.Millisecond},
	}

	peer.tell(delivered)
	w := becomes(t, ns, "orders", "Delivering=True/Delivered", "Ready=True/Ready")
	d := w.Status.LastDelivery
	if d == nil || !d.Time.Time.Equal(at) || d.EventID != "e1" || d.StatusCode != http.StatusNoContent || d.Outcome != "Delivered" || w.Status.LastSuccessTime == nil {
		t.Errorf("the first delivery is told as %+v", w.Status)
	}

	// More of the same waits for the interval, which is long here. A change of
	// another Webhook that comes later is told before.
	more := delivered
	more.Last = &outcome.Attempt{Time: at.Add(time.Second), EventID: "e2", Number: 1, Reason: outcome.Delivered, Status: 204}
	more.Pending = 3
	peer.tell(more)
	peer.tell(outcome.Summary{Route: ns + "/marker", Last: delivered.Last, LastSuccess: at})
	becomes(t, ns, "marker", "Delivering=True/Delivered")
	if same := get(t, ns, "orders"); same.ResourceVersion != w.ResourceVersion {
		t.Errorf("activity was written at once: %+v", same.Status)
	}

	failing := more
	failing.Last = &outcome.Attempt{Time: at.Add(2 * time.Second), EventID: "e3", Number: 1, Reason: outcome.Rejected, Status: 404}
	failing.LastError, failing.LastErrorTime = "404 Not Found", at.Add(2*time.Second)
	failing.Epoch, failing.ConsecutiveFailures, failing.FailingSince = routeOf(t, id).Epoch, 1, at.Add(2*time.Second)
	peer.tell(failing)
	w = becomes(t, ns, "orders", "Delivering=False/ReceiverFailing", "Ready=True/Ready")
	if w.Status.LastError != "404 Not Found" || w.Status.ConsecutiveFailures != 1 || w.Status.Pending != 3 {
		t.Errorf("the failure is told as %+v", w.Status)
	}
}

func TestNoCredentialIsInAStatusOrInTheLog(t *testing.T) {
	ns := namespace(t)
	apply(t, ns, `
kind: Secret
metadata: {name: s}
stringData: {token: "tell-nobody-this-token\nand-not-this-line", secret: "whsec_tell~nobody~this~key", username: "tell:nobody:user", password: tell-nobody-password}
---
kind: AuthorizationItem
metadata: {name: bearer}
spec: {type: Bearer, bearer: {secretKeyRef: {name: s}}}
---
kind: AuthorizationItem
metadata: {name: basic}
spec: {type: Basic, basic: {secretRef: {name: s}}}
---
kind: WebhookPolicy
metadata: {name: p}
spec: {signing: {type: StandardWebhooks, secretRef: {name: s}}}
---
kind: Webhook
metadata: {name: orders}
spec: {type: EventHandler, events: ["*"], endpoint: {url: "https://a.example/", headers: [{name: X-Key, valueFrom: {secretKeyRef: {name: s, key: token}}}]}, authorizationRef: {name: bearer}, policyRef: {name: p}}
---
kind: Webhook
metadata: {name: basic}
spec: {type: EventHandler, events: ["*"], endpoint: {url: "https://a.example/"}, authorizationRef: {name: basic}}`)
	becomes(t, ns, "orders", "Ready=False/SecretInvalid")
	becomes(t, ns, "basic", "Ready=False/SecretInvalid")

	var told []byte
	for _, list := range []client.ObjectList{&v1alpha1.WebhookList{}, &v1alpha1.AuthorizationItemList{}, &v1alpha1.WebhookPolicyList{}} {
		if err := api.List(t.Context(), list, client.InNamespace(ns)); err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, b...)
	}
	for _, secret := range []string{"nobody-this-token", "and-not-this-line", "nobody~this~key", "nobody:user", "nobody-password", "sample-value-", "sample-before", "sample-after"} {
		if strings.Contains(string(told), secret) {
			t.Errorf("a status tells %q", secret)
		}
		if strings.Contains(logs.String(), secret) {
			t.Errorf("the log tells %q", secret)
		}
	}
}
