package event

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// codecVersion leads every encoded event, so that a later shape can be told
// from this one while both lie in a store.
const codecVersion = 1

// errCorrupt says that bytes are not an encoded event.
var errCorrupt = errors.New("not an encoded event")

// Append appends the stored form of e to b: its version, then each field with
// its length before it. It is an internal format: only [Decode] reads it.
func (e *Event) Append(b []byte) []byte {
	b = append(b, codecVersion)
	for _, s := range [...]string{e.Namespace, e.ID, e.Source, e.Type, e.Subject, e.ContentType, e.Schema} {
		b = appendString(b, s)
	}
	b = appendTime(appendTime(b, e.Time), e.Accepted)
	b = binary.AppendUvarint(b, uint64(len(e.Extensions)))
	for _, name := range slices.Sorted(maps.Keys(e.Extensions)) {
		b = appendString(appendString(b, name), e.Extensions[name])
	}
	return appendString(b, e.Data)
}

// Decode reads one event from the front of b and returns what follows it.
// The Data of the event is a part of b.
func Decode(b []byte) (*Event, []byte, error) {
	if len(b) == 0 || b[0] != codecVersion {
		return nil, nil, errCorrupt
	}
	r := reader{b: b[1:]}
	e := &Event{
		Namespace: r.string(), ID: r.string(), Source: r.string(), Type: r.string(),
		Subject: r.string(), ContentType: r.string(), Schema: r.string(),
		Time: r.time(), Accepted: r.time(),
	}
	for n := r.uvarint(); n > 0 && !r.failed; n-- {
		if e.Extensions == nil {
			e.Extensions = map[string]string{}
		}
		name := r.string()
		e.Extensions[name] = r.string()
	}
	if data := r.bytes(); len(data) > 0 {
		e.Data = data
	}
	if r.failed {
		return nil, nil, fmt.Errorf("%w: it is cut short", errCorrupt)
	}
	return e, r.b, nil
}

func appendString[S ~string | ~[]byte](b []byte, s S) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendTime takes seconds and nanoseconds apart: together they would not fit
// years far away, which producers send to mean "never".
func appendTime(b []byte, t time.Time) []byte {
	return binary.AppendUvarint(binary.AppendVarint(b, t.Unix()), uint64(t.Nanosecond()))
}

// reader takes fields off the front of b; after the first that is not there it
// has failed and yields zeros.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.failed, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) varint() int64 {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.failed, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) time() time.Time {
	seconds, nanos := r.varint(), r.uvarint()
	if r.failed || nanos >= uint64(time.Second) {
		r.failed, r.b = true, nil
		return time.Time{}
	}
	return time.Unix(seconds, int64(nanos)).UTC()
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if r.failed || n > uint64(len(r.b)) {
		r.failed, r.b = true, nil
		return nil
	}
	field := r.b[:n:n]
	r.b = r.b[n:]
	return field
}

func (r *reader) string() string { return string(r.bytes()) }
