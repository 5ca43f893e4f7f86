package payload

import (
	"bytes"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/postrider/postrider/dispatcher/event"
)

// MaxXML bounds what is made of an event with so many bytes of data. JSON becomes
// about half as large again; only arrays of many small elements under a long name,
// and text of little but & and <, grow beyond. It is small for small events, for
// many attempts are made of those at once.
func MaxXML(data int) int { return 4*data + 4<<10 }

// ErrLarge says that an event would have more XML than [MaxXML].
var ErrLarge = errors.New("it would be very much larger as XML")

// appendXML appends elements for members of a JSON object. They are valid JSON
// without space between its parts, separated by commas, with or without one before
// the first. It makes of them what Newtonsoft's Json.NET makes:
//
//   - a member is an element of its name;
//   - an array is an element for each of its elements, and nothing when it is empty;
//     an array in an array is an element with elements of the same name;
//   - null is an empty element without an end tag, and an empty string one with;
//   - numbers and booleans are spelled as in JSON.
//
// Names that XML cannot carry are encoded as .NET does it, see [appendName].
// Characters that XML 1.0 cannot carry in text are written in the same way, such
// as _x0000_.
//
// It fails with [ErrLarge] when the elements would have more than limit bytes.
func appendXML(dst, members []byte, limit int) ([]byte, error) {
	w := xmlWriter{in: members, out: dst, limit: len(dst) + limit}
	for w.at < len(w.in) && !w.full {
		if w.in[w.at] == ',' {
			w.at++
		}
		w.member()
	}
	if w.full || len(w.out) > w.limit {
		return nil, ErrLarge
	}
	return w.out, nil
}

// mustXML is appendXML for what is known to be small.
func mustXML(members []byte) []byte {
	out, err := appendXML(nil, members, MaxXML(len(members)))
	if err != nil {
		panic(err)
	}
	return out
}

// An xmlWriter reads JSON once, from its beginning to its end.
type xmlWriter struct {
	in    []byte
	at    int // of in
	out   []byte
	limit int  // of out
	full  bool // out is too large: all is over
}

// member writes the member that begins here.
func (w *xmlWriter) member() {
	name := elementName(w.string())
	w.at++ // the colon
	if w.in[w.at] == '[' {
		w.array(name)
		return
	}
	w.value(name)
}

// array writes an element for each of the array that begins here.
func (w *xmlWriter) array(name []byte) {
	for w.at++; w.in[w.at] != ']' && !w.full; {
		w.value(name)
		if !w.full && w.in[w.at] == ',' {
			w.at++
		}
	}
	w.at++
}

// value writes the value that begins here as one element.
func (w *xmlWriter) value(name []byte) {
	if w.full = w.full || len(w.out)+2*len(name) > w.limit; w.full {
		return
	}
	w.out = append(append(w.out, '<'), name...)
	if w.in[w.at] == 'n' {
		w.at += len("null")
		w.out = append(w.out, " />"...)
		return
	}
	w.out = append(w.out, '>')
	switch w.in[w.at] {
	case '"':
		w.out = appendText(w.out, w.string())
	case '{':
		w.object()
	case '[':
		w.array(name)
	default:
		begin := w.at
		for w.at < len(w.in) && !isPunctuation(w.in[w.at]) {
			w.at++
		}
		w.out = append(w.out, w.in[begin:w.at]...)
	}
	w.out = append(append(append(w.out, "</"...), name...), '>')
}

// object writes the members of the object that begins here.
func (w *xmlWriter) object() {
	for w.at++; w.in[w.at] != '}' && !w.full; {
		w.member()
		if !w.full && w.in[w.at] == ',' {
			w.at++
		}
	}
	w.at++
}

// string goes past the string that begins here, and returns what it says.
func (w *xmlWriter) string() []byte {
	begin := w.at
	w.at = event.StringEnd(w.in, begin)
	spelled := w.in[begin:w.at]
	if bytes.IndexByte(spelled, '\\') >= 0 {
		return event.AppendText(nil, spelled)
	}
	return spelled[1 : len(spelled)-1]
}

func isPunctuation(c byte) bool { return c == ',' || c == '}' || c == ']' }

// appendText appends text as the content of an element. A carriage return is
// written as a reference, for a parser would make a line feed of it.
func appendText(dst, text []byte) []byte {
	plain := 0 // where what stands for itself begins
	for i := 0; i < len(text); {
		r, size := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(text[i:])
		}
		if !isOrdinary(r) {
			dst = append(dst, text[plain:i]...)
			dst = appendSpecial(dst, r)
			plain = i + size
		}
		i += size
	}
	return append(dst, text[plain:]...)
}

// isOrdinary reports whether a character stands for itself in text.
func isOrdinary(r rune) bool {
	switch {
	case r == '&', r == '<', r == '>':
		return false
	case r < ' ':
		return r == '\t' || r == '\n'
	}
	return r != 0xFFFE && r != 0xFFFF
}

func appendSpecial(dst []byte, r rune) []byte {
	switch r {
	case '&':
		return append(dst, "&amp;"...)
	case '<':
		return append(dst, "&lt;"...)
	case '>':
		return append(dst, "&gt;"...)
	case '\r':
		return append(dst, "&#xD;"...)
	}
	return appendCode(dst, r)
}

// appendCode appends a character that XML cannot carry as .NET writes it in names.
func appendCode(dst []byte, r rune) []byte {
	if r > 0xFFFF {
		return fmt.Appendf(dst, "_x%08X_", r)
	}
	return fmt.Appendf(dst, "_x%04X_", r)
}

// elementName makes the name of an element. It returns name itself if it is one.
func elementName(name []byte) []byte {
	for i, c := range name {
		if !isPlainName(c, i == 0) || c == '_' && encodes(name[i:]) {
			return appendName(nil, name)
		}
	}
	if len(name) == 0 {
		return []byte("_x0000_") // what .NET cannot do at all
	}
	return name
}

// isPlainName reports whether an ASCII character may be in a name, or begin one.
func isPlainName(c byte, first bool) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_':
		return true
	case c >= '0' && c <= '9', c == '-', c == '.':
		return !first
	}
	return false
}

// appendName appends a name as XmlConvert.EncodeLocalName of .NET writes it: what
// a name cannot have becomes the hexadecimal number of its character, as in
// _x0020_ for a space, and so does an underscore that would read as the beginning
// of that.
func appendName(dst, name []byte) []byte {
	for i := 0; i < len(name); {
		r, size := utf8.DecodeRune(name[i:])
		switch {
		case r == '_' && encodes(name[i:]):
			dst = appendCode(dst, r)
		case r < utf8.RuneSelf && isPlainName(byte(r), i == 0), unicode.Is(letters, r):
			dst = append(dst, name[i:i+size]...)
		default:
			dst = appendCode(dst, r)
		}
		i += size
	}
	return dst
}

// encodes reports whether s begins like an encoded character: _xHHHH_ or _xHHHHHHHH_.
func encodes(s []byte) bool {
	for _, digits := range [...]int{4, 8} {
		if len(s) >= digits+3 && (bytes.HasPrefix(s, []byte("_x")) || bytes.HasPrefix(s, []byte("_X"))) && s[digits+2] == '_' && areHex(s[2:digits+2]) {
			return true
		}
	}
	return false
}

func areHex(s []byte) bool {
	return len(bytes.Trim(s, "0123456789abcdefABCDEF")) == 0
}

// letters are those beyond ASCII that every parser takes in names: what the first
// and the later editions of XML 1.0 agree on, of the scripts that are in use most.
// The others are encoded, which loses nothing.
var letters = &unicode.RangeTable{R16: []unicode.Range16{
	{Lo: 0x00C0, Hi: 0x00D6, Stride: 1}, {Lo: 0x00D8, Hi: 0x00F6, Stride: 1}, {Lo: 0x00F8, Hi: 0x0131, Stride: 1}, // Latin
	{Lo: 0x0134, Hi: 0x013E, Stride: 1}, {Lo: 0x0141, Hi: 0x0148, Stride: 1}, {Lo: 0x014A, Hi: 0x017E, Stride: 1},
	{Lo: 0x0391, Hi: 0x03A1, Stride: 1}, {Lo: 0x03A3, Hi: 0x03CE, Stride: 1}, // Greek
	{Lo: 0x0401, Hi: 0x040C, Stride: 1}, {Lo: 0x040E, Hi: 0x044F, Stride: 1}, {Lo: 0x0451, Hi: 0x045C, Stride: 1}, // Cyrillic
	{Lo: 0x05D0, Hi: 0x05EA, Stride: 1},                                      // Hebrew
	{Lo: 0x0621, Hi: 0x063A, Stride: 1}, {Lo: 0x0641, Hi: 0x064A, Stride: 1}, // Arabic
	{Lo: 0x3041, Hi: 0x3094, Stride: 1}, {Lo: 0x30A1, Hi: 0x30FA, Stride: 1}, // Kana
	{Lo: 0x4E00, Hi: 0x9FA5, Stride: 1}, // Han
	{Lo: 0xAC00, Hi: 0xD7A3, Stride: 1}, // Hangul
}, LatinOffset: 2}
