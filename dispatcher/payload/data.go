package payload

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/postrider/postrider/dispatcher/event"
)

// appendData appends the data of e as a member of a JSON object, in the manner
// of CloudEvents (JSON format, section 3.1.1): "data" with JSON as it came or
// with text as a string, "data_base64" with anything else.
func appendData(b []byte, e *event.Event) ([]byte, error) {
	switch {
	case e.IsJSON():
		// Ingest has checked it. It is checked again because here something
		// else would add members to the object, and be signed.
		if !event.ValidJSON(e.Data) {
			return nil, errors.New("the data is declared as JSON and is not")
		}
		b = append(b, `"data":`...)
		return append(b, e.Data...), nil
	case isText(e.ContentType) && utf8.Valid(e.Data):
		b = append(b, `"data":`...)
		return appendString(b, string(e.Data)), nil
	default:
		b = append(b, `"data_base64":"`...)
		b = base64.StdEncoding.AppendEncode(b, e.Data)
		return append(b, '"'), nil
	}
}

// isText reports whether a content type declares text that a JSON string can
// carry without loss: text or XML, in UTF-8.
func isText(contentType string) bool {
	media, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	switch strings.ToLower(parameters["charset"]) {
	case "", "utf-8", "us-ascii":
	default:
		return false
	}
	return strings.HasPrefix(media, "text/") || media == "application/xml" || strings.HasSuffix(media, "+xml")
}

// appendString appends s as a JSON string. Unlike json.Marshal it leaves <, >
// and & as they are: no receiver puts a body into a page unread, and XML would
// grow by half.
func appendString(b []byte, s string) []byte {
	if isPlain(s) {
		return append(append(append(b, '"'), s...), '"')
	}
	var quoted bytes.Buffer
	encoder := json.NewEncoder(&quoted)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		panic(err) // a string always encodes
	}
	return append(b, bytes.TrimSuffix(quoted.Bytes(), []byte("\n"))...)
}

// isPlain reports whether a JSON string spells s as it is, as it does nearly
// every type.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
