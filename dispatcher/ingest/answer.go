package ingest

import (
	"encoding/json"
	"net/http"

	"github.com/postrider/postrider/dispatcher/event"
)

// answerEach is about what the answer holds for one event, in bytes.
const answerEach = 160

var contentTypeJSON = []string{"application/json"}

// accept answers 202 with the identity of each event, in order:
//
//	{"events":[{"id":"1","source":"/cms","webhookID":"msg_..."}]}
//
// webhookID is what receivers see as "webhook-id".
func accept(w http.ResponseWriter, events []event.Event) {
	answer := append(make([]byte, 0, 32+answerEach*len(events)), `{"events":[`...)
	for i := range events {
		e := &events[i]
		if i > 0 {
			answer = append(answer, ',')
		}
		answer = appendString(append(answer, `{"id":`...), e.ID)
		answer = appendString(append(answer, `,"source":`...), e.Source)
		answer = append(append(answer, `,"webhookID":"`...), e.Key().String()...)
		answer = append(answer, `"}`...)
	}
	answer = append(answer, "]}\n"...)
	w.Header()["Content-Type"] = contentTypeJSON
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(answer) // a producer that has gone will send again
}

// appendString appends s as encoding/json spells it.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			spelled, _ := json.Marshal(s) // a string always marshals
			return append(b, spelled...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
