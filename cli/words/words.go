// Package words says in sentences what a Webhook is for, how it fares and what to do
// next. It is pure: objects in, text out.
package words

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/controllers/compile"
	"github.com/postrider/postrider/dispatcher/route"
)

// A Subject is a Webhook with what it refers to, as far as that is known.
type Subject struct {
	Webhook *v1alpha1.Webhook
	Policy  *v1alpha1.WebhookPolicy     // nil: there is none, or it may not be read
	Item    *v1alpha1.AuthorizationItem // likewise
}

// Meaning says what the spec asks for, a line each; a line that begins with blanks
// belongs to the one before.
func (s Subject) Meaning() []string {
	spec := &s.Webhook.Spec
	lines := selection(spec)
	lines = append(lines, "to "+spec.Endpoint.URL+", as "+body(spec)+".")
	if n := len(spec.Endpoint.Headers); n > 0 {
		names := make([]string, n)
		for i, h := range spec.Endpoint.Headers {
			names[i] = h.Name
		}
		lines = append(lines, "Sends the "+plural(n, "header", "headers")+" "+List(names, "and")+" besides.")
	}
	lines = append(lines, s.credentials(), s.signature())
	if spec.Ordering != nil {
		lines = append(lines, "Deliveries with the same key go one after the other, the key being", "  "+indent(spec.Ordering.Key))
	}
	return append(lines, s.terms()...)
}

// selection says what w is told or asked about.
func selection(spec *v1alpha1.WebhookSpec) []string {
	var lines []string
	switch spec.Type {
	case v1alpha1.WebhookSubmitAction:
		lines = append(lines, "Sends workflow commands that were carried out, "+workflow(spec.Workflow))
	case v1alpha1.WebhookValidationAction:
		lines = append(lines, "Is asked whether workflow commands may be carried out, "+workflow(spec.Workflow))
	default:
		if len(spec.Events) == 0 {
			return []string{"Sends nothing, for spec.events is empty; if it had any, it would send them"}
		}
		lines = append(lines, "Sends events of type "+List(spec.Events, "or"))
	}
	for _, c := range []struct{ say, text string }{
		{"that fulfil", spec.Condition},
		{"that, if they carry an item, fulfil", spec.ItemCondition},
	} {
		if c.text != "" {
			lines = append(lines, c.say, "  "+indent(c.text))
		}
	}
	return lines
}

func workflow(w *v1alpha1.WorkflowSelector) string {
	if w == nil {
		return "of none, for spec.workflow is missing"
	}
	var parts []string
	for _, p := range []struct {
		say, thing string
		names      []string
	}{{"of", "workflow", w.Workflows}, {"of", "command", w.Commands}, {"out of", "state", w.FromStates}, {"into", "state", w.ToStates}, {"entering", "state", w.States}} {
		switch {
		case slices.Contains(p.names, "*"):
			parts = append(parts, p.say+" any "+p.thing)
		case len(p.names) > 0:
			parts = append(parts, p.say+" "+p.thing+" "+List(p.names, "or"))
		}
	}
	return strings.Join(parts, ", ")
}

// body is how the body is written, with the defaults that docs/mapping.md has.
func body(spec *v1alpha1.WebhookSpec) string {
	format, serialization := v1alpha1.PayloadStandard, v1alpha1.SerializationJSON
	if spec.Type != v1alpha1.WebhookEventHandler {
		format = v1alpha1.PayloadSitecore
	}
	if p := spec.Payload; p != nil {
		format, serialization = cmp.Or(p.Format, format), cmp.Or(p.Serialization, serialization)
	}
	return fmt.Sprintf("%s %s", format, serialization)
}

func (s Subject) credentials() string {
	ref := s.Webhook.Spec.AuthorizationRef
	switch {
	case ref == nil:
		return "Proves itself by nothing."
	case s.Item == nil:
		return fmt.Sprintf("Proves itself by AuthorizationItem %q.", ref.Name)
	default:
		return fmt.Sprintf("Proves itself by AuthorizationItem %q (%s).", ref.Name, s.Item.Spec.Type)
	}
}

func (s Subject) signature() string {
	ref := s.Webhook.Spec.PolicyRef
	switch {
	case ref == nil:
		return "Is not signed; the terms are the defaults."
	case s.Policy == nil:
		return fmt.Sprintf("Its terms and signature are those of WebhookPolicy %q, which cannot be read; these are the defaults.", ref.Name)
	case s.Policy.Spec.Signing == nil || s.Policy.Spec.Signing.Type == v1alpha1.SigningNone:
		return fmt.Sprintf("Is not signed; the terms are those of WebhookPolicy %q.", ref.Name)
	default:
		return fmt.Sprintf("Is signed by %s; the terms are those of WebhookPolicy %q.", s.Policy.Spec.Signing.Type, ref.Name)
	}
}

// terms says what the compiler makes of the policy. How it signs does not matter
// here, and its Secret is not known.
func (s Subject) terms() []string {
	bare := *s.Webhook
	bare.Spec.AuthorizationRef = nil
	snapshot := compile.Snapshot{}
	if s.Policy == nil {
		bare.Spec.PolicyRef = nil
	} else {
		policy := *s.Policy
		policy.Spec.Signing = nil
		snapshot.WebhookPolicies = []v1alpha1.WebhookPolicy{policy}
	}
	snapshot.Webhooks = []v1alpha1.Webhook{bare}
	result := compile.Compile(snapshot)
	for _, v := range result.WebhookPolicies {
		if len(v.Faults) > 0 {
			return []string{"The policy is not accepted, so nothing is sent: " + v.Faults[0].String() + "."}
		}
	}
	rt := result.Table.Routes[0]
	if rt.Validation != nil {
		none := "refuses"
		if rt.Validation.Ignore {
			none = "consents"
		}
		return []string{fmt.Sprintf("It has %s to answer; a receiver that gives no verdict %s.", brief(rt.Timeout), none)}
	}
	lines := []string{fmt.Sprintf("An attempt may take %s, %d may be under way at once%s.", brief(rt.Timeout), rt.Concurrency, rate(rt.RateLimit))}
	lines = append(lines, retries(rt.Retry))
	if b := rt.Breaker; b.Failures > 0 {
		lines = append(lines, fmt.Sprintf("After %s in a row attempts pause for %s.", count(b.Failures, "failure", "failures"), brief(b.OpenFor)))
	}
	return lines
}

func rate(r route.Rate) string {
	if r.Requests == 0 {
		return ""
	}
	return fmt.Sprintf(", %d may begin in %s", r.Requests, brief(r.Per))
}

func retries(r route.Retry) string {
	if len(r.Backoff) == 0 {
		return "One that fails is given up at once."
	}
	pauses := make([]string, len(r.Backoff))
	for i, d := range r.Backoff {
		pauses[i] = brief(d)
	}
	return fmt.Sprintf("One that fails is repeated after %s, and given up %s after its event.", List(pauses, "and"), brief(r.MaxAge))
}

// brief writes 72h0m0s as 72h.
func brief(d time.Duration) string {
	s := d.String()
	if cut, ok := strings.CutSuffix(s, "m0s"); ok {
		s = cut + "m"
	}
	if cut, ok := strings.CutSuffix(s, "h0m"); ok {
		s = cut + "h"
	}
	return s
}

func indent(text string) string { return strings.ReplaceAll(text, "\n", "\n  ") }

// List is "a, b and c", with last before the last of the words.
func List(words []string, last string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	end := len(words) - 1
	return strings.Join(words[:end], ", ") + " " + last + " " + words[end]
}

func plural(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

func count(n int, one, more string) string { return fmt.Sprintf("%d %s", n, plural(n, one, more)) }
