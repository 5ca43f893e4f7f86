package sitecore

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/postrider/postrider/dispatcher/event"
)

// Context is the member of the data with what Sitecore's rules know and its
// payloads do not carry. It is not sent on in them: no property of .NET has such a
// name, so that it takes away none.
const Context = "$context"

// own are the members that Postrider itself sets.
var own = [...]string{"EventName", "WebhookItemId", "WebhookItemName"}

// isOurs reports whether a member of the data gives way, however its letters are
// cased: receivers in .NET do not look at that.
func isOurs(name []byte) bool {
	for _, o := range own {
		if len(name) == len(o) && bytes.EqualFold(name, []byte(o)) {
			return true
		}
	}
	return string(name) == Context
}

// AppendEvent appends the members that a payload has of an event of a type: those
// of the data, which is an object in valid JSON. Those that Sitecore documents come
// first, in its order, with ids in its spelling and empty lists where there are
// none; the others follow as they came. Each has a comma before it.
func AppendEvent(dst []byte, eventType string, data []byte) []byte {
	var properties []property
	if f := dataOf(eventType); f != nil {
		properties = f.members
	}
	return appendMembers(dst, properties, data, isOurs)
}

// AppendAction appends the members that the payload of a workflow action has of a
// [WorkflowCommand], from Comments to WorkflowName. Each has a comma before it. An
// action at a state is not told of a next one. data is an object in valid JSON;
// what it lacks is null or empty.
func AppendAction(dst, data []byte, atState bool) []byte {
	var there [maxMembers][]byte
	workflow := []byte(`""`)
	for name, value := range event.Members(data) {
		if i := index(action, name); i >= 0 {
			there[i] = value
		} else if string(textOf(name)) == "Workflow" && value[0] == '{' {
			workflow = nameIn(value, workflow)
		}
	}
	for i := range action {
		if atState && action[i].name == "NextState" {
			there[i] = nil
		}
		dst = appendProperty(dst, &action[i], there[i])
	}
	return AppendValue(append(dst, `,"WorkflowName":`...), workflow)
}

// nameIn returns the Name in an object, if it has a string of that name.
func nameIn(object, otherwise []byte) []byte {
	for name, value := range event.Members(object) {
		if string(textOf(name)) == "Name" && value[0] == '"' {
			otherwise = value
		}
	}
	return otherwise
}

// appendMembers appends the members of an object, the documented ones first, but
// for those that give way.
func appendMembers(dst []byte, properties []property, value []byte, givesWay func(name []byte) bool) []byte {
	var there [maxMembers][]byte
	others := false
	for name, value := range event.Members(value) {
		if i := index(properties, name); i >= 0 {
			there[i] = value
		} else {
			others = true
		}
	}
	for i := range properties {
		dst = appendProperty(dst, &properties[i], there[i])
	}
	if !others {
		return dst
	}
	for name, value := range event.Members(value) {
		if index(properties, name) < 0 && (givesWay == nil || !givesWay(textOf(name))) {
			dst = append(appendString(append(dst, ','), name), ':')
			dst = AppendValue(dst, value)
		}
	}
	return dst
}

func appendProperty(dst []byte, p *property, value []byte) []byte {
	switch none := value == nil || isNull(value); {
	case none && p.absent != "":
		value = []byte(p.absent)
	case value == nil, none && p.form.isStruct():
		return dst
	}
	dst = append(append(append(dst, `,"`...), p.name...), `":`...)
	return p.form.append(dst, value)
}

// append appends a value as Sitecore writes it. One that is not what it has to be
// goes on as it came.
func (f *form) append(dst, value []byte) []byte {
	switch {
	case f.kind == guid:
		return appendQuoted(dst, value, AppendGUID)
	case f.kind == braced, f.kind == reference:
		return appendQuoted(dst, value, appendBraced)
	case f.kind == object && value[0] == '{':
		begin := len(dst)
		dst = appendMembers(dst, f.members, value, nil)
		if len(dst) == begin {
			return append(dst, "{}"...)
		}
		dst[begin] = '{' // instead of the first comma
		return append(dst, '}')
	case f.kind == list && f.elements != nil && value[0] == '[':
		begin := len(dst)
		for element := range event.Elements(value) {
			dst = f.elements.append(append(dst, ','), element)
		}
		if len(dst) == begin {
			return append(dst, "[]"...)
		}
		dst[begin] = '['
		return append(dst, ']')
	default:
		return AppendValue(dst, value)
	}
}

// appendQuoted appends an id in its spelling.
func appendQuoted(dst, value []byte, spell func(dst, text []byte) ([]byte, bool)) []byte {
	if value[0] == '"' {
		if spelled, ok := spell(append(dst, '"'), textOf(value)); ok {
			return append(spelled, '"')
		}
	}
	return AppendValue(dst, value)
}

// AppendValue appends a value of valid JSON as it came, without the space around
// its parts. Halves of surrogate pairs become U+FFFD, as in all that .NET encodes:
// strict receivers, such as those of System.Text.Json, do not read them.
func AppendValue(dst, value []byte) []byte {
	switch value[0] {
	case '{', '[':
	case '"':
		return appendString(dst, value)
	default:
		return append(dst, value...)
	}
	for i := 0; i < len(value); {
		switch c := value[i]; c {
		case ' ', '\t', '\n', '\r':
			i++
		case '"':
			end := event.StringEnd(value, i)
			dst = appendString(dst, value[i:end])
			i = end
		default:
			dst = append(dst, c)
			i++
		}
	}
	return dst
}

// appendString appends a string as it is spelled, but for halves of pairs.
func appendString(dst, spelled []byte) []byte {
	if !bytes.Contains(spelled, []byte(`\ud`)) && !bytes.Contains(spelled, []byte(`\uD`)) {
		return append(dst, spelled...)
	}
	for i := 0; i < len(spelled); {
		unit := unitAt(spelled, i)
		switch {
		case spelled[i] != '\\':
			dst = append(dst, spelled[i])
			i++
		case unit < 0:
			dst = append(dst, spelled[i:i+2]...)
			i += 2
		case !utf16.IsSurrogate(unit):
			dst = append(dst, spelled[i:i+escape]...)
			i += escape
		case utf16.DecodeRune(unit, unitAt(spelled, i+escape)) != utf8.RuneError:
			dst = append(dst, spelled[i:i+2*escape]...)
			i += 2 * escape
		default:
			dst = append(dst, `\ufffd`...)
			i += escape
		}
	}
	return dst
}

// escape is how long an escape such as \u0041 is.
const escape = 6

// unitAt returns the unit of UTF-16 that is escaped at i, -1 if none is.
func unitAt(spelled []byte, i int) rune {
	if i+escape > len(spelled) || spelled[i] != '\\' || spelled[i+1] != 'u' {
		return -1
	}
	unit, err := strconv.ParseUint(string(spelled[i+2:i+escape]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(unit)
}
