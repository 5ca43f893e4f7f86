package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A meaning says where a reason occurs and what its reader is to do. What it
// says is the comment of the constant.
type meaning struct {
	condition, status, reason string
	kinds                     string // whose condition it is: W, P and A for the three kinds
	do                        string
}

const (
	all       = "WPA"
	onlyHooks = "W"
)

// meanings has every reason of api/v1alpha1 and every condition, in the order of
// the pages.
var meanings = []meaning{
	{"Accepted", "True", "Accepted", all, ""},
	{"Accepted", "False", "InvalidType", all, "Set `spec.type` to a value that this version knows, and the member that belongs to it; or upgrade Postrider."},
	{"Accepted", "False", "InvalidURL", onlyHooks, "Correct `spec.endpoint.url`; the message says what is wrong with it."},
	{"Accepted", "False", "InvalidEvents", onlyHooks, "Correct the pattern that the message names."},
	{"Accepted", "False", "InvalidCondition", onlyHooks, "Correct the expression; the message has the position and the words of the CEL compiler."},
	{"Accepted", "False", "InvalidWorkflow", onlyHooks, "Name commands, states or workflows in `spec.workflow`; divide a long list among several Webhooks."},
	{"Accepted", "False", "InvalidOrdering", onlyHooks, "Let `spec.ordering.key` name a member of the event, such as `event.data.id`."},
	{"Accepted", "False", "InvalidHeader", onlyHooks, "Rename or remove the header that the message names."},
	{"Accepted", "False", "InvalidPayload", onlyHooks, "Choose a format that fits the type of the Webhook; the message says which."},
	{"Accepted", "False", "InvalidTerms", "P", "Bring the term that the message names within its bounds."},
	{"Accepted", "False", "InvalidAuthorization", "A", "Correct the address, parameter or audience that the message names."},

	{"ResolvedRefs", "True", "ResolvedRefs", all, ""},
	{"ResolvedRefs", "False", "RefNotFound", onlyHooks, "Create the object that the message names, in the same namespace, or correct the reference."},
	{"ResolvedRefs", "False", "RefInvalid", onlyHooks, "Look at the conditions of the object that the message names, and mend that."},
	{"ResolvedRefs", "False", "SecretNotFound", all, "Create the Secret, in the same namespace. For a signing key, `generate: true` has it made."},
	{"ResolvedRefs", "False", "SecretKeyMissing", all, "Add the key that the message names to the Secret, or name another key."},
	{"ResolvedRefs", "False", "SecretInvalid", all, "Write the value anew; the message says what form it must have, and never shows it."},

	{"Programmed", "True", "Programmed", onlyHooks, ""},
	{"Programmed", "Unknown", "Pending", onlyHooks, "Wait. If it lasts for minutes: does the manager run, and does a dispatcher?"},
	{"Programmed", "Unknown", "DispatcherUnreachable", onlyHooks, "Look at the pods and logs of the dispatchers; see [troubleshooting](troubleshooting.md#programmed-is-unknown)."},
	{"Programmed", "False", "TableRejected", onlyHooks, "Bring manager and dispatchers to the same version; the message has the words of the dispatcher."},
	{"Programmed", "False", "PublishFailed", onlyHooks, "Look at the log of the manager: it lacks a right in its namespace, or the API server refuses."},

	{"Ready", "True", "Ready", all, ""},
	{"Ready", "False", "", all, "Mend the condition that is False; Ready has its reason and its message."},
	{"Ready", "Unknown", "Pending", onlyHooks, "Wait; see `Programmed`."},
	{"Ready", "Unknown", "Pending", "PA", "Wait. If it lasts for minutes: does the manager run?"},

	{"Delivering", "True", "Delivered", onlyHooks, ""},
	{"Delivering", "Unknown", "NothingSent", onlyHooks, "Nothing, or have it [tested](http.md#test)."},
	{"Delivering", "False", "ReceiverFailing", onlyHooks, "Read `status.lastError`, and see [outcomes](troubleshooting.md#outcomes)."},
	{"Delivering", "False", "CircuitBreakerOpen", onlyHooks, "Mend the receiver, or the address. A probe finds out by itself that it is back."},
	{"Delivering", "False", "ConsecutiveFailures", onlyHooks, "Mend the receiver, then let a test succeed, or set the annotation `postrider.dev/enable`; see [automatic disabling](mapping.md#automatic-disabling)."},
	{"Delivering", "False", "ReceiverGone", onlyHooks, "Delete the Webhook, for the receiver wants no more; or correct the address."},

	{"EventsKnown", "False", "UnknownEvent", onlyHooks, "Correct the name; or ignore it, if a producer of yours does send it."},

	{"Stalled", "True", "", all, "As of `Accepted`, whose reason and message it has."},

	{"state", "Disabled", "SpecDisabled", onlyHooks, "Set `spec.disabled` to false."},
	{"state", "Disabled", "ConsecutiveFailures", onlyHooks, "As of `Delivering`."},
	{"state", "Disabled", "ReceiverGone", onlyHooks, "As of `Delivering`."},
}

// checkMeanings fails unless each condition and each reason of the API has its place.
func checkMeanings(constants []constant) error {
	var missing []string
	for _, c := range constants {
		var placed bool
		switch {
		case strings.HasPrefix(c.name, "Condition"):
			placed = slices.ContainsFunc(meanings, func(m meaning) bool { return m.condition == c.value })
		case strings.HasPrefix(c.name, "Reason"):
			placed = slices.ContainsFunc(meanings, func(m meaning) bool { return m.reason == c.value })
		default:
			continue
		}
		if !placed {
			missing = append(missing, c.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("say in meanings of hack/docs/conditions.go where these occur and what to do: %s", strings.Join(missing, ", "))
	}
	for _, m := range meanings {
		if m.condition != "state" && find(constants, "Condition", m.condition) == nil || m.reason != "" && find(constants, "Reason", m.reason) == nil {
			return fmt.Errorf("hack/docs/conditions.go has %s %s, which api/v1alpha1/conditions.go does not", m.condition, m.reason)
		}
	}
	return nil
}

func find(constants []constant, prefix, value string) *constant {
	i := slices.IndexFunc(constants, func(c constant) bool { return strings.HasPrefix(c.name, prefix) && c.value == value })
	if i < 0 {
		return nil
	}
	return &constants[i]
}

// conditions are the tables of the conditions and the reasons of a kind.
func conditions(constants []constant, kind string) string {
	var types, reasons strings.Builder
	types.WriteString("| condition | |\n|---|---|\n")
	reasons.WriteString("| condition | reason | means | do |\n|---|---|---|---|\n")
	last := ""
	for _, m := range meanings {
		if !strings.Contains(m.kinds, kindLetter(kind)) {
			continue
		}
		if m.condition != last && m.condition != "state" {
			fmt.Fprintf(&types, "| `%s` | %s |\n", m.condition, cell(find(constants, "Condition", m.condition).text))
		}
		last = m.condition
		name, text, do := "of that condition", "One of the conditions above is False.", m.do
		if m.reason != "" {
			name, text = "`"+m.reason+"`", find(constants, "Reason", m.reason).text
		}
		if do == "" {
			do = "–"
		}
		condition := "`" + m.condition + "` " + m.status
		if m.condition == "state" {
			condition = "`status.state` " + m.status
		}
		fmt.Fprintf(&reasons, "| %s | %s | %s | %s |\n", condition, name, cell(text), do)
	}
	return types.String() + "\n" + reasons.String()
}

// kindLetter is the letter of a kind in [meaning].
func kindLetter(kind string) string {
	switch kind {
	case "WebhookPolicy":
		return "P"
	case "AuthorizationItem":
		return "A"
	}
	return "W"
}

// remedies says what to do about each outcome.
var remedies = map[string]string{
	"Delivered":        "–",
	"Unsendable":       "Read the detail: a value that cannot be sent, or a body that does not render.",
	"EgressDenied":     "Use a public address; or have the platform allow this one with `--egress-allow-cidr`.",
	"DNSFailed":        "Correct the host name, or the DNS of the cluster.",
	"ConnectFailed":    "Is the port right, does the receiver run, does a NetworkPolicy or firewall stand between?",
	"TLSFailed":        "Renew or complete the certificate of the receiver; the detail says what is wrong with it.",
	"Timeout":          "Make the receiver answer before it works; or raise the policy's `timeout`.",
	"BodyFailed":       "Look at the receiver and what stands before it: the answer broke off.",
	"Redirected":       "Write the address that it redirects to into `spec.endpoint.url`; redirects are never followed.",
	"Throttled":        "Lower `rateLimit` or `concurrency` in the policy, or have the receiver allow more.",
	"ReceiverGone":     "Delete the Webhook; or correct its address and enable it.",
	"Rejected":         "401, 403: the credentials. 404: the path. Others: the receiver's log, or its answer with `attemptLog.responseBodies`.",
	"ReceiverError":    "Look at the receiver's log; deliveries are tried again meanwhile.",
	"MalformedAnswer":  "Have the receiver answer as [workflow commands](workflow.md) say.",
	"RouteGone":        "–",
	"Expired":          "Make the receiver faster, or raise `concurrency`, `rateLimit` or `retry.maxAge`.",
	"Held":             "Enable or complete the Webhook, then send its dead letters again.",
	"TokenUnavailable": "Look at the provider of tokens; see [authorization](authorization.md#when-there-is-no-proof).",
}

// outcomeTable is the table of how attempts and deliveries end.
func outcomeTable(constants []constant) (string, error) {
	var out strings.Builder
	out.WriteString("| outcome | means | do |\n|---|---|---|\n")
	for _, c := range constants {
		do, ok := remedies[c.value]
		if !ok {
			return "", fmt.Errorf("say in remedies of hack/docs/conditions.go what to do about the outcome %s", c.value)
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s |\n", c.value, cell(c.text), do)
	}
	if len(constants) != len(remedies) {
		return "", errors.New("remedies of hack/docs/conditions.go has an outcome that package outcome does not")
	}
	return out.String(), nil
}
