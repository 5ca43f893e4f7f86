package event

import (
	"cmp"
	"mime"
	"net/url"
	"strings"

	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/google/uuid"
)

// plain is the form for producers that know nothing of CloudEvents: {"type":
// "item:added", "data": {...}}, and the other attributes if they like.
type plain struct {
	eventType, id, source, subject, time, contentType, schema string

	data []byte // as it is spelled, nil when absent
}

// plainNames are the attributes of plain, besides its data.
var plainNames = [...]string{"type", "id", "source", "subject", "time", "datacontenttype", "dataschema"}

// attribute returns where the attribute of a name is kept, nil when plain has
// none of this name. Capitals do not matter, for they never have.
func (p *plain) attribute(name string) *string {
	for i, known := range plainNames {
		if strings.EqualFold(name, known) {
			return [...]*string{&p.eventType, &p.id, &p.source, &p.subject, &p.time, &p.contentType, &p.schema}[i]
		}
	}
	return nil
}

// read fills p from valid JSON. Of a name that is there twice the last counts.
// Members that p does not have are refused, so that a misspelt name or data
// outside of "data" is not lost without a word.
func (p *plain) read(object []byte) *Refusal {
	if !opens(object, '{') {
		return refuse(InvalidEvent, "an event is a JSON object: send one")
	}
	for spelled, value := range Members(object) {
		name := nameOf(spelled)
		if strings.EqualFold(name, "data") {
			p.data = value
			continue
		}
		to := p.attribute(name)
		if to == nil {
			return refuseMember(name)
		}
		if string(value) == "null" {
			continue // as if it were absent
		}
		s, ok := unquote(value)
		if !ok {
			return refuse(InvalidEvent, "%s is not a string: correct it, or put it into the data", quote(strings.ToLower(name)))
		}
		*to = s
	}
	return nil
}

// nameOf decodes the name of a member. It makes no string of the usual names.
func nameOf(spelled []byte) string {
	if string(spelled) == `"data"` {
		return "data"
	}
	for _, known := range plainNames {
		if len(spelled) == len(known)+2 && string(spelled[1:len(known)+1]) == known {
			return known
		}
	}
	name, _ := unquote(spelled) // in valid JSON, a name is a string
	return name
}

func refuseMember(name string) *Refusal {
	if name == "specversion" {
		return refuse(InvalidEvent, `"specversion" makes this a CloudEvent: send it as %s, or leave "specversion" out`, mediaStructured)
	}
	return refuse(InvalidEvent, "%s is unknown: plain JSON has type, data, id, source, subject, time, datacontenttype and dataschema; everything else goes into data",
		quote(name))
}

// readPlain reads plain JSON, out of valid JSON. It holds the attributes to
// what CloudEvents says about them.
func readPlain(template Event, object []byte) (Event, *Refusal) {
	var p plain
	if refusal := p.read(object); refusal != nil {
		return Event{}, refusal
	}
	e := template
	e.ID, e.Type, e.Subject = strings.TrimSpace(p.id), strings.TrimSpace(p.eventType), strings.TrimSpace(p.subject)
	if p.id == "" {
		e.ID = uuid.Must(uuid.NewV7()).String() // reading random bytes never fails (crypto/rand.Read)
	}
	at, err := types.ParseTimestamp(p.time)
	if err != nil {
		return Event{}, refuseAttribute("time")
	}
	if at != nil {
		e.Time = at.Time
	}
	e.ContentType = strings.TrimSpace(cmp.Or(p.contentType, mediaPlain))
	if p.data != nil {
		var refusal *Refusal
		if e.Data, refusal = readData(p.data, e.ContentType); refusal != nil {
			return Event{}, refusal
		}
	}
	var isURI, isReference bool
	e.Schema, isURI = absoluteURI(strings.TrimSpace(p.schema))
	e.Source, isReference = sourceOf(p.source, template.Namespace)
	switch {
	case !isMediaType(e.ContentType):
		return Event{}, refuseAttribute("datacontenttype")
	case !isURI:
		return Event{}, refuseAttribute("dataschema")
	case e.ID == "":
		return Event{}, refuseAttribute("id")
	case !isReference:
		return Event{}, refuseAttribute("source")
	case e.Type == "":
		return Event{}, refuseAttribute("type")
	}
	if refusal := e.checkAttributes(); refusal != nil {
		return Event{}, refusal
	}
	return e, nil
}

// isMediaType reports whether s is a media type (RFC 2046), or empty.
func isMediaType(s string) bool {
	if s == "" || s == mediaPlain {
		return true // without parsing
	}
	_, _, err := mime.ParseMediaType(s)
	return err == nil
}

// absoluteURI returns s encoded as a URI; ok is false when it is none. The
// empty s is one that is absent.
func absoluteURI(s string) (uri string, ok bool) {
	if s == "" {
		return "", true
	}
	u := types.ParseURI(s)
	if u == nil || !u.Validate() {
		return "", false
	}
	return u.String(), true
}

// sourceOf returns s encoded as a URI reference; ok is false when it is none.
// Without one, the source is where the events of the namespace are posted to.
func sourceOf(s, namespace string) (source string, ok bool) {
	if s == "" {
		return "/v1/namespaces/" + namespace + "/events", true
	}
	if isPath(s) {
		return s, true // without parsing
	}
	u, err := url.Parse(s)
	if err != nil {
		return "", false
	}
	source = u.String()
	return source, strings.TrimSpace(source) != ""
}

// isPath reports whether s is an absolute path of letters, digits and marks,
// which a URI reference spells as they are (RFC 3986, 2.3), as most sources are.
func isPath(s string) bool {
	if s[0] != '/' || strings.HasPrefix(s, "//") {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '/' || c > '9') && c != '-' && c != '.' && c != '_' && c != '~' {
			return false
		}
	}
	return true
}
