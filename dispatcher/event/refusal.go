package event

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
)

// Reason classifies a [Refusal].
type Reason string

// The reasons why events are refused.
const (
	InvalidNamespace       Reason = "InvalidNamespace"
	UnsupportedContentType Reason = "UnsupportedContentType"
	InvalidJSON            Reason = "InvalidJSON"      // of an envelope, or of data that is declared JSON
	InvalidEvent           Reason = "InvalidEvent"     // an attribute is missing, malformed or unknown
	AttributeTooLong       Reason = "AttributeTooLong" // see MaxAttribute and MaxType
	EmptyBatch             Reason = "EmptyBatch"
	BatchTooLarge          Reason = "BatchTooLarge" // see MaxBatch
)

// A Refusal is why a request holds no acceptable event. It is written for the
// producer and may quote a little of what the producer sent.
type Refusal struct {
	Reason Reason
	Detail string // what is wrong and what to do
	Limit  int    // the limit that was passed, 0 when none was
	Index  int    // of the refused event in its batch, -1 outside a batch
}

// Error is the detail, preceded by the place in the batch.
func (r *Refusal) Error() string {
	if r.Index < 0 {
		return r.Detail
	}
	return "event " + strconv.Itoa(r.Index) + " of the batch: " + r.Detail
}

func refuse(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Detail: fmt.Sprintf(format, args...), Index: -1}
}

// over adds the limit that was passed.
func (r *Refusal) over(limit int) *Refusal {
	r.Limit = limit
	return r
}

// remedies say what to do about an attribute that CloudEvents defines.
var remedies = map[string]string{
	"specversion":     `send CloudEvents 1.0, with "specversion": "1.0" or the header "ce-specversion: 1.0"`,
	"id":              "send one that is unique for the source, and the same again when the event is sent again",
	"source":          `name the producer by a URI reference, like "/shop/orders" or "https://shop.example.com"`,
	"type":            `say what happened, like "item:added"`,
	"subject":         "send one that is not blank, or leave it out",
	"time":            `send an RFC 3339 timestamp, like "2026-01-31T12:00:00Z", or leave it out`,
	"datacontenttype": `send a media type, like "application/json", or leave it out`,
	"dataschema":      "send an absolute URI, or leave it out",
}

// refuseAttribute refuses an event for an attribute that CloudEvents defines.
func refuseAttribute(name string) *Refusal {
	return refuse(InvalidEvent, "%q is missing or not valid: %s", name, remedies[name])
}

// refuseUnread refuses an event for what the CloudEvents SDK has against it.
func refuseUnread(err error) *Refusal {
	if invalid, ok := errors.AsType[cloudevents.ValidationError](err); ok {
		if name := slices.Min(slices.Collect(maps.Keys(invalid))); remedies[name] != "" {
			return refuseAttribute(name)
		}
	}
	return refuse(InvalidEvent, "the event is not a valid CloudEvent 1.0: %s (attributes have names of a-z and 0-9; everything else goes into the data)",
		brief(err.Error()))
}

// quote shows what a producer sent: bounded, and on one line.
func quote(s string) string {
	const enough = 64
	if len(s) > enough {
		return strconv.Quote(strings.ToValidUTF8(s[:enough], "")) + "..."
	}
	return strconv.Quote(s)
}

// brief bounds an error text that may repeat what a producer sent.
func brief(s string) string {
	const enough = 160
	if len(s) > enough {
		return strings.ToValidUTF8(s[:enough], "") + "..."
	}
	return s
}
