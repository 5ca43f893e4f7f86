package deliver

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
)

// A Record is one attempt as the attempt log keeps it. It holds nothing secret:
// of the request only what Postrider itself put there, of the URL only the host.
type Record struct {
	// Delivery identifies the delivery that the attempt was for, and finds its
	// event in the store: see [DeliveryID].
	Delivery  string `json:"delivery"`
	Route     string `json:"route"` // "namespace/name"
	EventID   string `json:"eventID"`
	EventType string `json:"eventType"`
	WebhookID string `json:"webhookID"` // what the receiver sees as "webhook-id"

	Attempt int       `json:"attempt"` // 1 for the first
	Test    bool      `json:"test,omitempty"`
	Started time.Time `json:"started"`

	Reason outcome.Reason `json:"reason"`
	Detail string         `json:"detail,omitempty"` // narrows Reason, a fixed phrase
	// Next is when the next attempt is due, zero when there is none.
	Next time.Time `json:"next,omitzero"`

	Request  RequestRecord   `json:"request"`
	Response *ResponseRecord `json:"response,omitempty"` // nil without an answer
	Timings  egress.Timings  `json:"timings"`

	// Skipped is how many attempts of the route, right before this one, the
	// log did not keep because there were too many in a short time.
	Skipped int `json:"skipped,omitempty"`
}

// RequestRecord is what was sent.
type RequestRecord struct {
	Host   string      `json:"host"`   // of the URL, with its port if it has one
	Header http.Header `json:"header"` // values that come from users are redacted
	Bytes  int         `json:"bytes"`  // of the body
}

// ResponseRecord is what was answered.
type ResponseRecord struct {
	Status int         `json:"status"`
	Header http.Header `json:"header"`         // bounded; cookies are redacted
	Body   string      `json:"body,omitempty"` // its first KiB, if the policy keeps it
	Bytes  int         `json:"bytes"`          // of the body as read
}

// A Log keeps records. It never blocks: what it cannot take it drops.
type Log interface {
	Keep(r *Record)
}

// DeliveryID names a delivery by where its event is in the store and by what
// it is: "17-msg_..." in the store's message 17.
func DeliveryID(seq uint64, k event.Key) string {
	return strconv.FormatUint(seq, 10) + "-" + k.String()
}

// ParseDeliveryID takes a [DeliveryID] apart.
func ParseDeliveryID(id string) (seq uint64, k event.Key, ok bool) {
	number, key, _ := strings.Cut(id, "-")
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return 0, event.Key{}, false
	}
	k, ok = event.ParseKey(key)
	return seq, k, ok
}
