package event

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"strings"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/google/uuid"
)

// plain is the form for producers that know nothing of CloudEvents: {"type":
// "item:added", "data": {...}}, and the other attributes if they like.
type plain struct {
	Type        string          `json:"type"`
	Data        json.RawMessage `json:"data"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Subject     string          `json:"subject"`
	Time        string          `json:"time"`
	ContentType string          `json:"datacontenttype"`
	Schema      string          `json:"dataschema"`
}

// readPlain reads plain JSON, out of valid JSON. Members that it does not have
// are refused, so that a misspelt name or data outside of "data" is not lost
// without a word.
func readPlain(template Event, object []byte) (Event, *Refusal) {
	var p plain
	decoder := json.NewDecoder(bytes.NewReader(object))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		return Event{}, refusePlain(err)
	}

	if p.ID == "" {
		p.ID = uuid.Must(uuid.NewV7()).String() // reading random bytes never fails (crypto/rand.Read)
	}
	at, err := types.ParseTimestamp(p.Time)
	if err != nil {
		return Event{}, refuseAttribute("time")
	}

	read := cloudevents.New(cloudevents.CloudEventsVersionV1)
	read.SetType(p.Type)
	read.SetID(p.ID)
	read.SetSource(cmp.Or(p.Source, "/v1/namespaces/"+template.Namespace+"/events"))
	read.SetSubject(p.Subject)
	if at != nil {
		read.SetTime(at.Time)
	}
	read.SetDataContentType(cmp.Or(p.ContentType, mediaPlain))
	read.SetDataSchema(p.Schema)
	if p.Data != nil {
		var refusal *Refusal
		if read.DataEncoded, refusal = readData(p.Data, read.DataContentType()); refusal != nil {
			return Event{}, refusal
		}
	}
	return accept(template, &read)
}

// refusePlain says what encoding/json has against an object that is valid JSON.
func refusePlain(err error) *Refusal {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if wrong.Field == "" {
			return refuse(InvalidEvent, "an event is a JSON object: send one")
		}
		return refuse(InvalidEvent, "%s is not a string: correct it, or put it into the data", quote(wrong.Field))
	}
	name := strings.TrimPrefix(err.Error(), "json: unknown field ") // there is no type for it
	if name == `"specversion"` {
		return refuse(InvalidEvent, `"specversion" makes this a CloudEvent: send it as %s, or leave "specversion" out`, mediaStructured)
	}
	return refuse(InvalidEvent, "%s is unknown: plain JSON has type, data, id, source, subject, time, datacontenttype and dataschema; everything else goes into data",
		brief(name))
}
