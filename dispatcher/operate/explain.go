package operate

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/outcome"
)

// explanations say what each reason means, and what to do about it.
var explanations = map[outcome.Reason]struct{ happened, remedy string }{
	outcome.Delivered:     {"The receiver took the delivery", "Nothing is left to do"},
	outcome.Unsendable:    {"No request could be made", "Correct the URL, the headers, the payload or the credentials of the webhook"},
	outcome.EgressDenied:  {"The receiver's address may not be dialled", "Use a public address, or ask those who run the dispatcher to grant the range with --egress-allow-cidr"},
	outcome.DNSFailed:     {"The receiver's name did not resolve", "Check the host of the URL, and that its DNS record can be seen from the cluster"},
	outcome.ConnectFailed: {"There was no connection to the receiver", "Check host and port of the URL, that the receiver is running, and that no firewall or NetworkPolicy is in between"},
	outcome.TLSFailed:     {"The TLS handshake failed", "Check that the receiver's certificate is valid, complete and made for the host of the URL"},
	outcome.Timeout:       {"The receiver did not answer completely in time", "Let it answer before it does its work, or give it a longer timeout by policy"},
	outcome.BodyFailed:    {"The receiver's answer broke off", "Look at the receiver's log and at proxies in between: the answer must be complete"},
	outcome.Redirected:    {"The receiver redirected", "Redirects are not followed: set the URL to where the receiver really is"},
	outcome.Throttled:     {"The receiver asked for fewer requests", "Lower rateLimit or concurrency by policy, or have the receiver allow more"},
	outcome.ReceiverGone:  {"The receiver said that it is gone for good", "Set the URL to where it is now, or delete the webhook"},
	outcome.Rejected:      {"The receiver rejected the delivery", "Look at the receiver's log: it did not like the request"},
	outcome.ReceiverError: {"The receiver failed", "Look at the receiver's log"},
	outcome.RouteGone:     {"The webhook was deleted meanwhile", "Create it again"},
	outcome.Expired:       {"There was no room for the delivery until it was too old", "Speed the receiver up, or allow more concurrency by policy"},
	outcome.Held:          {"The webhook was not to be attempted for too long", "Enable or complete it"},

	// Of a validation action.
	outcome.MalformedAnswer:  {"The receiver's answer is no verdict", `Let it answer {"IsValid": true} or {"IsValid": false, "Message": "why"} as application/json, or the same as XML`},
	outcome.TokenUnavailable: {"There was no token to send, so nothing was sent", "Check the AuthorizationItem of the webhook and the provider of its tokens"},
}

// rejections narrow what to do about a status.
var rejections = map[int]string{
	http.StatusUnauthorized:          "Check the AuthorizationItem of the webhook and the Secret that it names",
	http.StatusForbidden:             "Check the AuthorizationItem of the webhook, and that the receiver allows what it proves",
	http.StatusNotFound:              "Check the path of the URL",
	http.StatusMethodNotAllowed:      "Check the path of the URL: the receiver takes no POST there",
	http.StatusRequestEntityTooLarge: "Have the receiver take larger bodies, or send events with less data",
	http.StatusUnsupportedMediaType:  "Choose another payload format for the webhook",
}

func passed(r *deliver.Record) bool { return r.Reason == outcome.Delivered }

// explain says what happened in an attempt, and what to do.
func explain(r *deliver.Record) string {
	e, known := explanations[r.Reason]
	if !known {
		e.happened, e.remedy = "The attempt ended with "+string(r.Reason), "Look at the attempt"
	}
	happened, remedy := e.happened, e.remedy
	if r.Detail != "" {
		happened += ": " + r.Detail
	}
	if r.Response != nil {
		happened += fmt.Sprintf(" (status %s)", statusText(r.Response.Status))
		if better, ok := rejections[r.Response.Status]; ok && r.Reason == outcome.Rejected {
			remedy = better
		}
	}
	if r.Timings.Total > 0 {
		happened += fmt.Sprintf(" after %s", max(r.Timings.Total.Round(time.Millisecond), time.Millisecond))
	}
	return happened + ". " + remedy + "."
}

func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return strconv.Itoa(status) + " " + text
	}
	return strconv.Itoa(status)
}
