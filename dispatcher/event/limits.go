package event

import (
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

// maxExtensionName is generous, in bytes: CloudEvents recommends 20.
const maxExtensionName = 64

// accept makes an Event of what the SDK has read, if that is a valid CloudEvent
// 1.0 and within the limits. Data that is JSON has been checked already. The
// template has what does not come from the producer.
func accept(template Event, read *cloudevents.Event) (Event, *Refusal) {
	if read.SpecVersion() != cloudevents.CloudEventsVersionV1 {
		return Event{}, refuseAttribute("specversion")
	}
	if err := read.Validate(); err != nil {
		return Event{}, refuseUnread(err)
	}
	e := template
	e.ID, e.Source, e.Type, e.Subject = read.ID(), read.Source(), read.Type(), read.Subject()
	e.Time, e.ContentType, e.Schema, e.Data = read.Time(), read.DataContentType(), read.DataSchema(), read.Data()

	if refusal := e.checkAttributes(); refusal != nil {
		return Event{}, refusal
	}
	var refusal *Refusal
	if e.Extensions, refusal = acceptExtensions(read.Extensions()); refusal != nil {
		return Event{}, refusal
	}
	return e, nil
}

// checkAttributes refuses an attribute that CloudEvents defines and that is
// beyond the limits.
func (e *Event) checkAttributes() *Refusal {
	for _, a := range [...]struct {
		name, value string
		limit       int
	}{
		{"id", e.ID, MaxAttribute},
		{"source", e.Source, MaxAttribute},
		{"type", e.Type, MaxType},
		{"subject", e.Subject, MaxAttribute},
		{"datacontenttype", e.ContentType, MaxAttribute},
		{"dataschema", e.Schema, MaxAttribute},
	} {
		if refusal := checkAttribute(a.name, a.value, a.limit); refusal != nil {
			return refusal
		}
	}
	return nil
}

// acceptExtensions returns extension attributes in canonical string form.
func acceptExtensions(read map[string]any) (map[string]string, *Refusal) {
	if len(read) == 0 {
		return nil, nil
	}
	if len(read) > MaxExtensions {
		return nil, refuse(InvalidEvent, "there are %d extension attributes, %d are allowed: put them into the data", len(read), MaxExtensions).over(MaxExtensions)
	}
	extensions := make(map[string]string, len(read))
	for name, v := range read {
		if len(name) > maxExtensionName || name == "data" { // which means something else in the JSON format
			return nil, refuse(InvalidEvent, "%s is not the name of an extension attribute: choose another of at most %d bytes, or put it into the data",
				quote(name), maxExtensionName)
		}
		value, err := types.Format(v)
		if err != nil {
			return nil, refuseUnread(err)
		}
		if refusal := checkAttribute(name, value, MaxAttribute); refusal != nil {
			return nil, refusal
		}
		extensions[name] = value
	}
	return extensions, nil
}

// checkAttribute refuses what is too long or not a CloudEvents string. Key
// relies on it: a NUL separates what it hashes.
func checkAttribute(name, value string, limit int) *Refusal {
	if len(value) > limit {
		return refuse(AttributeTooLong, "%s has %d bytes, %d are allowed: shorten it, or put it into the data",
			quote(name), len(value), limit).over(limit)
	}
	if !isText(value) {
		return refuse(InvalidEvent, "%s holds a control character or is not UTF-8: remove it", quote(name))
	}
	return nil
}

// isText reports whether s is UTF-8 without control characters.
func isText(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f { // not what nearly all attributes are made of
			return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
		}
	}
	return true
}

// checkJSON refuses what is not one JSON text in UTF-8.
func checkJSON(text []byte) *Refusal {
	if ValidJSON(text) {
		return nil
	}
	if !utf8.Valid(text) {
		return refuse(InvalidJSON, "the JSON is not UTF-8: send UTF-8")
	}
	var ignored json.RawMessage
	return refuse(InvalidJSON, "the JSON is not valid: %v", json.Unmarshal(text, &ignored)) // which says where
}
