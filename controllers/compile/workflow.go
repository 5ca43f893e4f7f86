package compile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/dispatcher/sitecore"
)

// How long a validation action may take to answer. Sitecore's default and maximum.
const (
	defaultValidation            = 3 * time.Second
	minValidation, maxValidation = 100 * time.Millisecond, 10 * time.Second
)

// isAction reports whether a Webhook is about workflow commands.
func isAction(spec *v1alpha1.WebhookSpec) bool {
	return spec.Type == v1alpha1.WebhookSubmitAction || spec.Type == v1alpha1.WebhookValidationAction
}

// action makes rt that of a submit or validation action. A condition that makes no
// sense is left out: what the action is for is then still known by its selector.
func (c *compiler) action(v *Verdict, rt *route.Route, spec *v1alpha1.WebhookSpec) {
	c.selectCommands(v, rt, spec)
	if spec.Type == v1alpha1.WebhookSubmitAction {
		rt.Events = []string{sitecore.WorkflowCommand}
		return
	}
	rt.Events, rt.OrderingKey, rt.Validation = nil, "", validation(v, spec.Validation)
}

func (c *compiler) selectCommands(v *Verdict, rt *route.Route, spec *v1alpha1.WebhookSpec) {
	rt.Condition = ""
	w := spec.Workflow
	if w == nil || len(w.States) == 0 && len(w.Commands)+len(w.FromStates)+len(w.ToStates) == 0 {
		v.reject(v1alpha1.ReasonInvalidWorkflow, "spec.workflow", `it is missing or selects nothing; name commands, fromStates or toStates, or states of a SubmitAction; commands: ["*"] is every command`)
		return
	}
	selector := selectorOf(w)
	if err := c.checkCondition(selector); err != nil {
		v.reject(v1alpha1.ReasonInvalidWorkflow, "spec.workflow", fmt.Sprintf("written as an expression, %v; select by fewer names or ids, or use several Webhooks", err))
		return
	}
	rt.Condition = selector
	if spec.Condition == "" || c.checkCondition(spec.Condition) != nil {
		return
	}
	both := selector + " && (" + spec.Condition + "\n)" // which ends a comment
	if err := c.checkCondition(both); err != nil {
		v.reject(v1alpha1.ReasonInvalidCondition, "spec.condition", fmt.Sprintf("together with spec.workflow, written as an expression, %v; shorten it, or select by fewer names", err))
		return
	}
	rt.Condition = both
}

// selectorOf is w as CEL over the event that a workflow command is. What a state of
// a SubmitAction is called is that of the state that the item enters.
func selectorOf(w *v1alpha1.WorkflowSelector) string {
	var terms []string
	for _, t := range []struct {
		thing string
		names []string
	}{
		{"Workflow", w.Workflows},
		{"Command", w.Commands},
		{"PreviousState", w.FromStates},
		{"NextState", w.ToStates},
		{"NextState", w.States},
	} {
		if len(t.names) > 0 {
			terms = append(terms, namedExpression(t.thing, t.names))
		}
	}
	return strings.Join(terms, " && ")
}

// namedExpression asks whether a member of the data has one of the names.
func namedExpression(thing string, names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = strconv.Quote(name)
	}
	return "sitecore.named(event.data." + thing + ", [" + strings.Join(quoted, ", ") + "])"
}

func validation(v *Verdict, spec *v1alpha1.Validation) *route.Validation {
	if spec == nil {
		return &route.Validation{}
	}
	if known := []v1alpha1.FailurePolicy{"", v1alpha1.FailurePolicyFail, v1alpha1.FailurePolicyIgnore}; !slices.Contains(known, spec.FailurePolicy) {
		v.reject(v1alpha1.ReasonInvalidType, "spec.validation.failurePolicy", fmt.Sprintf("%q is unknown to this version; use Fail or Ignore", spec.FailurePolicy))
	}
	return &route.Validation{Ignore: spec.FailurePolicy == v1alpha1.FailurePolicyIgnore}
}

// validationTerms puts what a validation action has of its own in the place of what
// its policy says.
func validationTerms(v *Verdict, rt *route.Route, spec *v1alpha1.WebhookSpec) {
	rt.Timeout = defaultValidation
	if spec.Validation != nil {
		rt.Timeout = v.duration("spec.validation.timeout", spec.Validation.Timeout, defaultValidation, minValidation, maxValidation)
	}
	// Disabled by itself it would let every command pass, or none.
	v.AutoDisable = AutoDisable{}
}
