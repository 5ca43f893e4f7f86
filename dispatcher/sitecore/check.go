package sitecore

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/postrider/postrider/dispatcher/event"
)

// Check reports what the data of e lacks, or has wrong, of what Sitecore sends
// with events of its type; nil for types that Sitecore does not know. The error is
// written for the producer: it names the event and the property, and says what to
// do, and quotes nothing of the data.
func Check(e *event.Event) error {
	want := dataOf(e.Type)
	if want == nil {
		return nil
	}
	if !e.IsJSON() || len(e.Data) == 0 || !event.ValidJSON(e.Data) {
		return fmt.Errorf("an event of type %q has to have data in JSON: send the object that Sitecore sends, with %s, or use another type",
			e.Type, want.list())
	}
	if m := want.check(bytes.TrimSpace(e.Data)); m != nil {
		return m.of(e.Type)
	}
	return nil
}

// list names what has to be there.
func (f *form) list() string {
	var names []string
	for _, p := range f.members {
		if p.required {
			names = append(names, p.name)
		}
	}
	return strings.Join(names, " and ")
}

// A misfit is a value that is not what it has to be.
type misfit struct {
	path string // from the data, such as Item.SharedFields[2].Id; empty for the data itself
	want *form
	gone bool // there is none
	near bool // it is there in other letters
}

// of tells the misfit for an event of a type. A command has no other type that it
// could be.
func (m *misfit) of(eventType string) error {
	otherwise := ", or use another type"
	if eventType == WorkflowCommand {
		otherwise = ""
	}
	path := m.path
	switch {
	case path == "":
		path = "The data"
	case m.near:
		return fmt.Errorf("%s is there with other letters in upper or lower case, and receivers differ in whether they read that: spell it as an event of type %q has it%s", path, eventType, otherwise)
	case m.gone:
		return fmt.Errorf("%s is missing: an event of type %q has to have it, %s; add it%s", path, eventType, expected[m.want.kind], otherwise)
	}
	return fmt.Errorf("%s is not %s, as it has to be in an event of type %q: correct it%s", path, expected[m.want.kind], eventType, otherwise)
}

// in moves the misfit into a member or an element.
func (m *misfit) in(step string) *misfit {
	if m.path != "" && m.path[0] != '[' {
		step += "."
	}
	m.path = step + m.path
	return m
}

// check returns the first misfit in a value of valid JSON, nil when there is none.
func (f *form) check(value []byte) *misfit {
	if !f.holds(value) {
		return &misfit{want: f}
	}
	switch f.kind {
	case object:
		return checkMembers(f.members, value)
	case list:
		return f.checkElements(value)
	default:
		return nil
	}
}

// checkMembers checks an object. Of a name that is there twice the last counts, as
// everywhere. What is not required may be null, as .NET has what it does not know.
func checkMembers(properties []property, value []byte) *misfit {
	var there [maxMembers][]byte
	for name, value := range event.Members(value) {
		if i := index(properties, name); i >= 0 {
			there[i] = value
		} else if i := nearly(properties, name); i >= 0 {
			return &misfit{path: properties[i].name, near: true}
		}
	}
	for i := range properties {
		p, value := &properties[i], there[i]
		if value == nil || isNull(value) {
			if p.required {
				return &misfit{path: p.name, want: p.form, gone: true}
			}
			continue
		}
		if m := p.form.check(value); m != nil {
			return m.in(p.name)
		}
	}
	return nil
}

func (f *form) checkElements(value []byte) *misfit {
	if f.elements == nil {
		return nil
	}
	n := 0
	for element := range event.Elements(value) {
		if m := f.elements.check(element); m != nil {
			return m.in("[" + strconv.Itoa(n) + "]")
		}
		n++
	}
	return nil
}
