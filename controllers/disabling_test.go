package controllers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/controllers"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
)

// hasty disables after 3 failures over a minute.
const hasty = `
kind: WebhookPolicy
metadata: {name: hasty}
spec: {autoDisable: {consecutiveFailures: %d, over: 1m}}
---
kind: Webhook
metadata: {name: orders}
spec: {type: EventHandler, events: ["*"], endpoint: {url: "https://a.example/"}, policyRef: {name: hasty}}`

// failures are so many in a row, over two minutes until now, in the epoch.
func failures(id, epoch string, n int, reason outcome.Reason, status int) outcome.Summary {
	now := time.Now()
	o := outcome.Outcome{Reason: reason, Status: status}
	return outcome.Summary{
		Route: id, Last: &outcome.Attempt{Time: now, EventID: "e1", Number: 1, Reason: reason, Status: status},
		LastError: o.String(), LastErrorTime: now,
		Epoch: epoch, ConsecutiveFailures: n, FailingSince: now.Add(-2 * time.Minute),
	}
}

// gone is the answer 410 to the first attempt of the epoch.
func gone(id, epoch string) outcome.Summary {
	s := failures(id, epoch, 1, outcome.ReceiverGone, 410)
	s.FailingSince, s.Gone = s.Last.Time, s.Last.Time
	return s
}

// becomesState waits until the Webhook "orders" is Enabled or Disabled, and the
// table says the same.
func becomesState(t *testing.T, ns string, state v1alpha1.WebhookState, reason string) (*v1alpha1.Webhook, route.Route) {
	t.Helper()
	var r route.Route
	until(t, func() error {
		w := get(t, ns, "orders")
		if w.Status.State != state || w.Status.StateReason != reason || w.Status.ObservedGeneration != w.Generation {
			return fmt.Errorf("it is %s %s", w.Status.State, w.Status.StateReason)
		}
		r = routeOf(t, ns+"/orders")
		if r.Hold != reason || r.Generation != w.Generation || (len(r.Events) > 0) != (reason == "") {
			return fmt.Errorf("the route is %+v", r)
		}
		return nil
	})
	return becomes(t, ns, "orders", "Ready=True/Ready"), r
}

// expectEvent waits until there is an Event of the kind and the reason about the
// Webhook "orders", with the note.
func expectEvent(t *testing.T, ns, kind, reason, note string) {
	t.Helper()
	until(t, func() error {
		var list eventsv1.EventList
		if err := api.List(t.Context(), &list, client.InNamespace(ns)); err != nil {
			return err
		}
		var all []string
		for _, e := range list.Items {
			all = append(all, e.Reason+": "+e.Note)
			if e.Type == kind && e.Reason == reason && strings.Contains(e.Note, note) && e.Regarding.Kind == "Webhook" && e.Regarding.Name == "orders" {
				return nil
			}
		}
		return fmt.Errorf("no Event %s with %q among %q", reason, note, all)
	})
}

func TestAReceiverThatFailsForLongDisablesItsWebhook(t *testing.T) {
	ns := namespace(t)
	id := ns + "/orders"
	apply(t, ns, fmt.Sprintf(hasty, 3))
	before, r := becomesState(t, ns, v1alpha1.StateEnabled, "")

	peer.tell(failures(id, r.Epoch, 2, outcome.Rejected, 404))
	w := becomes(t, ns, "orders", "Delivering=False/ReceiverFailing")
	if w.Status.State != v1alpha1.StateEnabled || w.Status.FailingSince == nil {
		t.Errorf("after 2 failures it is %+v", w.Status)
	}
	peer.tell(failures(id, r.Epoch, 3, outcome.Rejected, 404))
	w, held := becomesState(t, ns, v1alpha1.StateDisabled, v1alpha1.ReasonConsecutiveFailures)
	becomes(t, ns, "orders", "Delivering=False/ConsecutiveFailures")
	if w.Generation != before.Generation || w.Spec.Disabled {
		t.Errorf("the spec was written: %+v", w.Spec)
	}
	if w.Status.LastError != "404 Not Found" || w.Status.ConsecutiveFailures != 3 {
		t.Errorf("it no longer says what led to it: %+v", w.Status)
	}
	if !held.Complete() || held.Epoch == r.Epoch {
		t.Errorf("the route is %+v", held)
	}
	expectEvent(t, ns, "Warning", v1alpha1.EventDisabled, "3 attempts in a row failed")
}

func TestAPolicyThatBecomesStricterDisables(t *testing.T) {
	ns := namespace(t)
	id := ns + "/orders"
	apply(t, ns, fmt.Sprintf(hasty, 0))
	_, r := becomesState(t, ns, v1alpha1.StateEnabled, "")
	peer.tell(failures(id, r.Epoch, 500, outcome.Timeout, 0))
	if w := becomes(t, ns, "orders", "Delivering=False/ReceiverFailing"); w.Status.State != v1alpha1.StateEnabled {
		t.Errorf("a policy that never disables did: %+v", w.Status)
	}
	apply(t, ns, fmt.Sprintf(hasty, 3))
	becomesState(t, ns, v1alpha1.StateDisabled, v1alpha1.ReasonConsecutiveFailures)
}

func TestWhatPostriderHasDisabledIsEnabledAnew(t *testing.T) {
	for name, tt := range map[string]struct {
		enable func(t *testing.T, ns, id string)
		note   string
	}{
		"by an edit of the spec": {func(t *testing.T, ns, _ string) {
			t.Helper()
			patch(t, ns, `{"spec":{"endpoint":{"url":"https://b.example/"}}}`)
		}, "spec was edited"},
		"by the annotation": {func(t *testing.T, ns, _ string) {
			t.Helper()
			patch(t, ns, `{"metadata":{"annotations":{"postrider.dev/enable":"2"}}}`)
		}, "postrider.dev/enable"},
		"by a test that succeeds": {func(t *testing.T, _, id string) {
			t.Helper()
			s := failures(id, "of before", 3, outcome.Rejected, 404)
			s.TestPassed = time.Now().Add(time.Second) // a status knows seconds
			peer.tell(s)
		}, "a test delivery succeeded"},
	} {
		t.Run(name, func(t *testing.T) {
			ns := namespace(t)
			id := ns + "/orders"
			apply(t, ns, fmt.Sprintf(hasty, 3))
			_, first := becomesState(t, ns, v1alpha1.StateEnabled, "")
			peer.tell(failures(id, first.Epoch, 3, outcome.Rejected, 404))
			becomesState(t, ns, v1alpha1.StateDisabled, v1alpha1.ReasonConsecutiveFailures)

			tt.enable(t, ns, id)
			w, second := becomesState(t, ns, v1alpha1.StateEnabled, "")
			if second.Epoch == first.Epoch {
				t.Error("no new epoch has begun")
			}
			if w.Status.ConsecutiveFailures != 0 || w.Status.FailingSince != nil {
				t.Errorf("it begins with %d failures since %s", w.Status.ConsecutiveFailures, w.Status.FailingSince)
			}
			expectEvent(t, ns, "Normal", v1alpha1.EventEnabled, tt.note)

			// What the dispatcher still knows of the epoch before does not count;
			// what fails in this one does.
			peer.tell(failures(id, first.Epoch, 30, outcome.Rejected, 404))
			peer.tell(failures(id, second.Epoch, 2, outcome.Rejected, 500))
			until(t, func() error {
				if w = get(t, ns, "orders"); w.Status.ConsecutiveFailures != 2 {
					return fmt.Errorf("%d failures count", w.Status.ConsecutiveFailures)
				}
				return nil
			})
			if w.Status.State != v1alpha1.StateEnabled {
				t.Errorf("it is %s", w.Status.State)
			}
			peer.tell(failures(id, second.Epoch, 3, outcome.Rejected, 500))
			w, third := becomesState(t, ns, v1alpha1.StateDisabled, v1alpha1.ReasonConsecutiveFailures)
			if w.Status.AutomaticDisabling.Number != 2 || third.Epoch == second.Epoch {
				t.Errorf("the second time is %+v", w.Status.AutomaticDisabling)
			}
		})
	}
}

// patch changes the Webhook "orders".
func patch(t *testing.T, ns, text string) {
	t.Helper()
	w := &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "orders"}}
	if err := api.Patch(t.Context(), w, client.RawPatch("application/merge-patch+json", []byte(text))); err != nil {
		t.Fatal(err)
	}
}

func TestAReceiverThatIsGoneDisablesItsWebhookAtOnce(t *testing.T) {
	ns := namespace(t)
	id := ns + "/orders"
	apply(t, ns, fmt.Sprintf(plain, "orders"))
	_, r := becomesState(t, ns, v1alpha1.StateEnabled, "")
	peer.tell(gone(id, r.Epoch))
	w, held := becomesState(t, ns, v1alpha1.StateDisabled, v1alpha1.ReasonReceiverGone)
	if w.Status.LastError != "410 Gone" || !held.Complete() {
		t.Errorf("it is %+v, held as %+v", w.Status, held)
	}
	becomes(t, ns, "orders", "Delivering=False/ReceiverGone")
	expectEvent(t, ns, "Warning", v1alpha1.EventDisabled, "410 Gone")

	// An object of the same name is another one, to which nobody said 410.
	if err := api.Delete(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	apply(t, ns, fmt.Sprintf(plain, "orders"))
	w, again := becomesState(t, ns, v1alpha1.StateEnabled, "")
	if w.Status.AutomaticDisabling != nil || again.Epoch == r.Epoch {
		t.Errorf("the new one is %+v in epoch %s", w.Status, again.Epoch)
	}
}

func TestTheBreakerIsToldAsItIs(t *testing.T) {
	ns := namespace(t)
	id := ns + "/orders"
	apply(t, ns, fmt.Sprintf(plain, "orders"))
	_, r := becomesState(t, ns, v1alpha1.StateEnabled, "")
	s := failures(id, r.Epoch, 10, outcome.Timeout, 0)
	s.Breaker, s.Pending, s.Stored = outcome.BreakerOpen, 1, 40
	peer.tell(s)
	if w := becomes(t, ns, "orders", "Delivering=False/CircuitBreakerOpen", "Ready=True/Ready"); w.Status.Pending != 41 {
		t.Errorf("%d are pending", w.Status.Pending)
	}
	s.Breaker = outcome.BreakerClosed
	peer.tell(s)
	becomes(t, ns, "orders", "Delivering=False/ReceiverFailing")
}

func TestWhatIsDisabledAndWhatHasFailedSurvivesRestarts(t *testing.T) {
	ns, other := namespace(t), namespace(t)
	id, otherID := ns+"/orders", other+"/orders"
	apply(t, ns, fmt.Sprintf(hasty, 3))
	apply(t, other, fmt.Sprintf(hasty, 3))
	_, r := becomesState(t, ns, v1alpha1.StateEnabled, "")
	_, o := becomesState(t, other, v1alpha1.StateEnabled, "")
	peer.tell(gone(id, r.Epoch))
	peer.tell(failures(otherID, o.Epoch, 2, outcome.Rejected, 404))
	w, held := becomesState(t, ns, v1alpha1.StateDisabled, v1alpha1.ReasonReceiverGone)
	becomes(t, other, "orders", "Delivering=False/ReceiverFailing")

	restart(t, peer.restart)
	apply(t, ns, fmt.Sprintf(plain, "marker")) // the manager is at work again once this is ready
	becomes(t, ns, "marker", "Ready=True/Ready")
	after, same := becomesState(t, ns, v1alpha1.StateDisabled, v1alpha1.ReasonReceiverGone)
	if after.Status.AutomaticDisabling.Number != w.Status.AutomaticDisabling.Number || same.Epoch != held.Epoch {
		t.Errorf("it is %+v in epoch %s", after.Status.AutomaticDisabling, same.Epoch)
	}

	// The dispatcher has forgotten 2 of the failures, the status has not.
	one := failures(otherID, o.Epoch, 1, outcome.Rejected, 404)
	one.FailingSince = one.Last.Time
	peer.tell(one)
	w, _ = becomesState(t, other, v1alpha1.StateDisabled, v1alpha1.ReasonConsecutiveFailures)
	if w.Status.ConsecutiveFailures != 3 {
		t.Errorf("%d failures count", w.Status.ConsecutiveFailures)
	}
	patch(t, ns, `{"metadata":{"annotations":{"postrider.dev/enable":"now"}}}`)
	becomesState(t, ns, v1alpha1.StateEnabled, "")
}

func TestOnlyWhatTheTableDependsOnCompilesIt(t *testing.T) {
	base := v1alpha1.Webhook{}
	base.Generation, base.UID = 1, "u"
	base.Status.State = v1alpha1.StateDisabled
	base.Status.AutomaticDisabling = &v1alpha1.AutomaticDisabling{Number: 1, Reason: v1alpha1.ReasonReceiverGone, Generation: 1}
	for name, tt := range map[string]struct {
		change func(*v1alpha1.Webhook)
		want   bool
	}{
		"nothing":                  {func(*v1alpha1.Webhook) {}, false},
		"the spec":                 {func(w *v1alpha1.Webhook) { w.Generation++ }, true},
		"the object":               {func(w *v1alpha1.Webhook) { w.UID = "other" }, true},
		"a disabling":              {func(w *v1alpha1.Webhook) { w.Status.AutomaticDisabling.Number++ }, true},
		"its end":                  {func(w *v1alpha1.Webhook) { w.Status.AutomaticDisabling.EnabledTime = new(metav1.Now()) }, true},
		"a status made anew":       {func(w *v1alpha1.Webhook) { w.Status.AutomaticDisabling = nil }, true},
		"an annotation":            {func(w *v1alpha1.Webhook) { w.Annotations = map[string]string{v1alpha1.EnableAnnotation: "1"} }, false},
		"failures in a row":        {func(w *v1alpha1.Webhook) { w.Status.ConsecutiveFailures++ }, false},
		"a delivery":               {func(w *v1alpha1.Webhook) { w.Status.LastDelivery = &v1alpha1.Delivery{EventID: "e"} }, false},
		"a condition":              {func(w *v1alpha1.Webhook) { w.Status.Conditions = []metav1.Condition{{Type: "Ready"}} }, false},
		"the generation of it":     {func(w *v1alpha1.Webhook) { w.Status.ObservedGeneration++ }, false},
		"how many are pending":     {func(w *v1alpha1.Webhook) { w.Status.Pending++ }, false},
		"the version of the whole": {func(w *v1alpha1.Webhook) { w.ResourceVersion = "7" }, false},
	} {
		next := base.DeepCopy()
		tt.change(next)
		if got := controllers.WebhookChanged.Update(event.UpdateEvent{ObjectOld: &base, ObjectNew: next}); got != tt.want {
			t.Errorf("%s: it compiles is %t", name, got)
		}
	}
	if !controllers.WebhookChanged.Create(event.CreateEvent{Object: &base}) {
		t.Error("a new Webhook does not compile the table")
	}
}
