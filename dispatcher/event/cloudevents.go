package event

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/cloudevents/sdk-go/v2/binding"
	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// readStructured reads one event in the CloudEvents JSON format, out of valid JSON.
func readStructured(template Event, object []byte) (Event, *Refusal) {
	found, refusal := readMembers(object)
	if refusal != nil {
		return Event{}, refusal
	}
	data, hasData := found.value("data")
	if hasData {
		if _, both := found.value("data_base64"); both {
			return Event{}, refuse(InvalidEvent, `there are both "data" and "data_base64": send one of them`)
		}
		// SDK v2.16.2 takes data of a +json type for text, so it gets the rest.
		object = found.without("data")
	}
	// SDK v2.16.2 ends at an empty name without a word, and cuts fractions off.
	for _, m := range found {
		if m.name != "data" && (m.name == "" || !isAttributeValue(m.value)) {
			return Event{}, refuse(InvalidEvent, "%s is not an attribute, which has a name and is a string, a boolean or a 32-bit integer: everything else goes into the data",
				quote(m.name))
		}
	}

	var read cloudevents.Event
	if err := safely(func() error { return read.UnmarshalJSON(object) }); err != nil {
		return Event{}, refuseUnread(err)
	}
	if hasData {
		if read.DataEncoded, refusal = readData(data, read.DataContentType()); refusal != nil {
			return Event{}, refusal
		}
	} else if isJSON(read.DataContentType()) && len(read.DataEncoded) > 0 { // out of "data_base64"
		if refusal := checkJSON(read.DataEncoded); refusal != nil {
			return Event{}, refusal
		}
	}
	return accept(template, &read)
}

// maxMembers is what an event in the JSON format can have: extensions, the eight
// attributes that CloudEvents defines, "data" and "data_base64".
const maxMembers = MaxExtensions + 10

// A member of an object.
type member struct {
	name    string
	spelled []byte // the name, with its quotes
	value   []byte // as it is spelled
}

// An envelope is the members of the object that carries an event, each once.
type envelope []member

// readMembers returns the members of an object, out of valid JSON; of a name
// that is there twice the last. It stops at the first one too many: a body full
// of small members would take forty times its size in memory, here and in the
// SDK.
func readMembers(object []byte) (envelope, *Refusal) {
	if !opens(object, '{') {
		return nil, refuse(InvalidEvent, "an event is a JSON object: send one")
	}
	found := make(envelope, 0, 8)
	n := 0 // not the length of found, which a name sent twice does not change
	for spelled, value := range Members(object) {
		if n++; n > maxMembers {
			return nil, refuse(InvalidEvent, "the event has more than %d members, %d extension attributes are allowed: put them into the data",
				maxMembers, MaxExtensions).over(MaxExtensions)
		}
		name, _ := unquote(spelled) // in valid JSON, a name is a string
		m := member{name, spelled, value}
		if i := slices.IndexFunc(found, func(m member) bool { return m.name == name }); i >= 0 {
			found[i] = m
			continue
		}
		found = append(found, m)
	}
	return found, nil
}

// value returns the value of a member, as it is spelled.
func (v envelope) value(name string) ([]byte, bool) {
	for _, m := range v {
		if m.name == name {
			return m.value, true
		}
	}
	return nil, false
}

// without returns the object less a member.
func (v envelope) without(name string) []byte {
	object := []byte{'{'}
	for _, m := range v {
		if m.name == name {
			continue
		}
		if len(object) > 1 {
			object = append(object, ',')
		}
		object = append(append(append(object, m.spelled...), ':'), m.value...)
	}
	return append(object, '}')
}

// isAttributeValue reports whether a JSON value has a type of CloudEvents.
func isAttributeValue(value []byte) bool {
	switch value[0] {
	case '"', 't', 'f', 'n': // a string, true, false or null, which is the same as absent
		return true
	case '{', '[':
		return false
	}
	_, err := strconv.ParseInt(string(value), 10, 32)
	return err == nil
}

// readData returns the data that a member "data" holds: JSON as it is spelled,
// text without its quotes (CloudEvents JSON format, 3.1).
func readData(member []byte, contentType string) ([]byte, *Refusal) {
	if isJSON(contentType) {
		return member, nil
	}
	if string(member) == "null" {
		return []byte{}, nil
	}
	text, ok := unquote(member)
	if !ok {
		return nil, refuse(InvalidEvent, `"data" is not a string, which it is when "datacontenttype" is %s: correct one of them`, quote(contentType))
	}
	return []byte(text), nil
}

// readBatch reads batched content mode: a JSON array of events, out of valid JSON.
func readBatch(template Event, body []byte) ([]Event, *Refusal) {
	if !opens(body, '[') {
		return nil, refuse(InvalidEvent, "the body is not a JSON array: a batch is one, a single event goes as %s", mediaStructured)
	}
	// To list all elements would take many times the memory of a body that
	// holds nothing but small ones.
	var objects [][]byte
	for object := range Elements(body) {
		if len(objects) == MaxBatch {
			return nil, refuse(BatchTooLarge, "the batch holds more than %d events: split it", MaxBatch).over(MaxBatch)
		}
		objects = append(objects, object)
	}
	if len(objects) == 0 {
		return nil, refuse(EmptyBatch, "the batch holds no event: send at least one")
	}

	events := make([]Event, len(objects))
	for i, object := range objects {
		var refusal *Refusal
		if events[i], refusal = readStructured(template, object); refusal != nil {
			refusal.Index = i
			return nil, refusal
		}
	}
	return events, nil
}

const attributePrefix = "Ce-" // in the canonical spelling of net/http

// isBinary reports whether the header carries CloudEvents attributes.
func isBinary(header http.Header) bool {
	for name := range header {
		if strings.HasPrefix(name, attributePrefix) {
			return true
		}
	}
	return false
}

// readBinary reads binary content mode: attributes in "ce-" headers, the data
// in the body.
func readBinary(template Event, header http.Header, body []byte) (Event, *Refusal) {
	attributes := http.Header{}
	if contentType := header.Get("Content-Type"); contentType != "" {
		attributes.Set("Content-Type", contentType)
	} else if len(body) > 0 {
		return Event{}, refuse(UnsupportedContentType, "there is no Content-Type, which in binary mode says what the body is: send one, like %s", mediaPlain)
	}
	for name, values := range header {
		if !strings.HasPrefix(name, attributePrefix) {
			continue
		}
		if len(values) != 1 { // the SDK would take the first
			return Event{}, refuse(InvalidEvent, "header %s is there %d times: send it once", quote(name), len(values))
		}
		attributes[name] = []string{decodeHeader(values[0])}
	}

	var read *cloudevents.Event
	err := safely(func() (err error) {
		read, err = binding.ToEvent(context.Background(), cehttp.NewMessage(attributes, nil))
		return err
	})
	switch {
	case errors.Is(err, binding.ErrUnknownEncoding):
		return Event{}, refuseAttribute("specversion")
	case err != nil:
		return Event{}, refuseUnread(err)
	}
	read.DataEncoded = body
	e, refusal := accept(template, read)
	if refusal == nil && e.IsJSON() && len(body) > 0 {
		refusal = checkJSON(body)
	}
	return e, refusal
}

// decodeHeader undoes the encoding of an attribute in a header, which SDK
// v2.16.2 leaves: quotes around the value, then percent-encoding (CloudEvents
// HTTP binding, 3.1.3.2). What is not percent-encoded stays as it is.
func decodeHeader(value string) string {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		value = unescaped.Replace(value[1 : len(value)-1])
	}
	if decoded, err := url.PathUnescape(value); err == nil {
		return decoded
	}
	return value
}

var unescaped = strings.NewReplacer(`\"`, `"`, `\\`, `\`)

// safely calls read and turns its panic into an error. SDK v2.16.2 panics on
// {"specversion":"1.0","data_base64":1}, on {"datacontentencoding":"",
// "specversion":"0.3"} and on a header "ce-:".
func safely(read func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("an attribute or the data is malformed")
		}
	}()
	return read()
}
