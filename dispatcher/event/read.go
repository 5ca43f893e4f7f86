package event

import (
	"mime"
	"net/http"
	"time"
)

// The media types that [Read] takes; with "ce-" headers it takes any.
const (
	mediaStructured = "application/cloudevents+json"
	mediaBatch      = "application/cloudevents-batch+json"
	mediaPlain      = "application/json"
)

const fourForms = `send a CloudEvent in binary mode ("ce-" headers and the data's own Content-Type), ` +
	mediaStructured + ", " + mediaBatch + ` or plain JSON as ` + mediaPlain + ` ({"type": ..., "data": ...})`

// Read returns the events of one request, in order: CloudEvents 1.0 in binary,
// structured or batched mode, or one plain JSON object. It takes the body over:
// the Data of the events may be parts of it.
//
// Its only error is a [*Refusal]; then no event of the request is acceptable.
func Read(header http.Header, body []byte, namespace string, now time.Time) ([]Event, error) {
	if !IsLabel(namespace) {
		return nil, &Refusal{Reason: InvalidNamespace, Index: -1, Detail: quote(namespace) +
			" is not the name of a namespace: use up to 63 of a-z, 0-9 and -, neither first nor last a -"}
	}

	template := Event{Namespace: namespace, Accepted: now}
	events, refusal := read(header, body, template)
	if refusal != nil {
		return nil, refusal
	}
	return events, nil
}

func read(header http.Header, body []byte, template Event) ([]Event, *Refusal) {
	media, refusal := mediaType(header)
	if refusal != nil {
		return nil, refusal
	}
	if media != mediaStructured && media != mediaBatch && isBinary(header) {
		return one(readBinary(template, header, body))
	}

	switch media {
	case mediaStructured, mediaBatch, mediaPlain:
	case "":
		return nil, refuse(UnsupportedContentType, "there is no Content-Type: %s", fourForms)
	default:
		return nil, refuse(UnsupportedContentType, "Content-Type %s is not supported: %s", quote(media), fourForms)
	}
	if refusal := checkJSON(body); refusal != nil {
		return nil, refusal
	}
	switch media {
	case mediaStructured:
		return one(readStructured(template, body))
	case mediaBatch:
		return readBatch(template, body)
	default:
		return one(readPlain(template, body))
	}
}

func one(e Event, refusal *Refusal) ([]Event, *Refusal) {
	if refusal != nil {
		return nil, refusal
	}
	return []Event{e}, nil
}

// mediaType returns the media type of the request, "" when it has none. A
// charset is of no interest: JSON is UTF-8 (RFC 8259), and checkJSON holds it to that.
func mediaType(header http.Header) (string, *Refusal) {
	values := header["Content-Type"]
	switch {
	case len(values) == 0 || values[0] == "":
		return "", nil
	case len(values) > 1:
		return "", refuse(UnsupportedContentType, "there are %d Content-Types: %s", len(values), fourForms)
	case values[0] == mediaPlain, values[0] == mediaStructured, values[0] == mediaBatch:
		return values[0], nil // the common spellings, without parsing
	}
	media, _, err := mime.ParseMediaType(values[0])
	if err != nil {
		return "", refuse(UnsupportedContentType, "Content-Type %s is malformed: %s", quote(values[0]), fourForms)
	}
	return media, nil
}

// IsLabel reports whether s is a DNS label (RFC 1123), as namespaces are.
func IsLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
