package secrecy

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Spellings are the texts that give secret away, by name: itself, escaped for
// Go, JSON and URLs, in hexadecimal, as fmt prints its bytes, and in base64,
// alone or as part of something longer.
func Spellings(secret string) map[string]string {
	b := []byte(secret)
	all := map[string]string{
		"as it is":            secret,
		"quoted for Go":       unquote(strconv.Quote(secret)),
		"quoted for JSON":     jsonText(secret),
		"escaped for a query": url.QueryEscape(secret),
		"escaped for a path":  url.PathEscape(secret),
		"in hexadecimal":      hex.EncodeToString(b),
		"in HEXADECIMAL":      strings.ToUpper(hex.EncodeToString(b)),
		"in spaced hex":       fmt.Sprintf("% x", b),
		"as decimal bytes":    unquote(fmt.Sprintf("%v", b)),
		"as bytes in Go":      strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", b), "[]byte{"), "}"),
	}
	for remainder := range 3 {
		all[fmt.Sprintf("in base64 after %d bytes", remainder)] = within(base64.StdEncoding, b, remainder)
		all[fmt.Sprintf("in base64 for URLs after %d bytes", remainder)] = within(base64.URLEncoding, b, remainder)
	}
	return all
}

// within returns the characters that b takes in the base64 of whatever has it
// at an offset that leaves the given remainder by 3, without the characters
// that it shares with its neighbours.
func within(enc *base64.Encoding, b []byte, remainder int) string {
	padded := append(make([]byte, remainder), b...)
	text := enc.EncodeToString(padded[:len(padded)/3*3])
	return text[(remainder*8+5)/6:]
}

func jsonText(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always marshals
	}
	return unquote(string(text))
}

// unquote drops the first and the last byte.
func unquote(s string) string { return s[1 : len(s)-1] }
