package status_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/controllers/compile"
	"github.com/postrider/postrider/controllers/rollout"
	"github.com/postrider/postrider/controllers/status"
	"github.com/postrider/postrider/dispatcher/outcome"
)

// ago is so long before now, as a status has it.
func ago(d time.Duration) *metav1.Time { return new(metav1.NewTime(now.Add(-d))) }

// failing is a Webhook whose status counts 7 failures in the last 2 hours.
func failing() *v1alpha1.Webhook {
	w := &v1alpha1.Webhook{}
	w.Generation = 2
	w.Status = v1alpha1.WebhookStatus{
		ObservedGeneration: 2, ConsecutiveFailures: 7, FailingSince: ago(2 * time.Hour),
		LastDelivery: &v1alpha1.Delivery{Time: *ago(time.Hour), Outcome: string(outcome.Timeout)},
	}
	return w
}

func TestThePastIsWhatNoDispatcherKnows(t *testing.T) {
	for name, tt := range map[string]struct {
		change   func(*v1alpha1.Webhook)
		failures int
		started  time.Duration // ago
		partial  bool
		want     int32
	}{
		"the dispatchers are younger":              {nil, 3, time.Minute, false, 7},
		"one dispatcher is older, and knows some":  {nil, 3, 9 * time.Hour, false, 4},
		"the dispatchers know more":                {nil, 9, 9 * time.Hour, false, 0},
		"it may have made the newest itself":       {nil, 7, time.Hour - time.Millisecond, false, 0},
		"an older one has yet to report":           {nil, 3, time.Minute, true, 4},
		"nobody was heard":                         {nil, 0, 0, true, 7},
		"the spec was edited since":                {func(w *v1alpha1.Webhook) { w.Generation++ }, 0, time.Minute, false, 0},
		"it counts nothing":                        {func(w *v1alpha1.Webhook) { w.Status.ConsecutiveFailures, w.Status.FailingSince = 0, nil }, 0, time.Minute, false, 0},
		"they led to a disabling that is in force": {func(w *v1alpha1.Webhook) { w.Status.AutomaticDisabling = &v1alpha1.AutomaticDisabling{Number: 1} }, 0, time.Minute, false, 0},
		"they came after a disabling that has ended": {func(w *v1alpha1.Webhook) {
			w.Status.AutomaticDisabling = &v1alpha1.AutomaticDisabling{Number: 1, EnabledTime: ago(9 * time.Hour)}
		}, 0, time.Minute, false, 7},
	} {
		t.Run(name, func(t *testing.T) {
			w := failing()
			if tt.change != nil {
				tt.change(w)
			}
			f := rollout.Facts{Complete: !tt.partial, Started: now.Add(-tt.started), Summary: outcome.Summary{ConsecutiveFailures: tt.failures}}
			p := status.PastOf(w, f)
			if p.Failures != tt.want || tt.want > 0 && !p.Since.Equal(w.Status.FailingSince) {
				t.Errorf("it is %+v", p)
			}
		})
	}
}

func TestASuccessThatOnlyTheAttemptLogKnowsEndsThePast(t *testing.T) {
	// The manager was away when a delivery succeeded, and by the time it is back
	// the dispatcher has been replaced by one that sees a failure.
	terms := compile.Verdict{Generation: 2, AutoDisable: compile.AutoDisable{Failures: 8, Over: time.Hour}}
	f := rollout.Facts{Started: now.Add(-time.Minute), Summary: outcome.Summary{
		Last: failed(10), ConsecutiveFailures: 1, FailingSince: now.Add(-10 * time.Second),
	}}
	for _, step := range []struct {
		what     string
		success  time.Time
		complete bool
		failures int32
		disabled bool
	}{
		{"the new one has yet to read the log", time.Time{}, false, 7 + 1, false},
		{"there was none", time.Time{}, true, 7 + 1, true},
		{"there was one before the failures", now.Add(-3 * time.Hour), true, 7 + 1, true},
		{"there was one since", now.Add(-30 * time.Minute), true, 1, false},
	} {
		w := failing()
		if !step.complete { // until then the one that it knows may be among these
			w.Status.ConsecutiveFailures++
		}
		f.Complete, f.Summary.LastSuccess = step.complete, step.success
		next := status.ForWebhook(w, terms, f, status.PastOf(w, f), now)
		if next.ConsecutiveFailures != step.failures || (next.AutomaticDisabling != nil) != step.disabled {
			t.Errorf("%s: %d failures, disabled by %+v", step.what, next.ConsecutiveFailures, next.AutomaticDisabling)
		}
	}
}

// TestFailuresInARow follows one Webhook over reports, as its reconciler does.
func TestFailuresInARow(t *testing.T) {
	w := failing()
	f := rollout.Facts{Complete: true, Started: now.Add(-time.Minute)}
	past := status.PastOf(w, f)
	for _, step := range []struct {
		what     string
		summary  outcome.Summary
		failures int32
		since    *metav1.Time
	}{
		{"nothing new", outcome.Summary{}, 7, ago(2 * time.Hour)},
		{
			"two more", outcome.Summary{Last: failed(40), ConsecutiveFailures: 2, FailingSince: now.Add(-50 * time.Second)},
			9, ago(2 * time.Hour),
		},
		{
			"a success", outcome.Summary{Last: &outcome.Attempt{Time: now.Add(-30 * time.Second), Reason: outcome.Delivered}, LastSuccess: now.Add(-30 * time.Second)},
			0, nil,
		},
		{
			"a failure after it", outcome.Summary{Last: failed(20), LastSuccess: now.Add(-30 * time.Second), ConsecutiveFailures: 1, FailingSince: now.Add(-20 * time.Second)},
			1, ago(20 * time.Second),
		},
		{
			"who had the success is gone, and others speak of before", outcome.Summary{Last: failed(40), ConsecutiveFailures: 5, FailingSince: now.Add(-50 * time.Second)},
			0, nil,
		},
		{
			"and fail again", outcome.Summary{Last: failed(10), ConsecutiveFailures: 6, FailingSince: now.Add(-50 * time.Second)},
			6, ago(30 * time.Second),
		},
	} {
		f.Summary = step.summary
		w.Status = status.ForWebhook(w, compile.Verdict{Generation: 2}, f, past, now)
		if w.Status.ConsecutiveFailures != step.failures || !w.Status.FailingSince.Equal(step.since) {
			t.Errorf("%s: %d since %s, not %d since %s", step.what, w.Status.ConsecutiveFailures, w.Status.FailingSince, step.failures, step.since)
		}
	}
}

func failed(secondsAgo int) *outcome.Attempt {
	return &outcome.Attempt{Time: now.Add(-time.Duration(secondsAgo) * time.Second), Reason: outcome.Timeout}
}

// TestAWebhookIsDisabledAndEnabledAgainAndAgain follows the number that begins
// each epoch, and the Events.
func TestAWebhookIsDisabledAndEnabledAgainAndAgain(t *testing.T) {
	w := failing()
	w.Status = v1alpha1.WebhookStatus{}
	var gone, tested time.Time
	step := func(what, note string, number int64, state v1alpha1.WebhookState) {
		t.Helper()
		f := rollout.Facts{Complete: true, Summary: outcome.Summary{Gone: gone, TestPassed: tested}}
		next := status.ForWebhook(w, compile.Verdict{Generation: w.Generation}, f, status.PastOf(w, f), now)
		e := status.Transition(w, next, f)
		switch {
		case note == "" && e != nil, note != "" && (e == nil || !strings.Contains(e.Note, note)):
			t.Errorf("%s: the Event is %+v", what, e)
		case e != nil && (e.Reason == v1alpha1.EventDisabled) != (state == v1alpha1.StateDisabled):
			t.Errorf("%s: the Event is %+v", what, e)
		}
		w.Status = next
		if w.Status.AutomaticDisabling == nil || w.Status.AutomaticDisabling.Number != number || w.Status.State != state {
			t.Errorf("%s: %s, %+v", what, w.Status.State, w.Status.AutomaticDisabling)
		}
		if again := status.Transition(w, w.Status, f); again != nil {
			t.Errorf("%s: it is told again: %+v", what, again)
		}
		gone = time.Time{} // it was of the epoch that has ended
	}
	const on, off = v1alpha1.StateEnabled, v1alpha1.StateDisabled
	gone = now.Add(-time.Hour)
	step("410", "410 Gone", 1, off)
	step("nothing new", "", 1, off)
	w.Generation++
	step("an edit", "spec was edited", 1, on)
	gone = now.Add(-50 * time.Minute)
	step("410 again", "410 Gone", 2, off)
	w.Annotations = map[string]string{v1alpha1.EnableAnnotation: strings.Repeat("1", 1000)}
	step("an annotation", "annotation", 2, on)
	gone = now.Add(-40 * time.Minute)
	step("410 once more", "410 Gone", 3, off)
	if n := len(w.Status.AutomaticDisabling.EnableAnnotation); n != 256 {
		t.Errorf("%d bytes of the annotation are kept", n)
	}
	step("the same annotation", "", 3, off)
	tested = now.Add(-41 * time.Minute)
	step("an older test", "", 3, off)
	tested = now.Add(-40*time.Minute + time.Second/2) // of which the status knows the second only
	step("a test of the same second", "", 3, off)
	tested = now.Add(-39 * time.Minute)
	step("a newer test", "test delivery", 3, on)
	step("nothing new", "", 3, on)
	gone = now.Add(-30 * time.Minute)
	step("410 after the test", "410 Gone", 4, off)
}
