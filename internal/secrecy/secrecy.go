// Package secrecy lets a test prove that a secret does not leak: not in an
// error, not through fmt or slog, not in JSON, and not in another spelling.
package secrecy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
)

// minSecret keeps a search from finding a short secret by accident.
const minSecret = 8

// AssertNo fails t for each of the outputs in which secret can be found. An
// output is anything that may be shown: a string, a []byte, an error or any
// other value. It is printed with every verb of fmt, logged by both handlers of
// slog and marshalled as JSON, on its own and inside other values, and searched
// for secret as it is and in the spellings of [Spellings].
func AssertNo(tb testing.TB, secret string, outputs map[string]any) {
	tb.Helper()
	everywhere := append(places(), unexported)
	assert(tb, secret, outputs, everywhere, append(printed(), inJSON, inJSONLog))
}

// AssertNotPrinted is [AssertNo] for a string type whose JSON carries the
// secret on purpose, because that is the form that travels. It leaves out JSON,
// and unexported fields, in which no string type can defend itself.
func AssertNotPrinted(tb testing.TB, secret string, outputs map[string]any) {
	tb.Helper()
	assert(tb, secret, outputs, places(), printed())
}

func assert(tb testing.TB, secret string, outputs map[string]any, in []place, ways []way) {
	tb.Helper()
	if len(secret) < minSecret {
		tb.Fatalf("a secret of %d bytes may be found by accident; use at least %d", len(secret), minSecret)
	}
	if len(outputs) == 0 {
		tb.Fatal("there is no output to search")
	}
	spellings := Spellings(secret)
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		if leak := find(outputs[name], spellings, in, ways); leak != "" {
			tb.Errorf("%s shows the secret %s", name, leak)
		}
	}
}

// find says how v shows the secret, or returns "".
func find(v any, spellings map[string]string, in []place, ways []way) string {
	for _, p := range in {
		held := p.hold(v)
		for _, w := range ways {
			text := w.show(held)
			for spelling, s := range spellings {
				if strings.Contains(text, s) {
					return fmt.Sprintf("%s, %s, by %s", spelling, p.name, w.name)
				}
			}
		}
	}
	return ""
}

// A place is one in which a program may keep a value.
type place struct {
	name string
	hold func(v any) any
}

func places() []place {
	return []place{
		{"on its own", func(v any) any { return v }},
		{"behind a pointer", func(v any) any { return &v }},
		{"in an exported field", func(v any) any { return struct{ V any }{v} }},
		{"in a slice", func(v any) any { return []any{v} }},
		{"in a map", func(v any) any { return map[string]any{"k": v} }},
		{"in a wrapping error", func(v any) any { return fmt.Errorf("wrapped: %w", asError(v)) }},
	}
}

// unexported is the treacherous place: there fmt calls no method of v.
var unexported = place{"in an unexported field", func(v any) any { return struct{ v any }{v} }}

func asError(v any) error {
	if err, ok := v.(error); ok {
		return err
	}
	return fmt.Errorf("%v", v)
}

// A way is one by which a value becomes text.
type way struct {
	name string
	show func(any) string
}

func printed() []way {
	ways := []way{{"slog text", func(v any) string {
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("shown", "v", v)
		return out.String()
	}}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%t", "%T"} {
		ways = append(ways, way{verb, func(v any) string { return fmt.Sprintf(verb, v) }})
	}
	return ways
}

var inJSON = way{"JSON", func(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		return err.Error() // it is an output, too
	}
	return string(out)
}}

var inJSONLog = way{"slog JSON", func(v any) string {
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("shown", "v", v)
	return out.String()
}}
