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

// errCorrupt says that bytes are not an encoded event, errCut what is wrong.
var (
	errCorrupt = errors.New("not an encoded event")
	errCut     = fmt.Errorf("%w: its lengths do not fit", errCorrupt)
)

// lengthSize is the size of the length that precedes the attributes, in bytes.
const lengthSize = 4

// Append appends the stored form of e to b: its version, its attributes with
// the length of all before them and the length of each before it, its data
// with its length before it. It is an internal format: only [Decode] reads it.
func (e *Event) Append(b []byte) []byte {
	b = append(b, codecVersion)
	length := len(b)
	b = append(b, make([]byte, lengthSize)...)
	for _, s := range [...]string{e.Namespace, e.ID, e.Source, e.Type, e.Subject, e.ContentType, e.Schema} {
		b = appendString(b, s)
	}
	b = appendTime(appendTime(b, e.Time), e.Accepted)
	b = binary.AppendUvarint(b, uint64(len(e.Extensions)))
	if len(e.Extensions) > 0 {
		for _, name := range slices.Sorted(maps.Keys(e.Extensions)) {
			b = appendString(appendString(b, name), e.Extensions[name])
		}
	}
	binary.LittleEndian.PutUint32(b[length:], uint32(len(b)-length-lengthSize))
	return appendString(b, e.Data)
}

// Size is about how many bytes [Event.Append] appends.
func (e *Event) Size() int {
	n := 64 + len(e.Namespace) + len(e.ID) + len(e.Source) + len(e.Type) + len(e.Subject) + len(e.ContentType) + len(e.Schema) + len(e.Data)
	for name, value := range e.Extensions {
		n += 2 + len(name) + len(value)
	}
	return n
}

// Decode reads one event from the front of b and returns what follows it.
// The Data of the event is a part of b; its attributes share one string.
func Decode(b []byte) (*Event, []byte, error) {
	if len(b) < 1+lengthSize || b[0] != codecVersion {
		return nil, nil, errCorrupt
	}
	length := binary.LittleEndian.Uint32(b[1:])
	b = b[1+lengthSize:]
	if uint64(length) > uint64(len(b)) {
		return nil, nil, errCut
	}
	r := reader{b: b[:length], text: string(b[:length])}
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
	if r.failed || len(r.b) > 0 {
		return nil, nil, errCut
	}
	size, n := binary.Uvarint(b[length:])
	rest := b[length:]
	if n <= 0 || size > uint64(len(rest)-n) {
		return nil, nil, errCut
	}
	end := n + int(size)
	if size > 0 {
		e.Data = rest[n:end:end]
	}
	return e, rest[end:], nil
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
// has failed and yields zeros. Text is what is left as a string: the strings
// are parts of it.
type reader struct {
	b      []byte
	text   string
	failed bool
}

// skip takes n bytes off; none, or too many, is a failure.
func (r *reader) skip(n int) bool {
	if n <= 0 || n > len(r.b) {
		r.failed, r.b, r.text = true, nil, ""
		return false
	}
	r.b, r.text = r.b[n:], r.text[n:]
	return true
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.b)
	if !r.skip(size) {
		return 0
	}
	return n
}

func (r *reader) varint() int64 {
	n, size := binary.Varint(r.b)
	if !r.skip(size) {
		return 0
	}
	return n
}

func (r *reader) time() time.Time {
	seconds, nanos := r.varint(), r.uvarint()
	if r.failed || nanos >= uint64(time.Second) {
		r.failed = true
		return time.Time{}
	}
	return time.Unix(seconds, int64(nanos)).UTC()
}

func (r *reader) string() string {
	n := r.uvarint()
	if n == 0 {
		return ""
	}
	text := r.text
	if n > uint64(len(text)) || !r.skip(int(n)) {
		r.failed = true
		return ""
	}
	return text[:n]
}
