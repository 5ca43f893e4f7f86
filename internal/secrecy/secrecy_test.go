package secrecy_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"testing"

	"github.com/postrider/postrider/internal/secrecy"
)

const secret = `pass"wörd/+1234`

// quiet is what a type that keeps a secret must look like.
type quiet struct{ reveal func() string }

func (quiet) String() string               { return "[redacted]" }
func (quiet) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, "[redacted]") } // fmt offers no way to report a failed write
func (quiet) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// wire keeps its secret from fmt only.
type wire string

func (wire) String() string             { return "[redacted]" }
func (wire) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") } // fmt offers no way to report a failed write

// hidden redacts itself and keeps the secret behind a pointer. That is not
// enough: a verb that does not fit makes fmt follow a pointer in an unexported
// field.
type hidden struct{ b *[]byte }

func (hidden) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") } // fmt offers no way to report a failed write

// failures counts instead of failing.
type failures struct {
	testing.TB
	n int
}

func (*failures) Helper()                 {}
func (f *failures) Errorf(string, ...any) { f.n++ }

func TestASecretIsFoundInEverySpelling(t *testing.T) {
	for name, shown := range map[string]any{
		"a string":                   "token=" + secret + "!",
		"bytes":                      []byte(secret),
		"an error":                   errors.New("cannot use " + secret),
		"a wrapped error":            fmt.Errorf("outer: %w", errors.New(secret)),
		"a struct":                   struct{ A, B string }{"a", secret},
		"a map key":                  map[string]int{secret: 1},
		"a header of basic":          "Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+secret)),
		"base64 after one byte":      base64.StdEncoding.EncodeToString([]byte("1" + secret + "tail")),
		"base64 after two bytes":     base64.RawURLEncoding.EncodeToString([]byte("12" + secret + "tail")),
		"base64 after three bytes":   base64.URLEncoding.EncodeToString([]byte("123" + secret + "tail")),
		"hexadecimal":                hex.EncodeToString([]byte("x" + secret)),
		"a query":                    "https://example.com/?k=" + url.QueryEscape(secret),
		"a path":                     "https://example.com/" + url.PathEscape(secret),
		"a quoted string":            fmt.Sprintf("%q", secret),
		"printed bytes":              fmt.Sprintf("%v", []byte(secret)),
		"printed bytes in Go syntax": fmt.Sprintf("%#v", []byte(secret)),
	} {
		t.Run(name, func(t *testing.T) {
			f := &failures{TB: t}
			secrecy.AssertNotPrinted(f, secret, map[string]any{"output": shown})
			if f.n != 1 {
				t.Errorf("the secret was found %d times, want once", f.n)
			}
		})
	}
}

func TestWhatDoesNotShowTheSecretPasses(t *testing.T) {
	secrecy.AssertNo(t, secret, map[string]any{
		"a quiet type": quiet{func() string { return secret }},
		"nothing":      nil,
		"a function":   func() string { return secret },
		"another text": "pass, word, 1234",
	})
}

func TestOnlyTheFullSearchLooksIntoJSON(t *testing.T) {
	outputs := map[string]any{"wire": struct{ Password wire }{secret}}
	secrecy.AssertNotPrinted(t, secret, outputs)

	f := &failures{TB: t}
	secrecy.AssertNo(f, secret, outputs)
	if f.n != 1 {
		t.Errorf("JSON with the secret was found %d times, want once", f.n)
	}
}

func TestTheFullSearchLooksIntoUnexportedFields(t *testing.T) {
	f := &failures{TB: t}
	secrecy.AssertNo(f, secret, map[string]any{
		"a string type":    wire(secret),
		"behind a pointer": hidden{new([]byte(secret))},
	})
	if f.n != 2 {
		t.Errorf("the secret was found in %d of 2 outputs", f.n)
	}
}

func FuzzSpellings(f *testing.F) {
	f.Add(secret, "user:", "tail")
	f.Add("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "", "x")
	f.Fuzz(func(t *testing.T, secret, before, after string) {
		if len(secret) < 8 {
			return // shorter than a secret may be
		}
		f := &failures{TB: t}
		secrecy.AssertNotPrinted(f, secret, map[string]any{
			"base64 for URLs": base64.RawURLEncoding.EncodeToString([]byte(before + secret + after)),
			"base64":          base64.StdEncoding.EncodeToString([]byte(before + secret + after)),
			"hex":             hex.EncodeToString([]byte(before + secret + after)),
			"plain":           before + secret + after,
		})
		if f.n != 4 {
			t.Errorf("the secret was found in %d of 4 outputs", f.n)
		}
	})
}
