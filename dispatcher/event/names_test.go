package event_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/event"
)

func TestWhatIsNamedIsDecodedAndNothingElse(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		path       []any
		want       any
	}{
		{"a member", `{"b":{"id":2},"a":{"x":[1,{"id":3}],"id":"one","y":"\"}"}}`, []any{"a", "id"}, "one"},
		{"the text itself", ` "a" `, nil, "a"},
		{"a number", `{"a":-1.5e1}`, []any{"a"}, -15.0},
		{"a bool", `{"a": true , "b":1}`, []any{"a"}, true},
		{"an element", `{"a":[{"id":1}, [2] , {"id" : 3} ]}`, []any{"a", 2, "id"}, 3.0},
		{"of two with one name the last", `{"a":{"id":1},"a":{"x":1},"b":2}`, []any{"a", "id"}, nil},
		{"a name that is escaped", `{"\u0061\ud83d\ude00\n\/":"x"}`, []any{"a😀\n/"}, "x"},
		{"a name with half a pair", `{"\ud83d":"x"}`, []any{"\uFFFD"}, "x"},
		{"a member of an array", `[{"a":1}]`, []any{"a"}, nil},
		{"an element of an object", `{"0":1}`, []any{0}, nil},
		{"an element too many", `[1,2]`, []any{2}, nil},
		{"an empty object", `{ }`, []any{"a"}, nil},
		{"an object", `{"a":{"b":1}}`, []any{"a"}, &event.Part{}},
		{"a large text", `{"a":"` + strings.Repeat("x", 5000) + `"}`, []any{"a"}, &event.Part{}},
		{"a number that is too large", `{"a":1e999}`, []any{"a"}, &event.Part{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var n event.Names
			n.Add(tt.path)
			got, ok := n.Read([]byte(tt.text))
			if got = at(got, tt.path); !ok || !cmp.Equal(got, tt.want) {
				t.Errorf("it is %#v, %t", got, ok)
			}
		})
	}
}

// at is the value at the end of the path, nil when there is none.
func at(value any, path []any) any {
	for _, step := range path {
		p, ok := value.(*event.Part)
		if !ok {
			return nil
		}
		switch s := step.(type) {
		case string:
			value = p.Members[s]
		case int:
			value = p.Elements[s]
		}
	}
	return value
}

func FuzzNamesReadWhatAParserDoes(f *testing.F) {
	for _, text := range []string{
		`{"a":{"b":[1,"x"]}}`, `{"\u0061":{"b":1},"a":2}`, `{"a":{"b":[{},[],null,true]}}`, ` [ ] `, `{"a":1e999}`, `{"a":{"b":"\ud800\u0000"}}`, `{"\\":1,"a\n":2,"a":{}}`,
	} {
		f.Add(text, "a", "b", 1)
	}
	f.Fuzz(func(t *testing.T, text, first, second string, third int) {
		path := []any{first, second, third}
		var n event.Names
		n.Add(path)
		n.Add([]any{second})
		got, ok := n.Read([]byte(text))
		var parsed any
		if event.ValidJSON([]byte(text)) != ok {
			t.Fatalf("it is JSON: %t", ok)
		}
		if !ok || json.Unmarshal([]byte(text), &parsed) != nil {
			return
		}
		for i := range path {
			value, want := at(got, path[:i]), walk(parsed, path[:i])
			if _, part := value.(*event.Part); part {
				continue
			}
			if !cmp.Equal(value, want) {
				t.Errorf("at %q it is %#v, a parser says %#v", path[:i], value, want)
			}
		}
	})
}

func walk(value any, path []any) any {
	for _, step := range path {
		switch s := step.(type) {
		case string:
			object, _ := value.(map[string]any)
			value = object[s]
		case int:
			array, _ := value.([]any)
			if value = nil; s >= 0 && s < len(array) {
				value = array[s]
			}
		}
	}
	return value
}

// hostile are texts of a megabyte that take long to parse.
func hostile() map[string][]byte {
	const size = 1 << 20
	texts := map[string][]byte{}
	for name, item := range map[string]string{"arrays": `[],`, "objects": `{"a":0},`, "numbers": `1,`} {
		texts[name] = []byte(`{"a":[` + strings.Repeat(item, size/len(item)) + `1],"id":1}`)
	}
	var names strings.Builder
	for i := 0; names.Len() < size; i++ {
		fmt.Fprintf(&names, `"\u0061%x":0,`, i)
	}
	texts["escaped names"] = []byte(`{` + names.String() + `"id":1}`)
	return texts
}

func BenchmarkNamesOfAHostileText(b *testing.B) {
	for name, text := range hostile() {
		b.Run(name, func(b *testing.B) {
			var n event.Names
			n.Add([]any{"id"})
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := n.Read(text); !ok {
					b.Fatal("it is no JSON")
				}
			}
		})
	}
}
