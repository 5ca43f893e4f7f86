// Package route is the contract between the two planes: a [Table] that the
// operator compiles and publishes, and the immutable [Router] that the
// dispatcher builds from it. Nothing here knows about Kubernetes.
package route

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// Schema is the version of the Table's shape. A dispatcher refuses a table of
// another schema and keeps the one that it has.
const Schema = 1

// A Table is every route of the installation. It is data: it can be diffed,
// hashed and stored. It holds credentials, see [Secret].
type Table struct {
	Routes []Route
}

// A Route is one Webhook, with everything that it refers to resolved.
type Route struct {
	// ID is "namespace/name" of the Webhook. A deferred delivery names its
	// route by ID, so that it is attempted with the route as it is then.
	ID         string `json:"id"`
	Generation int64  `json:"generation"` // metadata.generation of the Webhook that was compiled

	// Hold, when not empty, is why nothing is attempted for now: deliveries
	// that the route is owed wait. It is a condition reason or a state reason,
	// e.g. "RefNotFound". A held route still matches. When it is incomplete it
	// has no URL; else it can be tested.
	Hold string `json:"hold,omitempty"`

	// Epoch changes when the Webhook is enabled anew: failures in a row, and a
	// receiver that says it is gone, count from there.
	Epoch string `json:"epoch,omitempty"`

	Events    []string `json:"events,omitempty"`    // exact types or globs with "*"; none = never matches
	Condition string   `json:"condition,omitempty"` // CEL over "event"; empty = every event qualifies

	// OrderingKey is CEL over "event" that yields a string, a number or a bool:
	// deliveries for which it yields the same go one after the other. Empty: no order.
	OrderingKey string `json:"orderingKey,omitempty"`

	// Validation makes r one that is asked about workflow commands, by the
	// synchronous road alone: it selects no events. nil: it is told about events.
	Validation *Validation `json:"validation,omitempty"`

	URL     string   `json:"url,omitempty"` // absolute, http or https, without userinfo
	Headers []Header `json:"headers,omitempty"`

	Authorization *Authorization `json:"authorization,omitempty"` // nil = none
	Signing       *Signing       `json:"signing,omitempty"`       // nil = unsigned
	Format        Format         `json:"format,omitempty"`        // of the body; empty = FormatStandard
	Sitecore      *Sitecore      `json:"sitecore,omitempty"`      // set if Format is FormatSitecore

	Timeout     time.Duration `json:"timeout,omitempty"` // of one attempt, the response body included
	Retry       Retry         `json:"retry,omitzero"`
	Concurrency int           `json:"concurrency,omitempty"` // attempts under way at once, of each dispatcher
	RateLimit   Rate          `json:"rateLimit,omitzero"`    // attempts begun, of each dispatcher
	Breaker     Breaker       `json:"breaker,omitzero"`

	// KeepResponses lets the attempt log keep the beginning of what the
	// receiver answers.
	KeepResponses bool `json:"keepResponses,omitempty"`
}

// A Rate is so many requests in so much time. The zero Rate is no limit.
type Rate struct {
	Requests int           `json:"requests,omitempty"`
	Per      time.Duration `json:"per,omitempty"`
}

// A Breaker keeps attempts from a receiver that fails. The zero Breaker never opens.
type Breaker struct {
	Failures int           `json:"failures,omitempty"` // in a row that open it
	OpenFor  time.Duration `json:"openFor,omitempty"`  // until one attempt probes whether it can close
}

// Complete reports whether r has all that an attempt needs: a held route may
// lack it.
func (r *Route) Complete() bool { return r.URL != "" }

// A Header is sent with every attempt.
type Header struct {
	Name  string `json:"name"`
	Value Secret `json:"value"` // any header may carry a credential, so none is printed
}

// Format names the body that a receiver gets.
type Format string

// The formats.
const (
	FormatStandard    Format = "Standard"    // {"type","timestamp","data"} as Standard Webhooks recommends
	FormatCloudEvents Format = "CloudEvents" // CloudEvents 1.0 JSON, structured mode
	FormatSitecore    Format = "Sitecore"    // as the webhooks of Sitecore XM and XM Cloud send
)

// Sitecore is what a body of [FormatSitecore] says of its webhook.
type Sitecore struct {
	ItemID   string `json:"itemID"` // a GUID in lower case, without braces
	ItemName string `json:"itemName"`
	XML      bool   `json:"xml,omitempty"`     // else JSON
	Action   bool   `json:"action,omitempty"`  // a workflow action: the body is that of a workflow action
	AtState  bool   `json:"atState,omitempty"` // of a state, not of a command: there is no next one
}

// Validation is how a receiver is asked about workflow commands. Its timeout is
// that of the route.
type Validation struct {
	Ignore bool `json:"ignore,omitempty"` // a receiver that gives no verdict counts as if it had consented
}

// Signing is how receivers verify the sender. Only Standard Webhooks HMAC for now.
type Signing struct {
	// Keys are Standard Webhooks keys, "whsec_" and base64 of 24 to 64 bytes.
	// Each signs; the first is the newest.
	Keys []Secret `json:"keys"`
}

// Retry is when a failed delivery is attempted again, and when it is given up.
type Retry struct {
	// Backoff[n] is the pause after attempt n+1; its last entry ends the
	// attempts: there are len(Backoff)+1 of them.
	Backoff []time.Duration `json:"backoff,omitempty"`
	Jitter  float64         `json:"jitter,omitempty"` // 0 to 1: each pause varies by up to this share of itself, either way
	MaxAge  time.Duration   `json:"maxAge,omitempty"` // since the event was accepted; no attempt is planned beyond it
}

const redacted = "[redacted]"

// A Secret is credential material. fmt and slog redact it, where they can: fmt
// calls no method on an unexported field, so keep it in exported ones. Its JSON
// is the value itself, for that is how a table reaches the dispatcher: marshal
// it only into a table.
type Secret string

// String redacts.
func (Secret) String() string { return redacted }

// Format redacts, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) } // fmt offers no way to report a failed write

// LogValue redacts.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Reveal returns the material, without the line end that an editor or "echo"
// left behind it: no credential that HTTP can carry ends with one. Call it only
// where it goes onto the wire, or is checked.
func (s Secret) Reveal() string { return strings.TrimRight(string(s), "\r\n") }
