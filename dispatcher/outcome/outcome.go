// Package outcome says how attempts ended and keeps the facts that statuses
// are made of. Nothing in it carries a payload, a header or a URL, so all of it
// may be logged, counted and reported without redaction.
package outcome

import (
	"net/http"
	"strconv"
	"time"
)

// Reason classifies an outcome. Its values are API: they appear in metrics,
// reports and statuses, and are never renamed.
type Reason string

// The reasons, in the order in which an attempt can meet them.
const (
	Delivered     Reason = "Delivered"     // 2xx and a complete or sufficiently long answer
	Unsendable    Reason = "Unsendable"    // the request could not be made: a bad URL, a body that does not render
	EgressDenied  Reason = "EgressDenied"  // the address may not be dialled
	DNSFailed     Reason = "DNSFailed"     // the name did not resolve
	ConnectFailed Reason = "ConnectFailed" // no connection: refused, unreachable, reset
	TLSFailed     Reason = "TLSFailed"     // the handshake or the certificate failed
	Timeout       Reason = "Timeout"       // no complete answer in time
	BodyFailed    Reason = "BodyFailed"    // the answer's body broke off
	Redirected    Reason = "Redirected"    // 3xx: redirects are not followed
	Throttled     Reason = "Throttled"     // 429
	ReceiverGone  Reason = "ReceiverGone"  // 410: the receiver wants no more
	Rejected      Reason = "Rejected"      // any other 4xx
	ReceiverError Reason = "ReceiverError" // 5xx, and whatever HTTP does not define
	// The receiver of a validation action answered with 2xx, and not with a verdict.
	MalformedAnswer Reason = "MalformedAnswer"

	RouteGone Reason = "RouteGone" // the webhook was deleted while it was owed a delivery
	Expired   Reason = "Expired"   // there was no room for it in its lane until it was too old
	Held      Reason = "Held"      // the webhook could not be attempted for too long: it is disabled or incomplete

	// TokenUnavailable is that nothing was sent, for there was no token to prove who
	// sends. For the webhook it is a failure like any other: its breaker counts it, so
	// that deliveries do not use up their attempts while a provider is away.
	TokenUnavailable Reason = "TokenUnavailable"
)

// An Outcome is the result of one attempt.
type Outcome struct {
	Reason     Reason
	Status     int           // HTTP status, 0 when there was no response
	Detail     string        // a fixed phrase that narrows Reason, e.g. "loopback address"; never text from outside
	RetryAfter time.Duration // how long the receiver asked to be left alone, 0 when it did not
	Took       time.Duration // of the attempt
}

// FromStatus classifies an HTTP status.
func FromStatus(status int) Reason {
	switch {
	case status >= 200 && status < 300:
		return Delivered
	case status >= 300 && status < 400:
		return Redirected
	case status == http.StatusTooManyRequests:
		return Throttled
	case status == http.StatusGone:
		return ReceiverGone
	case status >= 400 && status < 500:
		return Rejected
	default:
		return ReceiverError
	}
}

// OK reports whether the receiver took the delivery.
func (o Outcome) OK() bool { return o.Reason == Delivered }

// Retryable reports whether a later attempt may succeed. Only a receiver that
// says it is gone, and a webhook that is gone, end a delivery early: a wrong
// URL or credential may be repaired while the delivery waits.
func (o Outcome) Retryable() bool { return o.Reason != ReceiverGone && o.Reason != RouteGone }

// String is how a person reads it, e.g. "404 Not Found" or
// "EgressDenied: loopback address".
func (o Outcome) String() string {
	if o.Status != 0 && o.Reason != BodyFailed && o.Reason != Timeout && o.Reason != MalformedAnswer {
		if text := http.StatusText(o.Status); text != "" {
			return strconv.Itoa(o.Status) + " " + text
		}
		return strconv.Itoa(o.Status)
	}
	if o.Detail != "" {
		return string(o.Reason) + ": " + o.Detail
	}
	return string(o.Reason)
}

// AttemptReasons are the reasons that an attempt can end with: the others end a
// delivery without one.
var AttemptReasons = []Reason{
	Delivered, Unsendable, EgressDenied, DNSFailed, ConnectFailed, TLSFailed, Timeout, BodyFailed,
	Redirected, Throttled, ReceiverGone, Rejected, ReceiverError, MalformedAnswer, TokenUnavailable,
}
