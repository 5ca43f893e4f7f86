package words

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/dispatcher/outcome"
)

// A State is how a Webhook fares, in one word.
type State string

// The states, what is worse first.
const (
	NotReady State = "NotReady" // a mistake, or not in force yet
	Disabled State = "Disabled" // by its author or by Postrider
	Failing  State = "Failing"  // its receiver does not take what it is sent
	Enabled  State = "Enabled"  // nothing is wrong
)

// States are all of them.
var States = []State{Enabled, Disabled, Failing, NotReady}

// StateOf returns the state of w.
func StateOf(w *v1alpha1.Webhook) State {
	switch {
	case !meta.IsStatusConditionTrue(w.Status.Conditions, v1alpha1.ConditionReady) || w.Status.ObservedGeneration != w.Generation:
		return NotReady
	case w.Status.State == v1alpha1.StateDisabled:
		return Disabled
	case meta.IsStatusConditionFalse(w.Status.Conditions, v1alpha1.ConditionDelivering):
		return Failing
	}
	return Enabled
}

// Reason is why w is in its state, empty when there is nothing to say.
func Reason(w *v1alpha1.Webhook) string {
	condition := ""
	switch StateOf(w) {
	case Disabled:
		return w.Status.StateReason
	case NotReady:
		condition = v1alpha1.ConditionReady
	case Failing:
		condition = v1alpha1.ConditionDelivering
	case Enabled:
	}
	if c := meta.FindStatusCondition(w.Status.Conditions, condition); c != nil && c.Reason != v1alpha1.ReasonReady {
		return c.Reason
	}
	return ""
}

// StandingError is the last error, unless the receiver has taken something since.
func StandingError(w *v1alpha1.Webhook) string {
	failed, worked := w.Status.LastErrorTime, w.Status.LastSuccessTime
	if failed == nil || worked != nil && failed.Before(worked) {
		return ""
	}
	return w.Status.LastError
}

// Confirmed reports whether every dispatcher has the newest spec of w.
func Confirmed(w *v1alpha1.Webhook) bool {
	return w.Status.ObservedGeneration == w.Generation && meta.IsStatusConditionTrue(w.Status.Conditions, v1alpha1.ConditionProgrammed)
}

// InTrouble reports whether somebody should do something about w: that its author
// has disabled it is no trouble.
func InTrouble(w *v1alpha1.Webhook) bool {
	s := StateOf(w)
	return s == NotReady || s == Failing || s == Disabled && w.Status.StateReason != v1alpha1.ReasonSpecDisabled || w.Status.DeadLetters > 0
}

// about says what each condition is about.
var about = map[string]string{
	v1alpha1.ConditionAccepted:     "the spec makes sense",
	v1alpha1.ConditionResolvedRefs: "what it refers to is there",
	v1alpha1.ConditionProgrammed:   "every dispatcher has it",
	v1alpha1.ConditionReady:        "so it is ready",
	v1alpha1.ConditionDelivering:   "the receiver takes what it is sent",
	v1alpha1.ConditionEventsKnown:  "the names in spec.events are known",
	"Stalled":                      "nothing will happen until somebody changes something",
}

// A Judgement is a condition in words.
type Judgement struct{ About, Answer, Reason, Message string }

// Judgements are the conditions of w in words.
func Judgements(w *v1alpha1.Webhook) []Judgement {
	all := make([]Judgement, len(w.Status.Conditions))
	for i, c := range w.Status.Conditions {
		say, known := about[c.Type]
		if !known {
			say = c.Type
		}
		answer := "not known"
		switch c.Status {
		case metav1.ConditionTrue:
			answer = "yes"
		case metav1.ConditionFalse:
			answer = "no"
		case metav1.ConditionUnknown:
		}
		all[i] = Judgement{say, answer, c.Reason, c.Message}
	}
	return all
}

// Steps are what to do next about w, the most urgent first; none when all is well.
func Steps(w *v1alpha1.Webhook) []string {
	on := w.Name + " -n " + w.Namespace
	steps := stepsToReady(w, on)
	switch {
	case w.Status.State != v1alpha1.StateDisabled:
	case w.Status.StateReason == v1alpha1.ReasonSpecDisabled:
		steps = append(steps, "It is disabled by its spec. To let it send: set spec.disabled to false; to try it before: kubectl postrider test "+on)
	default:
		steps = append(steps, fmt.Sprintf("Postrider has disabled it (%s). Repair the receiver, and let a test pass, which enables it: kubectl postrider test %s", w.Status.StateReason, on),
			"Or enable it untested: kubectl annotate webhook "+on+` postrider.dev/enable="$(date +%s)" --overwrite`)
	}
	if StateOf(w) == Failing {
		steps = append(steps, "The receiver fails. See how, and what to do: kubectl postrider test "+on, "See what failed: kubectl postrider deliveries "+on+" --failed")
	}
	switch text := StandingError(w); {
	case strings.HasPrefix(text, string(outcome.ConditionFailed)+":") && w.Spec.Type == v1alpha1.WebhookValidationAction:
		steps = append(steps, fmt.Sprintf("It could not be asked about a command, for the condition cannot be evaluated for it (%s). Correct that.", text))
	case strings.HasPrefix(text, string(outcome.ConditionFailed)+":"):
		steps = append(steps, fmt.Sprintf("An event was not selected, for the condition cannot be evaluated for it (%s). Correct that, then send again what it has missed: kubectl postrider replay %s --since 1h", text, on))
	case strings.HasPrefix(text, string(outcome.OrderingFailed)+":"):
		steps = append(steps, fmt.Sprintf("spec.ordering.key cannot be evaluated for some events, which go one after the other (%s). Correct it, or guard it with has() or type().", text))
	}
	if c := meta.FindStatusCondition(w.Status.Conditions, v1alpha1.ConditionEventsKnown); c != nil && c.Status == metav1.ConditionFalse {
		steps = append(steps, "Look at spec.events for a misspelt name: "+c.Message)
	}
	if n := int(w.Status.DeadLetters); n > 0 {
		steps = append(steps, fmt.Sprintf("%s given up. See why: kubectl postrider dead-letters list %s; when the receiver works again: kubectl postrider dead-letters redrive %s --all",
			count(n, "delivery was", "deliveries were"), on, on))
	}
	return steps
}

func stepsToReady(w *v1alpha1.Webhook, on string) []string {
	if w.Status.ObservedGeneration != w.Generation {
		return []string{"The manager has not looked at the newest spec yet. If that lasts: kubectl postrider doctor -n " + w.Namespace}
	}
	is := func(condition string, status metav1.ConditionStatus) *metav1.Condition {
		c := meta.FindStatusCondition(w.Status.Conditions, condition)
		if c == nil || c.Status != status {
			return nil
		}
		return c
	}
	var steps []string
	if c := is(v1alpha1.ConditionAccepted, metav1.ConditionFalse); c != nil {
		steps = append(steps, "Correct the spec ("+c.Message+"): kubectl edit webhook "+on)
	}
	if c := is(v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse); c != nil {
		steps = append(steps, "Provide what it refers to ("+c.Message+"). What it is owed waits until then.")
	}
	if is(v1alpha1.ConditionProgrammed, metav1.ConditionTrue) == nil {
		steps = append(steps, "The dispatchers have not confirmed it. See why: kubectl postrider doctor -n "+w.Namespace)
	}
	return steps
}
