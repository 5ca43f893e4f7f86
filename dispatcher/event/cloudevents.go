package event

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/cloudevents/sdk-go/v2/binding"
	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// readStructured reads one event in the CloudEvents JSON format, out of valid JSON.
func readStructured(template Event, object []byte) (Event, *Refusal) {
	members, refusal := readMembers(object)
	if refusal != nil {
		return Event{}, refusal
	}
	data, hasData := members["data"]
	if hasData {
		if _, both := members["data_base64"]; both {
			return Event{}, refuse(InvalidEvent, `there are both "data" and "data_base64": send one of them`)
		}
		// SDK v2.16.2 takes data of a +json type for text, so it gets the rest.
		delete(members, "data")
		object, _ = json.Marshal(members) // what came out of JSON goes back into it
	}
	// SDK v2.16.2 ends at an empty name without a word, and cuts fractions off.
	for name, value := range members {
		if name == "" || !isAttributeValue(value) {
			return Event{}, refuse(InvalidEvent, "%s is not an attribute, which has a name and is a string, a boolean or a 32-bit integer: everything else goes into the data",
				quote(name))
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

// readMembers returns the members of an object, out of valid JSON. It stops at
// the first one too many: a body full of small members would take forty times
// its size in memory, here and in the SDK.
func readMembers(object []byte) (map[string]json.RawMessage, *Refusal) {
	decoder := json.NewDecoder(bytes.NewReader(object))
	if start, _ := decoder.Token(); start != json.Delim('{') {
		return nil, refuse(InvalidEvent, "an event is a JSON object: send one")
	}
	members := map[string]json.RawMessage{}
	for n := 0; decoder.More(); n++ { // not the size of the map, which a name sent twice does not change
		if n == maxMembers {
			return nil, refuse(InvalidEvent, "the event has more than %d members, %d extension attributes are allowed: put them into the data",
				maxMembers, MaxExtensions).over(MaxExtensions)
		}
		token, err := decoder.Token()
		name, _ := token.(string)
		var value json.RawMessage
		if err == nil {
			err = decoder.Decode(&value)
		}
		if err != nil {
			return nil, refuse(InvalidJSON, "the JSON is not valid: %v", err)
		}
		members[name] = value
	}
	return members, nil
}

// isAttributeValue reports whether a JSON value has a type of CloudEvents.
func isAttributeValue(value json.RawMessage) bool {
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
func readData(member json.RawMessage, contentType string) ([]byte, *Refusal) {
	if isJSON(contentType) {
		return member, nil
	}
	var text string
	if err := json.Unmarshal(member, &text); err != nil {
		return nil, refuse(InvalidEvent, `"data" is not a string, which it is when "datacontenttype" is %s: correct one of them`, quote(contentType))
	}
	return []byte(text), nil
}

// readBatch reads batched content mode: a JSON array of events, out of valid JSON.
func readBatch(template Event, body []byte) ([]Event, *Refusal) {
	// An array of all elements would take many times the memory of a body that
	// holds nothing but small ones.
	decoder := json.NewDecoder(bytes.NewReader(body))
	if start, _ := decoder.Token(); start != json.Delim('[') {
		return nil, refuse(InvalidEvent, "the body is not a JSON array: a batch is one, a single event goes as %s", mediaStructured)
	}
	var objects []json.RawMessage
	for decoder.More() {
		if len(objects) == MaxBatch {
			return nil, refuse(BatchTooLarge, "the batch holds more than %d events: split it", MaxBatch).over(MaxBatch)
		}
		var object json.RawMessage
		if err := decoder.Decode(&object); err != nil {
			return nil, refuse(InvalidJSON, "the JSON is not valid: %v", err)
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
