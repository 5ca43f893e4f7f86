package sitecore

import "encoding/hex"

// guidText is how long a GUID is, with dashes and without braces.
const guidText = 36

// AppendGUID appends a GUID in the spelling that Sitecore gives most of them: in
// lower case, with dashes, without braces. It takes those that .NET can read with
// 32 digits: with dashes or without any, in braces or parentheses or without. ok
// is false for any other text, of which nothing is appended.
func AppendGUID(dst, text []byte) (out []byte, ok bool) {
	var id [16]byte
	if !parseGUID(&id, text) {
		return dst, false
	}
	for _, part := range [...][]byte{id[:4], id[4:6], id[6:8], id[8:10]} {
		dst = append(hex.AppendEncode(dst, part), '-')
	}
	return hex.AppendEncode(dst, id[10:]), true
}

// GUID is what [AppendGUID] makes of s.
func GUID(s string) (string, bool) {
	out, ok := AppendGUID(nil, []byte(s))
	return string(out), ok
}

// appendBraced appends a GUID in the spelling of Sitecore's own ids: in upper
// case, in braces.
func appendBraced(dst, text []byte) (out []byte, ok bool) {
	begin := len(dst)
	dst, ok = AppendGUID(append(dst, '{'), text)
	if !ok {
		return dst[:begin], false
	}
	for i, c := range dst[begin:] {
		if c >= 'a' && c <= 'f' {
			dst[begin+i] = c - 'a' + 'A'
		}
	}
	return append(dst, '}'), true
}

func parseGUID(id *[16]byte, text []byte) bool {
	if n := len(text); n == guidText+2 {
		if around := [2]byte{text[0], text[n-1]}; around != [2]byte{'{', '}'} && around != [2]byte{'(', ')'} {
			return false
		}
		text = text[1 : n-1]
	}
	var digits [2 * len(id)]byte
	switch len(text) {
	case len(digits):
		copy(digits[:], text)
	case guidText:
		if text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
			return false
		}
		at := copy(digits[:], text[:8])
		for _, part := range [...][]byte{text[9:13], text[14:18], text[19:23], text[24:]} {
			at += copy(digits[at:], part)
		}
	default:
		return false
	}
	_, err := hex.Decode(id[:], digits[:])
	return err == nil
}
