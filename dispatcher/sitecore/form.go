package sitecore

import (
	"bytes"
	"strconv"

	"github.com/postrider/postrider/dispatcher/event"
)

// A kind is what a value has to be.
type kind uint8

const (
	anything  kind = iota
	text           // a string
	boolean        // true or false
	number         // of 32 bits, without a fraction
	guid           // a string that is a GUID, sent in lower case without braces
	braced         // the same, sent in upper case with braces
	reference      // a string; if it is a GUID, sent like one that is braced
	object
	list
)

// expected says what a value of the kind is, for people.
var expected = [...]string{
	anything:  "a value",
	text:      "a string",
	boolean:   "true or false",
	number:    "a whole number of 32 bits",
	guid:      `a GUID, such as "110d559f-dea5-42ea-9c1c-8a5df7e70ef9"`,
	braced:    `a GUID, such as "{721CD32A-7489-475E-9C7A-24C8C7DE1DE5}"`,
	reference: "a string",
	object:    "an object",
	list:      "an array",
}

// A form is what a value has to be, and how it is written. Forms refer to each
// other without going in circles, so that data cannot make a walk along them deep.
type form struct {
	kind     kind
	members  []property // of an object, in the order in which Sitecore documents them; others may be there too
	elements *form      // of a list; nil = whatever they are
}

// A property is a member of an object that Sitecore documents.
type property struct {
	name     string
	form     *form
	required bool
	absent   string // the JSON that is sent when it is not there, or null; empty = none is, see also isStruct
}

// maxMembers bounds the members of a form.
const maxMembers = 16

// holds reports whether a value is of the kind of f.
func (f *form) holds(value []byte) bool {
	switch f.kind {
	case anything:
		return true
	case text, reference:
		return value[0] == '"'
	case boolean:
		return value[0] == 't' || value[0] == 'f'
	case number:
		_, err := strconv.ParseInt(string(value), 10, 32)
		return err == nil
	case guid, braced:
		var id [16]byte
		return value[0] == '"' && parseGUID(&id, textOf(value))
	case object:
		return value[0] == '{'
	case list:
		return value[0] == '['
	}
	return false
}

// isStruct reports whether .NET has such values in structs, which cannot be null:
// a member that is null would make the whole payload one that it cannot read.
func (f *form) isStruct() bool { return f.kind == boolean || f.kind == number || f.kind == guid }

// index returns which of the properties a member is, -1 for none of them.
func index(properties []property, spelled []byte) int {
	name := textOf(spelled)
	for i := range properties {
		if string(name) == properties[i].name {
			return i
		}
	}
	return -1
}

// nearly returns which of the properties a member would be with its letters in
// another case, -1 for none.
func nearly(properties []property, spelled []byte) int {
	name := textOf(spelled)
	for i := range properties {
		if bytes.EqualFold(name, []byte(properties[i].name)) {
			return i
		}
	}
	return -1
}

// textOf decodes a string, without allocation as names and ids are usually spelled.
func textOf(spelled []byte) []byte {
	if bytes.IndexByte(spelled, '\\') >= 0 {
		return event.AppendText(nil, spelled)
	}
	return spelled[1 : len(spelled)-1]
}

func isNull(value []byte) bool { return value[0] == 'n' }
