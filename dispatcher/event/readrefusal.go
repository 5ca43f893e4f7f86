package event

import (
	"fmt"
	"strconv"
	"strings"
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

// quote shows what a producer sent: bounded, and on one line.
func quote(s string) string {
	const enough = 64
	if len(s) > enough {
		return strconv.Quote(strings.ToValidUTF8(s[:enough], "")) + "..."
	}
	return strconv.Quote(s)
}
