package event

import (
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxNamed bounds the text of a value that is decoded because it is named, in bytes.
const maxNamed = 4096

// Names say which values of a JSON text are wanted: members of objects by name,
// elements of arrays by number. The zero Names want nothing but the text itself.
type Names struct {
	members  map[string]*Names
	elements map[int]*Names
}

// A Part is what is known of an object or an array, or of a value of more than
// 4 KiB: the values in it that were named, if they are there.
type Part struct {
	Members  map[string]any
	Elements map[int]any
}

// Add wants the value at the end of a path too. Each step of it is a string, for
// a member, or an int, for an element.
func (n *Names) Add(path []any) {
	for _, step := range path {
		switch s := step.(type) {
		case string:
			n = entered(&n.members, s)
		case int:
			n = entered(&n.elements, s)
		}
	}
}

func entered[K comparable](names *map[K]*Names, key K) *Names {
	n := (*names)[key]
	if n == nil {
		if *names == nil {
			*names = map[K]*Names{}
		}
		n = &Names{}
		(*names)[key] = n
	}
	return n
}

// Read decodes what n wants of a JSON text, in one pass that skips the rest: it
// takes a few nanoseconds for a byte, whatever the text holds. The value is a
// string, float64, bool, nil or [*Part]. It reports false when the text is no JSON.
func (n *Names) Read(text []byte) (any, bool) {
	if !ValidJSON(text) {
		return nil, false
	}
	value, _ := n.read(text, skipSpace(text, 0))
	return value, true
}

// read decodes the value that begins at i, and returns the position after it.
func (n *Names) read(b []byte, i int) (any, int) {
	switch {
	case b[i] == '{' && n.members != nil:
		return n.readObject(b, skipSpace(b, i+1))
	case b[i] == '[' && n.elements != nil:
		return n.readArray(b, skipSpace(b, i+1))
	case b[i] == '{', b[i] == '[':
		return &Part{}, valueEnd(b, i)
	}
	end := valueEnd(b, i)
	if end-i > maxNamed {
		return &Part{}, end
	}
	if s, ok := unquote(b[i:end]); ok {
		return s, end
	}
	var value any
	if json.Unmarshal(b[i:end], &value) != nil {
		return &Part{}, end // a number that is too large
	}
	return value, end
}

// readObject reads an object from its first member on. Of members with one name
// the last counts, as in encoding/json.
func (n *Names) readObject(b []byte, i int) (*Part, int) {
	p := &Part{Members: map[string]any{}}
	var few [64]byte
	for b[i] != '}' {
		end := StringEnd(b, i)
		name := unescape(few[:0], b[i+1:end-1])
		i = skipSpace(b, skipSpace(b, end)+1)
		if m := n.members[string(name)]; m != nil {
			p.Members[string(name)], i = m.read(b, i)
		} else {
			i = valueEnd(b, i)
		}
		i = nextItem(b, i)
	}
	return p, i + 1
}

// readArray reads an array from its first element on.
func (n *Names) readArray(b []byte, i int) (*Part, int) {
	p := &Part{Elements: map[int]any{}}
	for at := 0; b[i] != ']'; at++ {
		if m := n.elements[at]; m != nil {
			p.Elements[at], i = m.read(b, i)
		} else {
			i = valueEnd(b, i)
		}
		i = nextItem(b, i)
	}
	return p, i + 1
}

// unescape returns what is between the quotes of a valid string, decoded. It
// appends to dst, if there is something to decode: an object may have many names.
func unescape(dst, s []byte) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		dst, s = append(dst, s[:i]...), s[i:]
		var n int
		if dst, n = unescapeOne(dst, s); n == len(s) {
			return dst
		}
		s, i = s[n:], -1
	}
	if len(dst) == 0 {
		return s
	}
	return append(dst, s...)
}

// unescapeOne decodes the escape that s begins with, and returns its length.
func unescapeOne(dst, s []byte) ([]byte, int) {
	switch c := s[1]; c {
	case 'b':
		return append(dst, '\b'), 2
	case 'f':
		return append(dst, '\f'), 2
	case 'n':
		return append(dst, '\n'), 2
	case 'r':
		return append(dst, '\r'), 2
	case 't':
		return append(dst, '\t'), 2
	case 'u':
		r := hex4(s)
		if !utf16.IsSurrogate(r) {
			return utf8.AppendRune(dst, r), 6
		}
		if len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
			if r := utf16.DecodeRune(r, hex4(s[6:])); r != utf8.RuneError {
				return utf8.AppendRune(dst, r), 12
			}
		}
		return utf8.AppendRune(dst, utf8.RuneError), 6
	default: // quote, backslash, slash
		return append(dst, c), 2
	}
}

// hex4 is the code unit of \uXXXX.
func hex4(s []byte) rune {
	n, _ := strconv.ParseUint(string(s[2:6]), 16, 16) // in valid JSON these are digits
	return rune(n)
}
