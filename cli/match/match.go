// Package match says why an event goes, or does not go, to each Webhook. It asks the
// code that the manager and the dispatcher run: controllers/compile makes the routes,
// dispatcher/route matches them. It needs no Secret: whether what a Webhook refers to
// is there is taken from the status that the manager has written.
package match

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/controllers/compile"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/dispatcher/sitecore"
)

// A Result is what becomes of an event.
type Result string

// The results.
const (
	Delivers Result = "Delivers" // it is attempted
	Waits    Result = "Waits"    // the Webhook is owed it, and cannot have it yet
	Asks     Result = "Asks"     // a validation action is asked about it
	Ignores  Result = "Ignores"  // the Webhook does not get it
)

// An Explanation is about one Webhook.
type Explanation struct {
	Webhook string `json:"webhook"`
	Result  Result `json:"result"`
	Because string `json:"because"` // one sentence, without a full stop

	Patterns   []Pattern   `json:"patterns,omitempty"`
	Conditions []Condition `json:"conditions,omitempty"`
	Obstacles  []Obstacle  `json:"obstacles,omitempty"`
}

// A Pattern is one of spec.events.
type Pattern struct {
	Pattern string `json:"pattern"`
	Selects bool   `json:"selects"`
}

// A Condition is a field of the spec that an event has to fulfil.
type Condition struct {
	Field string `json:"field"`
	Text  string `json:"text"`
	Holds bool   `json:"holds"`
	Lacks string `json:"lacks,omitempty"` // what the event does not have of what it looks at
	Error string `json:"error,omitempty"` // why it cannot be evaluated
}

// An Obstacle keeps a Webhook from sending, whatever the event.
type Obstacle struct {
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

// Explain explains e to each of the Webhooks, which are of its namespace, in their order.
func Explain(e *event.Event, webhooks []v1alpha1.Webhook) []Explanation {
	all := make([]Explanation, len(webhooks))
	for i := range webhooks {
		all[i] = explain(e, &webhooks[i])
	}
	return all
}

func explain(e *event.Event, w *v1alpha1.Webhook) Explanation {
	x := Explanation{Webhook: w.Name, Result: Ignores}
	for _, p := range patterns(w) {
		x.Patterns = append(x.Patterns, Pattern{p, route.CheckEvents([]string{p}) == nil && route.Selects([]string{p}, e.Type)})
	}
	x.Conditions = conditions(e, w)

	enabled := w.DeepCopy()
	enabled.Spec.Disabled, enabled.Status.AutomaticDisabling = false, nil
	rt, verdict := compiled(enabled)
	held, _ := compiled(w)
	if held.Hold != rt.Hold { // nothing but being disabled makes a difference
		x.Obstacles = append(x.Obstacles, Obstacle{held.Hold, disabledText(w, held.Hold)})
	}
	fault := verdict.Fault(v1alpha1.ConditionAccepted)
	if fault != nil {
		x.Obstacles = append(x.Obstacles, Obstacle{fault.Reason, verdict.Text(v1alpha1.ConditionAccepted)})
	}
	unready := obstaclesOfStatus(w)
	x.Obstacles = append(x.Obstacles, unready...)

	selected, qualifies, why := decide(e, rt, x.Conditions)
	switch {
	case fault != nil:
		x.Because = "the spec makes no sense, so it selects nothing"
	case !selected && len(w.Spec.Events) == 0 && w.Spec.Type == v1alpha1.WebhookEventHandler:
		x.Because = "spec.events is empty, so it selects nothing"
	case !selected && rt.Validation != nil:
		x.Because = "it is asked about workflow commands, and about nothing else"
	case !selected:
		x.Because = fmt.Sprintf("no pattern selects the type %q", e.Type)
	case !qualifies:
		x.Because = why
	case held.Hold != rt.Hold:
		x.Because = "it would get the event, and is disabled"
	case rt.Validation != nil:
		x.Result, x.Because = Asks, "it is asked whether the command may be carried out"
	case len(unready) > 0:
		x.Result, x.Because = Waits, "it is owed the event, and cannot send: "+unready[0].Reason
		if unready[0].Reason == notInForce {
			x.Because = "it is owed the event when its newest spec is in force"
		}
	default:
		x.Result, x.Because = Delivers, "a pattern selects the type"
		if len(x.Conditions) > 0 {
			x.Because += " and the event fulfils the condition"
		}
	}
	return x
}

// patterns are those that select events for w.
func patterns(w *v1alpha1.Webhook) []string {
	if w.Spec.Type == v1alpha1.WebhookSubmitAction || w.Spec.Type == v1alpha1.WebhookValidationAction {
		return []string{sitecore.WorkflowCommand}
	}
	return w.Spec.Events
}

// compiled is the route of w as the manager compiles it without any Secret, policy
// or authorization item, and the verdict: what that says of references means nothing.
func compiled(w *v1alpha1.Webhook) (route.Route, compile.Verdict) {
	r := compile.Compile(compile.Snapshot{Webhooks: []v1alpha1.Webhook{*w}})
	var verdict compile.Verdict
	for _, v := range r.Webhooks {
		verdict = v
	}
	return r.Table.Routes[0], verdict
}

// decide matches as a dispatcher does. why is what keeps an event of a selected type
// from qualifying.
func decide(e *event.Event, rt route.Route, parts []Condition) (selected, qualifies bool, why string) {
	entry := entryOf(e, rt)
	if entry == nil {
		return false, false, ""
	}
	qualifies, err := entry.Qualifies(route.NewView(e))
	if qualifies {
		return true, true, ""
	}
	for _, p := range parts {
		switch {
		case p.Error != "":
			return true, false, p.Field + " cannot be evaluated for the event"
		case p.Lacks != "":
			return true, false, fmt.Sprintf("the event lacks what %s looks at (%s)", p.Field, p.Lacks)
		case !p.Holds:
			return true, false, "the event does not fulfil " + p.Field
		}
	}
	if err != nil {
		return true, false, err.Error()
	}
	return true, false, "the event does not fulfil the conditions"
}

// entryOf returns the entry of rt when it selects the type of e, or is asked about it.
func entryOf(e *event.Event, rt route.Route) *route.Entry {
	router, err := route.Build(route.Table{Routes: []route.Route{rt}})
	if err != nil {
		return nil // what compiles builds
	}
	namespace, _, _ := strings.Cut(rt.ID, "/")
	entries := router.Match(nil, namespace, e.Type)
	if e.Type == sitecore.WorkflowCommand {
		entries = append(entries, router.Validations(namespace)...)
	}
	if len(entries) == 0 {
		return nil
	}
	return entries[0]
}

// conditions evaluates each field by itself, so that it is seen which of them says no.
func conditions(e *event.Event, w *v1alpha1.Webhook) []Condition {
	alone := func(field, text string, keep func(*v1alpha1.WebhookSpec)) Condition {
		part := &v1alpha1.Webhook{ObjectMeta: w.ObjectMeta}
		part.Spec = v1alpha1.WebhookSpec{Type: v1alpha1.WebhookEventHandler, Events: []string{"*"}, Endpoint: v1alpha1.Endpoint{URL: "https://receiver.example.com"}}
		keep(&part.Spec)
		return evaluate(e, field, text, part)
	}
	var all []Condition
	if w.Spec.Workflow != nil {
		all = append(all, alone("spec.workflow", workflowText(w.Spec.Workflow), func(s *v1alpha1.WebhookSpec) {
			s.Type, s.Events, s.Workflow = v1alpha1.WebhookSubmitAction, nil, w.Spec.Workflow
		}))
	}
	if w.Spec.Condition != "" {
		all = append(all, alone("spec.condition", w.Spec.Condition, func(s *v1alpha1.WebhookSpec) { s.Condition = w.Spec.Condition }))
	}
	if w.Spec.ItemCondition != "" {
		all = append(all, alone("spec.itemCondition", w.Spec.ItemCondition, func(s *v1alpha1.WebhookSpec) { s.ItemCondition = w.Spec.ItemCondition }))
	}
	return all
}

func evaluate(e *event.Event, field, text string, part *v1alpha1.Webhook) Condition {
	c := Condition{Field: field, Text: text}
	rt, verdict := compiled(part)
	if f := verdict.Fault(v1alpha1.ConditionAccepted); f != nil {
		c.Error = f.Detail
		return c
	}
	rt.Events = []string{"*"} // whatever the type is, this is about the rest
	entry := entryOf(e, rt)
	if entry == nil {
		c.Error = "it does not compile"
		return c
	}
	holds, err := entry.Qualifies(route.NewView(e))
	c.Holds = holds
	switch {
	case err != nil:
		c.Error = err.Error()
	case !holds:
		c.Lacks = entry.Lacks(route.NewView(e))
	}
	return c
}

func workflowText(s *v1alpha1.WorkflowSelector) string {
	var parts []string
	for _, p := range []struct {
		name  string
		names []string
	}{{"workflows", s.Workflows}, {"commands", s.Commands}, {"fromStates", s.FromStates}, {"toStates", s.ToStates}, {"states", s.States}} {
		if len(p.names) > 0 {
			parts = append(parts, p.name+": "+strings.Join(p.names, ", "))
		}
	}
	return strings.Join(parts, "; ")
}

// notInForce is the reason of an obstacle of a Webhook whose status is about an
// older spec, or which dispatchers have yet to confirm.
const notInForce = "NotInForce"

// obstaclesOfStatus are what the manager has found out and this package cannot.
func obstaclesOfStatus(w *v1alpha1.Webhook) []Obstacle {
	var all []Obstacle
	if w.Status.ObservedGeneration != w.Generation {
		return []Obstacle{{notInForce, "the manager has not judged the newest spec yet; see: kubectl postrider doctor"}}
	}
	conditions := slices.Clone(w.Status.Conditions)
	if c := meta.FindStatusCondition(conditions, v1alpha1.ConditionResolvedRefs); c != nil && c.Status == metav1.ConditionFalse {
		all = append(all, Obstacle{c.Reason, c.Message})
	}
	if c := meta.FindStatusCondition(conditions, v1alpha1.ConditionProgrammed); c != nil && c.Status != metav1.ConditionTrue {
		all = append(all, Obstacle{notInForce, fmt.Sprintf("%s: %s", c.Reason, c.Message)})
	}
	return all
}

func disabledText(w *v1alpha1.Webhook, reason string) string {
	if reason == v1alpha1.ReasonSpecDisabled {
		return "spec.disabled is true: no new event is selected"
	}
	return fmt.Sprintf("Postrider has disabled it (%s): repair the receiver and let a test pass: kubectl postrider test %s -n %s", reason, w.Name, w.Namespace)
}
