// Package event is the unit that Postrider accepts, stores and delivers: its
// identity, its type, its bytes and the limits they keep.
package event

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"time"
)

// Limits of what is accepted. They are part of the HTTP contract: an event
// beyond one of them is refused with a problem document that names it.
const (
	// MaxBody bounds one request body, in bytes: large enough for any
	// notification, small enough that a pack of events stays one message.
	MaxBody = 1 << 20
	// MaxBatch bounds the events of one batch: one batch is one append.
	MaxBatch = 1000
	// MaxHeader bounds the header of a request, in bytes.
	MaxHeader = 16 << 10
	// MaxAttribute bounds each context attribute, in bytes.
	MaxAttribute = 1024
	// MaxType bounds the type, in bytes; it is an index key and a metric-free label in reports.
	MaxType = 255
	// MaxExtensions bounds the extension attributes of one event: they travel
	// with every delivery, and what is large belongs into the data.
	MaxExtensions = 32
)

// An Event is one CloudEvents 1.0 event of one Kubernetes namespace. Whoever
// holds an Event shares it: neither it nor its Data is modified after it has
// been accepted.
type Event struct {
	Namespace string // the tenant: only Webhooks of this namespace see the event

	ID      string // CloudEvents id: unique within Source
	Source  string // CloudEvents source, a URI reference
	Type    string // CloudEvents type, e.g. "item:added"
	Subject string // CloudEvents subject, may be empty

	Time        time.Time // CloudEvents time: when it happened, may be zero
	ContentType string    // CloudEvents datacontenttype, e.g. "application/json"
	Schema      string    // CloudEvents dataschema, may be empty

	// Extensions are the CloudEvents extension attributes in canonical string
	// form, nil when there are none.
	Extensions map[string]string

	Data []byte // the body, as it came; JSON when ContentType says so, may be empty

	Accepted time.Time // when it was accepted; the age of a delivery counts from here
}

// A Key identifies an event among all that were ever accepted: two events with
// the same namespace, source and id are the same event (CloudEvents 1.0, "id").
type Key [16]byte

// Key derives the identity of e.
func (e *Event) Key() Key {
	var short [256]byte // enough for most, without an allocation
	b := short[:0]
	for _, s := range [...]string{e.Namespace, e.Source, e.ID} {
		b = append(append(b, s...), 0)
	}
	sum := sha256.Sum256(b)
	return Key(sum[:len(Key{})])
}

var keyText = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// String is the "webhook-id" that receivers see: the same for every attempt,
// every webhook and every re-send of the event, so that a receiver can drop
// what it has already handled (Standard Webhooks, "webhook-id").
func (k Key) String() string {
	var text [4 + 26]byte // of 16 bytes, five bits a character
	return string(keyText.AppendEncode(append(text[:0], "msg_"...), k[:]))
}

// ParseKey reads what [Key.String] wrote.
func ParseKey(s string) (Key, bool) {
	text, ok := strings.CutPrefix(s, "msg_")
	b, err := keyText.DecodeString(text)
	if !ok || err != nil || len(b) != len(Key{}) {
		return Key{}, false
	}
	return Key(b), true
}

// IsJSON reports whether Data is declared to be JSON: by RFC 6839's +json
// suffix, or by having no content type at all (CloudEvents 1.0, "datacontenttype").
func (e *Event) IsJSON() bool { return isJSON(e.ContentType) }
