package status

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/controllers/compile"
	"github.com/postrider/postrider/controllers/rollout"
)

// maxAnnotation bounds what is kept of the annotation, in bytes, as the CRD does.
const maxAnnotation = 256

// remedies end every text about an automatic disabling that is in force.
const remedies = "edit the spec, give the annotation " + v1alpha1.EnableAnnotation + " a new value, or let a test delivery succeed to enable it"

// inForce reports whether a keeps its Webhook disabled.
func inForce(a *v1alpha1.AutomaticDisabling) bool { return a != nil && a.EnabledTime == nil }

// disabling fills in failures in a row, and whether they disable w or something
// enables it anew.
func disabling(next *v1alpha1.WebhookStatus, w *v1alpha1.Webhook, terms compile.AutoDisable, f rollout.Facts, past Past, now time.Time) {
	old := &w.Status
	next.AutomaticDisabling = old.AutomaticDisabling
	switch {
	case !inForce(old.AutomaticDisabling):
		countFailures(next, &f.Summary, past)
		if past.Failures > 0 && !f.Complete {
			terms = compile.AutoDisable{} // somebody who has yet to report may know of a success since
		}
		if reason, at := cause(next, terms, f); reason != "" {
			next.AutomaticDisabling = disable(w, reason, at)
		}
	case enabledBy(w, f.Summary.TestPassed) != "": // nothing has failed in the epoch that began
		next.AutomaticDisabling = old.AutomaticDisabling.DeepCopy()
		next.AutomaticDisabling.EnabledTime = seconds(now)
	default: // it goes on saying what led to it
		next.ConsecutiveFailures, next.FailingSince = old.ConsecutiveFailures, old.FailingSince
	}
}

// cause is why the Webhook is to be disabled, and when the attempt ended that
// leads to it; empty when it is not. Only attempts count: a receiver that fails
// is not disabled because nothing is sent to it for long.
func cause(next *v1alpha1.WebhookStatus, terms compile.AutoDisable, f rollout.Facts) (string, *metav1.Time) {
	if gone := f.Summary.Gone; !gone.IsZero() {
		return v1alpha1.ReasonReceiverGone, seconds(gone)
	}
	d := next.LastDelivery
	if terms.Failures > 0 && next.ConsecutiveFailures >= terms.Failures && next.FailingSince != nil && d != nil &&
		d.Time.Sub(next.FailingSince.Time) >= terms.Over {
		return v1alpha1.ReasonConsecutiveFailures, &d.Time
	}
	return "", nil
}

func disable(w *v1alpha1.Webhook, reason string, at *metav1.Time) *v1alpha1.AutomaticDisabling {
	a := &v1alpha1.AutomaticDisabling{
		Number: 1, Reason: reason, Time: *at, Generation: w.Generation, EnableAnnotation: annotation(w),
	}
	if old := w.Status.AutomaticDisabling; old != nil {
		a.Number = old.Number + 1
	}
	return a
}

// annotation is what counts of w's annotation.
func annotation(w *v1alpha1.Webhook) string {
	s := w.Annotations[v1alpha1.EnableAnnotation]
	return strings.ToValidUTF8(s[:min(len(s), maxAnnotation)], "")
}

// enabledBy says what enables w anew since it was disabled, empty when nothing does.
func enabledBy(w *v1alpha1.Webhook, testPassed time.Time) string {
	a := w.Status.AutomaticDisabling
	switch value := annotation(w); {
	case w.Generation != a.Generation:
		return "its spec was edited"
	case value != "" && value != a.EnableAnnotation:
		return "its annotation " + v1alpha1.EnableAnnotation + " has a new value"
	case seconds(testPassed).After(a.Time.Time): // in the same second it may have come before
		return "a test delivery succeeded"
	}
	return ""
}

// An Event is what an Event of Kubernetes says.
type Event struct {
	Reason string // v1alpha1.EventDisabled or EventEnabled
	Note   string
}

// Transition is the Event of the automatic disabling, or its end, that next
// brings to w; nil when it brings neither.
func Transition(w *v1alpha1.Webhook, next v1alpha1.WebhookStatus, f rollout.Facts) *Event {
	was, is := inForce(w.Status.AutomaticDisabling), inForce(next.AutomaticDisabling)
	switch {
	case is && !was:
		return &Event{v1alpha1.EventDisabled, notSending(&next)}
	case was && !is:
		return &Event{v1alpha1.EventEnabled, "Enabled anew, because " + enabledBy(w, f.Summary.TestPassed)}
	}
	return nil
}

// notSending says why Postrider has disabled the Webhook, and how that ends.
func notSending(s *v1alpha1.WebhookStatus) string {
	if s.AutomaticDisabling.Reason == v1alpha1.ReasonReceiverGone {
		return "Disabled by Postrider, because the receiver answered 410 Gone; " + remedies
	}
	text := fmt.Sprintf("Disabled by Postrider, because %d attempts in a row failed", s.ConsecutiveFailures)
	if s.FailingSince != nil {
		text += " since " + s.FailingSince.UTC().Format(time.RFC3339)
	}
	return cut(text + newestFailure(s) + "; " + remedies)
}
