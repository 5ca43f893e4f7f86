package payload

import (
	"time"

	"github.com/postrider/postrider/dispatcher/event"
)

// standard is the shape that Standard Webhooks recommends ("Payload structure"):
//
//	{"type":"item:added","timestamp":"2026-01-31T12:00:00Z","data":{...}}
//
// The timestamp is when the event happened or, when its producer did not say,
// when it was accepted. "data" is null for an event without data, and replaced
// by "data_base64" when the data is neither JSON nor text.
func standard(e *event.Event) ([]byte, error) {
	at := e.Time
	if at.IsZero() {
		at = e.Accepted
	}
	body := make([]byte, 0, len(e.Data)+len(e.Type)+128)
	body = append(body, `{"type":`...)
	body = appendString(body, e.Type)
	body = append(body, `,"timestamp":"`...)
	body = at.UTC().AppendFormat(body, time.RFC3339Nano)
	body = append(body, `",`...)
	if len(e.Data) == 0 {
		return append(body, `"data":null}`...), nil
	}
	body, err := appendData(body, e)
	if err != nil {
		return nil, err
	}
	return append(body, '}'), nil
}
