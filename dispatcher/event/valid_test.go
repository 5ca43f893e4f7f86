package event_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/postrider/postrider/dispatcher/event"
)

var texts = []string{
	``, ` `, `{}`, `[]`, ` [ ] `, `{"a":{}}`, `[[],[]]`, `{"a":1,"b":[true,false,null]}`, `"a\"b\\"`, `"\u00e9\ud800"`, `"\u00g0"`, `"\x"`, "\"\n\"", `"`,
	`0`, `-0`, `01`, `-`, `1.`, `.1`, `1.5e+10`, `1e`, `1E-`, `+1`, `tru`, `nul`, `truefalse`, `[1,]`, `[,1]`, `{,}`, `{"a"}`, `{"a":}`, `{"a":1,}`,
	`{1:2}`, `[}`, `{]`, `]`, `1 2`, `[1 2]`, `{"a" : 1 , "b" : 2 }`, "\xff", "\"\xff\"", "\xef\xbb\xbf{}", "\"\x7f\u0080\"", `{"a":1}}`, `[[[[{"a":[{}]}]]]]`,
}

// agrees checks that ValidJSON says what encoding/json says.
func agrees(t *testing.T, text []byte) {
	t.Helper()
	if got, want := event.ValidJSON(text), utf8.Valid(text) && json.Valid(text); got != want {
		t.Errorf("%.100q is valid: %v, want %v", text, got, want)
	}
}

func TestJSONIsValidWhenTheStandardLibrarySaysSo(t *testing.T) {
	for _, text := range texts {
		agrees(t, []byte(text))
		agrees(t, []byte("["+text+"]"))
		agrees(t, []byte(`{"a":`+text+` , "b":`+text+`}`))
	}
	for _, odd := range []string{`"`, `\`, `\"`, `\u00e9`, "\x00", "\x1f", " ", "\x7f", "\u0080", "é", "\U0001f600", "\xff", "!", "#", "[", "]"} {
		for before := range 18 {
			for _, after := range []int{0, 1, 7, 8, 9} {
				agrees(t, []byte(`"`+strings.Repeat("é", before/2)+strings.Repeat("x", before%2)+odd+strings.Repeat("x", after)+`"`))
				agrees(t, []byte(`"`+strings.Repeat("x", before)+odd+strings.Repeat("x", after)))
			}
		}
	}
	for _, depth := range []int{63, 64, 65, 9_999, 10_000, 10_001, 500_000} {
		agrees(t, []byte(strings.Repeat("[", depth)+strings.Repeat("]", depth)))
		agrees(t, []byte(strings.Repeat(`{"a":`, depth)+"1"+strings.Repeat("}", depth)))
	}
}

func FuzzJSONIsValidWhenTheStandardLibrarySaysSo(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) { agrees(t, text) })
}
