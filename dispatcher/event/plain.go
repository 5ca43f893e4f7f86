package event

import "github.com/google/uuid"

// readPlain reads plain JSON, the form for producers that know nothing of
// CloudEvents: {"type": "item:added", "data": {...}}, and the other attributes
// if they like. Every other member is refused, so that a misspelt name or data
// outside of "data" is not lost without a word.
func readPlain(e Event, object []byte) (Event, *Refusal) {
	var found envelope
	if refusal := found.read(object, &e, acceptPlain); refusal != nil {
		return e, refusal
	}
	if refusal := found.putData(&e); refusal != nil {
		return e, refusal
	}

	if e.ContentType == "" {
		e.ContentType = mediaPlain
	}
	if e.Source == "" {
		e.Source = "/v1/namespaces/" + e.Namespace + "/events"
	}
	if e.ID == "" {
		e.ID = uuid.Must(uuid.NewV7()).String() // reading random bytes never fails (crypto/rand.Read)
	}
	return e, e.check()
}

func acceptPlain(name string) *Refusal {
	switch {
	case name == "specversion":
		return refuse(InvalidEvent, `"specversion" makes this a CloudEvent: send it as %s, or leave "specversion" out`, mediaStructured)
	case name == "data", isDefined(name):
		return nil
	default:
		return refuse(InvalidEvent, "%s is unknown: plain JSON has type, data, id, source, subject, time, datacontenttype and dataschema; everything else goes into data",
			quote(name))
	}
}
