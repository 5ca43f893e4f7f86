package event

import (
	"encoding/base64"
	"slices"
	"strconv"
)

// An envelope is a JSON object that carries one event: its attributes are
// members, and so is its data. Structured mode, the events of a batch and plain
// JSON all have this form.
type envelope struct {
	names  []string // in order, each once
	data   []byte   // the value of "data" as it is spelled, nil when absent
	base64 []byte   // the value of "data_base64", likewise
}

// maxMembers is every attribute that CloudEvents defines, the data and the
// extensions. It also bounds the search for names that are there twice.
const maxMembers = 10 + MaxExtensions

// read sets the attributes of e, as far as accept has nothing against their
// names. It keeps the data for later, because what the data is depends on an
// attribute that may follow it.
func (v *envelope) read(object []byte, e *Event, accept func(name string) *Refusal) *Refusal {
	if object[0] != '{' {
		return refuse(InvalidEvent, "an event is a JSON object: send one")
	}
	v.names = make([]string, 0, 8)
	for spelled, value := range members(object) {
		name, _ := unquote(spelled) // in valid JSON, a name is a string
		if slices.Contains(v.names, name) {
			return refuse(InvalidEvent, "%s is there twice: send it once", quote(name))
		}
		if len(v.names) == maxMembers {
			return refuse(InvalidEvent, "there are more than %d members: put them into the data", maxMembers).over(maxMembers)
		}
		if refusal := accept(name); refusal != nil {
			return refusal
		}
		v.names = append(v.names, name)

		switch name {
		case "data":
			v.data = value
			continue
		case "data_base64":
			v.base64 = value
			continue
		}
		if string(value) == "null" && name != "specversion" {
			continue // CloudEvents JSON format, 2.2: the same as absent
		}
		s, ok := attribute(name, value)
		if !ok {
			return refuse(InvalidEvent, "%s is not a string: attributes are, everything else goes into the data", quote(name))
		}
		if refusal := e.set(name, s); refusal != nil {
			return refusal
		}
	}
	return nil
}

func (v *envelope) has(name string) bool { return slices.Contains(v.names, name) }

// putData gives e its data: JSON as it is spelled, text without its quotes,
// base64 decoded (CloudEvents JSON format, 3.1).
func (v *envelope) putData(e *Event) *Refusal {
	switch {
	case v.data != nil && v.base64 != nil:
		return refuse(InvalidEvent, `there are both "data" and "data_base64": send one of them`)

	case v.base64 != nil:
		encoded, ok := unquote(v.base64)
		if !ok {
			return refuse(InvalidEvent, `"data_base64" is not a string`)
		}
		data, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return refuse(InvalidEvent, `"data_base64" is not base64 with padding (RFC 4648, 4): %v`, err)
		}
		e.Data = data
		if e.IsJSON() && len(data) > 0 {
			return checkJSON(data)
		}

	case v.data != nil && e.IsJSON():
		e.Data = v.data

	case v.data != nil:
		s, ok := unquote(v.data)
		if !ok {
			return refuse(InvalidEvent, `"data" is not a string, which it is when "datacontenttype" is %s: correct one of them`, quote(e.ContentType))
		}
		e.Data = []byte(s)
	}
	return nil
}

// attribute returns the value of a context attribute in its canonical string
// form. Only extensions have other types than strings (CloudEvents, "Type
// System"): boolean and 32-bit integer.
func attribute(name string, value []byte) (string, bool) {
	if s, ok := unquote(value); ok {
		return s, true
	}
	if isDefined(name) {
		return "", false
	}
	s := string(value)
	if s == "true" || s == "false" {
		return s, true
	}
	n, err := strconv.ParseInt(s, 10, 32)
	return strconv.FormatInt(n, 10), err == nil
}
