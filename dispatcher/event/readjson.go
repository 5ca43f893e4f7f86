package event

import (
	"bytes"
	"encoding/json"
	"iter"
)

// The functions of this file walk JSON that is known to be valid, see
// checkJSON. They exist because an event's data is passed on as it came:
// nothing inside it needs to be decoded, only its end must be found.

// members yields the names and values of a JSON object, as they are spelled.
func members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for i := space(object, 1); object[i] != '}'; {
			nameEnd := end(object, i)
			colon := space(object, nameEnd)
			valueStart := space(object, colon+1)
			valueEnd := end(object, valueStart)
			if !yield(object[i:nameEnd], object[valueStart:valueEnd:valueEnd]) {
				return
			}
			if i = space(object, valueEnd); object[i] == ',' {
				i = space(object, i+1)
			}
		}
	}
}

// elements yields the elements of a JSON array, as they are spelled.
func elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := space(array, 1); array[i] != ']'; {
			stop := end(array, i)
			if !yield(array[i:stop:stop]) {
				return
			}
			if i = space(array, stop); array[i] == ',' {
				i = space(array, i+1)
			}
		}
	}
}

// space returns the first position from i on that is not white space.
func space(b []byte, i int) int {
	for b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r' {
		i++
	}
	return i
}

// end returns the position after the value that starts at i.
func end(b []byte, i int) int {
	switch b[i] {
	case '"':
		return stringEnd(b, i)
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
				i = stringEnd(b, i) - 1
			}
		}
	default:
		for i < len(b) && bytes.IndexByte([]byte(",]} \t\r\n"), b[i]) < 0 {
			i++
		}
		return i
	}
}

// stringEnd returns the position after the string that starts at i.
func stringEnd(b []byte, i int) int {
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

// unquote decodes a JSON string; ok is false for every other value.
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
