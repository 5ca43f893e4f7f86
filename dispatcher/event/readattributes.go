package event

import (
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/types"
)

const contentTypeAttribute = "datacontenttype"

// set gives one context attribute its value. A name that CloudEvents does not
// define is an extension.
func (e *Event) set(name, value string) *Refusal {
	if limit := limitOf(name); len(value) > limit {
		return refuse(AttributeTooLong, "%s has %d bytes, %d are allowed: shorten it, or put it into the data",
			quote(name), len(value), limit).over(limit)
	}
	if !isPrintable(value) {
		return refuse(InvalidEvent, "%s holds a control character or is not UTF-8: remove it", quote(name))
	}

	switch name {
	case "specversion":
		if value != "1.0" {
			return refuse(InvalidEvent, "specversion %s is not supported: send CloudEvents 1.0", quote(value))
		}
	case "id":
		e.ID = value
	case "type":
		e.Type = value
	case "subject":
		e.Subject = value
	case "source":
		if types.ParseURIRef(value) == nil && value != "" {
			return refuse(InvalidEvent, `"source" is not a URI reference: name the producer like "/shop/orders" or "https://shop.example.com"`)
		}
		e.Source = value
	case "dataschema":
		if uri := types.ParseURI(value); value != "" && (uri == nil || !uri.Validate()) {
			return refuse(InvalidEvent, `"dataschema" is not an absolute URI: correct it or leave it out`)
		}
		e.Schema = value
	case contentTypeAttribute:
		if _, _, err := mime.ParseMediaType(value); err != nil && value != "" {
			return refuse(InvalidEvent, `"datacontenttype" is not a media type: send one like "application/json", or leave it out`)
		}
		e.ContentType = value
	case "time":
		return e.setTime(value)
	default:
		return e.setExtension(name, value)
	}
	return nil
}

func (e *Event) setTime(value string) *Refusal {
	if value == "" {
		return nil
	}
	t, err := types.ParseTime(value)
	if err != nil {
		return refuse(InvalidEvent, `"time" is not an RFC 3339 timestamp: send one like "2026-01-31T12:00:00Z", or leave it out`)
	}
	e.Time = t
	return nil
}

func (e *Event) setExtension(name, value string) *Refusal {
	if !isExtension(name) || name == "data" { // CloudEvents JSON has another meaning for it
		return refuse(InvalidEvent, "%s is not the name of a CloudEvents attribute: use up to %d of a-z and 0-9, and put everything else into the data",
			quote(name), maxExtensionName)
	}
	if len(e.Extensions) == MaxExtensions {
		return refuse(InvalidEvent, "there are more than %d extension attributes: put them into the data", MaxExtensions).over(MaxExtensions)
	}
	if e.Extensions == nil {
		e.Extensions = make(map[string]string)
	}
	e.Extensions[name] = value
	return nil
}

// check refuses an event without what every event has.
func (e *Event) check() *Refusal {
	for _, a := range [...]struct{ name, value, remedy string }{
		{"type", e.Type, `say what happened, like "item:added"`},
		{"id", e.ID, "send one that is unique for the source, and the same again when the event is sent again"},
		{"source", e.Source, `name the producer, like "/shop/orders"`},
	} {
		if a.value == "" {
			return refuse(InvalidEvent, "%q is missing or empty: %s", a.name, a.remedy)
		}
	}
	return nil
}

// isDefined reports whether CloudEvents defines the attribute.
func isDefined(attribute string) bool {
	switch attribute {
	case "specversion", "id", "source", "type", "subject", "time", "dataschema", contentTypeAttribute:
		return true
	}
	return false
}

func limitOf(attribute string) int {
	if attribute == "type" {
		return MaxType
	}
	return MaxAttribute
}

// maxExtensionName is generous: CloudEvents recommends 20.
const maxExtensionName = 64

func isExtension(name string) bool {
	if name == "" || len(name) > maxExtensionName {
		return false
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// isPrintable reports whether s is a CloudEvents string: UTF-8 without control
// characters. Key relies on it: a NUL separates what it hashes.
func isPrintable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r < 0x20 || r >= 0x7f && r <= 0x9f
	})
}
