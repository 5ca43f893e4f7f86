// Package status turns facts into the status of an object: conditions, state
// and the newest delivery. It is pure; equal facts give an equal status.
package status

import (
	"math"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/controllers/compile"
	"github.com/postrider/postrider/controllers/rollout"
	"github.com/postrider/postrider/dispatcher/outcome"
)

// maxText bounds every text of a status, in bytes, as the CRD does.
const maxText = 1024

// ForWebhook is the status of w, given the verdict on it and what is known of
// its rollout and deliveries. What a dispatcher has forgotten by a restart is
// kept from the status that w has; past is what of its failures in a row the
// dispatchers do not know.
func ForWebhook(w *v1alpha1.Webhook, v compile.Verdict, f rollout.Facts, past Past, now time.Time) v1alpha1.WebhookStatus {
	old := &w.Status
	next := v1alpha1.WebhookStatus{ObservedGeneration: v.Generation, State: v1alpha1.StateEnabled}
	remember(&next, old, f)
	disabling(&next, w, v.AutoDisable, f, past, now)
	switch {
	case w.Spec.Disabled:
		next.State, next.StateReason = v1alpha1.StateDisabled, v1alpha1.ReasonSpecDisabled
	case inForce(next.AutomaticDisabling):
		next.State, next.StateReason = v1alpha1.StateDisabled, next.AutomaticDisabling.Reason
	}

	c := conditions{old: old.Conditions, generation: v.Generation, now: now}
	c.judge(v)
	c.programmed(f)
	c.ready(v1alpha1.ConditionAccepted, v1alpha1.ConditionResolvedRefs, v1alpha1.ConditionProgrammed)
	c.delivering(&next, f.Summary.Breaker)
	c.warn(v)
	c.stalled()
	next.Conditions = c.all
	return next
}

// ForJudged is the status of an object that is judged and nothing else.
func ForJudged(old v1alpha1.JudgedStatus, v compile.Verdict, now time.Time) v1alpha1.JudgedStatus {
	c := conditions{old: old.Conditions, generation: v.Generation, now: now}
	c.judge(v)
	c.ready(v1alpha1.ConditionAccepted, v1alpha1.ConditionResolvedRefs)
	c.stalled()
	return v1alpha1.JudgedStatus{ObservedGeneration: v.Generation, Conditions: c.all}
}

// remember fills in what is known of deliveries.
func remember(next, old *v1alpha1.WebhookStatus, f rollout.Facts) {
	s := &f.Summary
	next.LastDelivery = old.LastDelivery
	if d := delivery(s.Last); d != nil && (old.LastDelivery == nil || !d.Time.Before(&old.LastDelivery.Time)) {
		next.LastDelivery = d
	}
	next.LastSuccessTime = newer(old.LastSuccessTime, s.LastSuccess)
	next.LastError, next.LastErrorTime = old.LastError, newer(old.LastErrorTime, s.LastErrorTime)
	if s.LastError != "" && next.LastErrorTime.Equal(seconds(s.LastErrorTime)) {
		next.LastError = cut(s.LastError)
	}
	next.Pending, next.DeadLetters = count(s.Pending+s.Stored), count(s.DeadLetters)
	if !f.Complete {
		// Somebody has yet to report; until then the last known whole is truer.
		next.Pending, next.DeadLetters = max(next.Pending, old.Pending), max(next.DeadLetters, old.DeadLetters)
	}
}

func delivery(a *outcome.Attempt) *v1alpha1.Delivery {
	if a == nil {
		return nil
	}
	return &v1alpha1.Delivery{
		Time: *seconds(a.Time), EventID: cut(a.EventID), EventType: cut(a.EventType),
		Outcome: string(a.Reason), StatusCode: count(a.Status), Attempt: count(a.Number),
		Duration: &metav1.Duration{Duration: a.Took.Round(100 * time.Microsecond)},
	}
}

// seconds is t as the API server keeps it.
func seconds(t time.Time) *metav1.Time { return new(metav1.NewTime(t.Truncate(time.Second))) }

func newer(old *metav1.Time, t time.Time) *metav1.Time {
	if t.IsZero() || old != nil && !old.Before(seconds(t)) {
		return old
	}
	return seconds(t)
}

func count(n int) int32 { return int32(min(max(n, 0), math.MaxInt32)) } //nolint:gosec // it is bounded here

// cut keeps s storable: the API server takes UTF-8 of bounded length.
func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxText)], "") }

// conditions collects the conditions of one object.
//
// Each condition is set once, to its final value: setting it True and then
// False would move lastTransitionTime on every pass.
type conditions struct {
	old        []metav1.Condition
	generation int64
	now        time.Time
	all        []metav1.Condition
}

func (c *conditions) set(typ string, status metav1.ConditionStatus, reason, message string) {
	next := metav1.Condition{
		Type: typ, Status: status, Reason: reason, Message: message,
		ObservedGeneration: c.generation, LastTransitionTime: *seconds(c.now),
	}
	// The CRD's own initial conditions have a time that means nothing.
	if old := meta.FindStatusCondition(c.old, typ); old != nil && old.Status == status && old.LastTransitionTime.Unix() > 0 {
		next.LastTransitionTime = old.LastTransitionTime
	}
	c.all = append(c.all, next)
}

// judge sets Accepted and ResolvedRefs.
func (c *conditions) judge(v compile.Verdict) {
	for _, q := range []struct{ typ, reason, message string }{
		{v1alpha1.ConditionAccepted, v1alpha1.ReasonAccepted, "The spec makes sense"},
		{v1alpha1.ConditionResolvedRefs, v1alpha1.ReasonResolvedRefs, "Everything that the spec refers to is there"},
	} {
		if f := v.Fault(q.typ); f != nil {
			c.set(q.typ, metav1.ConditionFalse, f.Reason, cut(v.Text(q.typ)))
			continue
		}
		c.set(q.typ, metav1.ConditionTrue, q.reason, q.message)
	}
}

// warn sets the conditions that are there only while there is something to say.
func (c *conditions) warn(v compile.Verdict) {
	const typ = v1alpha1.ConditionEventsKnown
	if i := slices.IndexFunc(v.Warnings, func(f compile.Fault) bool { return f.Condition == typ }); i >= 0 {
		c.set(typ, metav1.ConditionFalse, v.Warnings[i].Reason, cut(v.Text(typ)))
	}
}

// stalled says that only an edit of the object helps. A reference that does not
// resolve is not such a case: what it refers to may yet come, in the same
// deployment even, and whoever waits for that must not be told that it failed.
func (c *conditions) stalled() {
	if a := meta.FindStatusCondition(c.all, v1alpha1.ConditionAccepted); a.Status == metav1.ConditionFalse {
		c.set(v1alpha1.ConditionStalled, metav1.ConditionTrue, a.Reason, a.Message)
	}
}

// programmed sets Programmed.
func (c *conditions) programmed(f rollout.Facts) {
	const typ = v1alpha1.ConditionProgrammed
	switch p := f.Progress; p.Phase {
	case rollout.Programmed:
		c.set(typ, metav1.ConditionTrue, v1alpha1.ReasonProgrammed, "Every dispatcher has confirmed this generation")
	case rollout.Rejected:
		c.set(typ, metav1.ConditionFalse, v1alpha1.ReasonTableRejected, p.Detail)
	case rollout.Unreachable:
		c.set(typ, metav1.ConditionUnknown, v1alpha1.ReasonDispatcherUnreachable, p.Detail)
	case rollout.Unpublished:
		c.set(typ, metav1.ConditionFalse, v1alpha1.ReasonPublishFailed, p.Detail)
	case rollout.Behind:
		c.set(typ, metav1.ConditionUnknown, v1alpha1.ReasonPending, p.Detail)
	case rollout.Pending:
		// Waiting takes nothing back that was said of this generation: a new
		// dispatcher has yet to load the table that the others have, or the
		// manager has just started and has yet to hear from anybody.
		old := meta.FindStatusCondition(c.old, typ)
		if old != nil && old.ObservedGeneration == c.generation && (old.Status == metav1.ConditionTrue || !f.Complete) {
			c.set(typ, old.Status, old.Reason, old.Message)
			return
		}
		c.set(typ, metav1.ConditionUnknown, v1alpha1.ReasonPending, "Waiting for a dispatcher to confirm this generation")
	default: // no condition is ever left out
		c.set(typ, metav1.ConditionUnknown, v1alpha1.ReasonPending, "How far this generation has come is not known")
	}
}

// ready sets Ready: what keeps it from being True is told with its reason.
func (c *conditions) ready(of ...string) {
	for _, status := range []metav1.ConditionStatus{metav1.ConditionFalse, metav1.ConditionUnknown} {
		for _, typ := range of {
			if o := meta.FindStatusCondition(c.all, typ); o.Status == status {
				c.set(v1alpha1.ConditionReady, status, o.Reason, o.Message)
				return
			}
		}
	}
	c.set(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady, "Valid, complete and in force")
}

// delivering sets Delivering, from why nothing is attempted, or else from what
// the status says of the newest attempt.
func (c *conditions) delivering(s *v1alpha1.WebhookStatus, breaker outcome.BreakerState) {
	const typ = v1alpha1.ConditionDelivering
	switch d := s.LastDelivery; {
	case inForce(s.AutomaticDisabling):
		c.set(typ, metav1.ConditionFalse, s.AutomaticDisabling.Reason, notSending(s))
	case d == nil:
		c.set(typ, metav1.ConditionUnknown, v1alpha1.ReasonNothingSent, "Nothing has been sent to the receiver yet")
	case breaker != outcome.BreakerClosed: // a probe may well fail: it is told as if it were open
		c.set(typ, metav1.ConditionFalse, v1alpha1.ReasonCircuitBreakerOpen, cut("Attempts pause, because too many in a row failed"+newestFailure(s)))
	case d.Outcome == string(outcome.Delivered):
		c.set(typ, metav1.ConditionTrue, v1alpha1.ReasonDelivered, "The receiver took the newest delivery")
	default:
		c.set(typ, metav1.ConditionFalse, v1alpha1.ReasonReceiverFailing, cut("The newest attempt failed: "+failure(d, s.LastError)))
	}
}

// newestFailure goes on where a text speaks of failures. It is empty when the
// newest attempt is none: another dispatcher, or one under way, has succeeded.
func newestFailure(s *v1alpha1.WebhookStatus) string {
	if d := s.LastDelivery; d != nil && d.Outcome != string(outcome.Delivered) {
		return ", the newest with " + failure(d, s.LastError)
	}
	return ""
}

// failure is how d ended. lastError says it more closely, unless it is about
// something else: a condition that could not be evaluated is an error too.
func failure(d *v1alpha1.Delivery, lastError string) string {
	text := outcome.Outcome{Reason: outcome.Reason(d.Outcome), Status: int(d.StatusCode)}.String()
	if strings.HasPrefix(lastError, text) {
		return lastError
	}
	return text
}
