package event

import (
	"net/http"
	"net/url"
	"strings"
)

// CloudEvents 1.0.2 is read here by hand and not with the official SDK, whose
// readers panic on what a producer may send ({"specversion":"1.0",
// "data_base64":1}, or a header "ce-:"), end silently at an empty member name,
// take the last of two equal members, and leave percent-encoding in headers.
// The SDK's types say what a timestamp and a URI are, and its client is a
// producer in the tests.

const (
	attributePrefix   = "Ce-" // in the canonical spelling of net/http
	specVersionHeader = "Ce-Specversion"
)

// isBinary reports whether the headers carry CloudEvents attributes.
func isBinary(header http.Header) bool {
	if len(header[specVersionHeader]) > 0 {
		return true
	}
	for name := range header {
		if strings.HasPrefix(name, attributePrefix) {
			return true
		}
	}
	return false
}

// readBinary reads binary content mode: attributes in "ce-" headers, the data
// in the body (CloudEvents HTTP binding, 3.1).
func readBinary(e Event, header http.Header, body []byte) (Event, *Refusal) {
	if len(header[specVersionHeader]) == 0 {
		return e, refuse(InvalidEvent, `there are "ce-" headers but no "ce-specversion": send "ce-specversion: 1.0"`)
	}
	for spelled, values := range header {
		name, ok := strings.CutPrefix(spelled, attributePrefix)
		if !ok {
			continue
		}
		if len(values) != 1 {
			return e, refuse(InvalidEvent, "header %s is there %d times: send it once", quote(spelled), len(values))
		}
		name = strings.ToLower(name)
		if name == contentTypeAttribute {
			return e, refuse(InvalidEvent, `"ce-datacontenttype" is not a header: in binary mode Content-Type says what the body is`)
		}
		if refusal := e.set(name, decodeHeader(values[0])); refusal != nil {
			return e, refusal
		}
	}
	if refusal := e.set(contentTypeAttribute, header.Get("Content-Type")); refusal != nil {
		return e, refusal
	}
	if len(body) > 0 && e.ContentType == "" {
		return e, refuse(UnsupportedContentType, "there is no Content-Type, which in binary mode says what the body is: send one, like %s", mediaPlain)
	}
	e.Data = body
	if e.IsJSON() && len(body) > 0 {
		if refusal := checkJSON(body); refusal != nil {
			return e, refusal
		}
	}
	return e, e.check()
}

// decodeHeader undoes the encoding of an attribute in a header (CloudEvents
// HTTP binding, 3.1.3.2): quotes around the value, then percent-encoding. What
// is not percent-encoded stays as it is.
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

// readBatch reads batched content mode: a JSON array of events.
func readBatch(template Event, body []byte) ([]Event, *Refusal) {
	if body[0] != '[' {
		return nil, refuse(InvalidEvent, "the body is not a JSON array: a batch is one, a single event goes as %s", mediaStructured)
	}
	count := 0
	for range elements(body) {
		count++
	}
	switch {
	case count == 0:
		return nil, refuse(EmptyBatch, "the batch holds no event: send at least one")
	case count > MaxBatch:
		return nil, refuse(BatchTooLarge, "the batch holds %d events, %d are allowed: split it", count, MaxBatch).over(MaxBatch)
	}

	events := make([]Event, 0, count)
	for element := range elements(body) {
		e, refusal := readStructured(template, element)
		if refusal != nil {
			refusal.Index = len(events)
			return nil, refusal
		}
		events = append(events, e)
	}
	return events, nil
}

// readStructured reads one event in the CloudEvents JSON format, out of valid JSON.
func readStructured(e Event, object []byte) (Event, *Refusal) {
	var found envelope
	if refusal := found.read(object, &e, acceptCloudEvent); refusal != nil {
		return e, refusal
	}
	if !found.has("specversion") {
		return e, refuse(InvalidEvent, `"specversion" is missing: send "specversion": "1.0"`)
	}
	if refusal := found.putData(&e); refusal != nil {
		return e, refusal
	}
	return e, e.check()
}

// acceptCloudEvent accepts every name: one that CloudEvents does not define is
// an extension, and set judges those.
func acceptCloudEvent(string) *Refusal { return nil }
