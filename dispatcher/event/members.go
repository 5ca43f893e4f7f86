package event

import (
	"bytes"
	"encoding/json"
	"iter"
)

// The functions of this file walk JSON that is known to be valid, see
// [ValidJSON], and panic or mislead on other text. They exist because data is
// passed on as it came: nothing inside of it needs to be decoded, only its end
// must be found.

// Members yields the names and values of an object in valid JSON, as they are
// spelled: names with their quotes, values without space around them.
func Members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for i := skipSpace(object, skipSpace(object, 0)+1); object[i] != '}'; {
			nameEnd := valueEnd(object, i)
			start := skipSpace(object, skipSpace(object, nameEnd)+1)
			end := valueEnd(object, start)
			if !yield(object[i:nameEnd], object[start:end:end]) {
				return
			}
			i = nextItem(object, end)
		}
	}
}

// Elements yields the elements of an array in valid JSON, as they are spelled.
func Elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := skipSpace(array, skipSpace(array, 0)+1); array[i] != ']'; {
			end := valueEnd(array, i)
			if !yield(array[i:end:end]) {
				return
			}
			i = nextItem(array, end)
		}
	}
}

// opens reports whether a text is an object, with '{', or an array, with '['.
func opens(text []byte, with byte) bool { return text[skipSpace(text, 0)] == with }

// nextItem returns where the item after the one that ends at i begins, or the
// end of the object or array.
func nextItem(b []byte, i int) int {
	if i = skipSpace(b, i); b[i] == ',' {
		i = skipSpace(b, i+1)
	}
	return i
}

func skipSpace(b []byte, i int) int {
	for b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r' {
		i++
	}
	return i
}

// valueEnd returns the position after the value that begins at i.
func valueEnd(b []byte, i int) int {
	switch b[i] {
	case '"':
		return StringEnd(b, i)
	case '{', '[':
		for depth := 0; ; i++ {
			switch b[i] {
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			case '"':
				i = StringEnd(b, i) - 1
			}
		}
	default: // a number, true, false or null
		for i < len(b) && bytes.IndexByte([]byte(",]} \t\r\n"), b[i]) < 0 {
			i++
		}
		return i
	}
}

// StringEnd returns the position after the string of valid JSON that begins at i.
func StringEnd(b []byte, i int) int {
	for {
		i += 1 + bytes.IndexByte(b[i+1:], '"')
		backslashes := 0
		for b[i-1-backslashes] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 {
			return i + 1
		}
	}
}

// AppendText appends what a string in valid JSON says, decoded. Half of a
// surrogate pair becomes U+FFFD.
func AppendText(dst, value []byte) []byte {
	var few [64]byte
	return append(dst, unescape(few[:0], value[1:len(value)-1])...)
}

// unquote decodes a string; ok is false for every other value.
func unquote(value []byte) (s string, ok bool) {
	if value[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), true
	}
	err := json.Unmarshal(value, &s)
	return s, err == nil
}
