package route_test

import (
	"strings"
	"testing"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/route"
)

// ordered is an entry with an ordering key.
func ordered(tb testing.TB, key string) *route.Entry {
	tb.Helper()
	rt := aRoute("cms/a", "*")
	rt.OrderingKey = key
	return build(tb, rt).Lookup("cms/a")
}

// The texts and their keys are FNV-1a of 64 bits, as its authors publish them:
// keys are kept in stores, so they never change.
const (
	keyOfNothing route.Key = 0xcbf29ce484222325
	keyOfA       route.Key = 0xaf63dc4c8601ec8c
	keyOfFoobar  route.Key = 0x85944171f73967e8
)

func TestAnOrderingKeyIsTheHashOfWhatItYields(t *testing.T) {
	keyOf := func(text string) route.Key {
		k, err := ordered(t, `event.subject`).Key(route.NewView(&event.Event{Subject: text}))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	for _, tt := range []struct {
		name, key, data string
		want            route.Key
	}{
		{"a text", `event.data.item.id`, `{"item":{"id":"a"}}`, keyOfA},
		{"a longer one", `event.data.a + event.data.b`, `{"a":"foo","b":"bar"}`, keyOfFoobar},
		{"a number is as its text", `event.data.id`, `{"id":42}`, keyOf("42")},
		{"numbers that are equal are one", `event.data.id`, `{"id":4.2e1}`, keyOf("42")},
		{"a whole number", `int(event.data.id)`, `{"id":42}`, keyOf("42")},
		{"a number without sign", `uint(event.data.id)`, `{"id":42}`, keyOf("42")},
		{"a fraction", `event.data.id`, `{"id":-0.5}`, keyOf("-0.5")},
		{"minus nothing", `event.data.id`, `{"id":-0.0}`, keyOf("0")},
		{"a number beyond whole ones", `event.data.id`, `{"id":1e300}`, keyOf("1e+300")},
		{"a bool", `event.data.id`, `{"id":true}`, keyOf("true")},
		{"an element of a list", `event.data.items[1].id`, `{"items":[{"id":"b"},{"id":"a"}]}`, keyOfA},
		{"a member by index", `event["data"]["item"].id`, `{"item":{"id":"a"}}`, keyOfA},
		{"a member that is there", `has(event.data.item) ? event.data.item.id : "b"`, `{"item":{"id":"a"}}`, keyOfA},
		{"a member that is not", `has(event.data.item.no) ? "b" : "a"`, `{"item":{"id":"a"}}`, keyOfA},
		{"data that is a text", `event.data`, `"a"`, keyOfA},
		{"an attribute", `event.type`, `{}`, keyOfA},
		{"the empty text", `event.data.id`, `{"id":""}`, keyOfNothing},
		{"null", `event.data.id`, `{"id":null}`, keyOfNothing},
		{"an attribute that is absent", `event.data.id`, `{}`, keyOfNothing},
		{"a parent that is absent", `event.data.item.id`, `{}`, keyOfNothing},
		{"no data", `event.data.item.id`, ``, keyOfNothing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ordered(t, tt.key).Key(route.NewView(&event.Event{Type: "a", Data: []byte(tt.data)}))
			if got != tt.want || err != nil {
				t.Errorf("it is %x (error: %v), want %x", got, err, tt.want)
			}
		})
	}
}

func TestAnOrderingKeyNamesWhatItLooksAt(t *testing.T) {
	for key, ok := range map[string]bool{
		`event.data.a.b[0]["c"] + "/" + event.extensions["e"]`: true,
		`string(event.time.getFullYear())`:                     true,
		`[1, 2].map(x, x * 2).size()`:                          true,
		`event.data[event.type]`:                               false,
		`event.data.a[event.data.n]`:                           false,
		`event.data.a[1.0]`:                                    false,
		`event[event.type]`:                                    false,
		`(event.type == "a" ? event.data.a : event.data.b).id`: false,
		`[event.data].map(d, d.id)[0]`:                         false,
		`event.data.a.filter(x, x == 1).size()`:                false,
		`event.data.exists(x, x == "a")`:                       false,
		`event.exists(x, x == "data")`:                         false,
		`"data" in event`:                                      false,
	} {
		if err := route.CheckOrderingKey(key); (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "written out") {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// Keys are in the store, so they must not change with the table.
func TestWhatOtherOrderingKeysNameChangesNone(t *testing.T) {
	const key, data = `type(event.data.a) == type("") || event.data.a == 1 ? "x" : "y"`, `{"a":{"id":1},"b":"c"}`
	alone, aloneErr := ordered(t, key).Key(route.NewView(&event.Event{Data: []byte(data)}))
	mine, others := aRoute("cms/mine", "*"), aRoute("cms/others", "*")
	mine.OrderingKey, others.OrderingKey = key, `event.data.a.id + event.data.b`
	r, view := build(t, mine, others), route.NewView(&event.Event{Data: []byte(data)})
	if _, err := r.Lookup("cms/others").Key(view); err == nil {
		t.Error("a number and a text can be added")
	}
	if k, err := r.Lookup("cms/mine").Key(view); k != alone || (err == nil) != (aloneErr == nil) {
		t.Errorf("it is %x (%v), and alone %x (%v)", k, err, alone, aloneErr)
	}
}

func TestARouteWithoutOrderingGivesNoKey(t *testing.T) {
	if k, err := ordered(t, "").Key(route.NewView(&event.Event{})); k != 0 || err != nil {
		t.Error(k, err)
	}
}

func TestAnOrderingKeyThatFailsKeepsTheOrderAndSaysWhy(t *testing.T) {
	for _, tt := range []struct{ name, key, data, want string }{
		{"a list", `event.data.id`, `{"id":["secret"]}`, "neither a string of up to 4 KiB nor a number nor a bool"},
		{"an object", `event.data`, `{"id":"secret"}`, "neither a string of up to 4 KiB nor a number nor a bool"},
		{"a conversion that fails", `int(event.data.id)`, `{"id":"secret"}`, "cannot be evaluated"},
		{"types that do not fit", `event.data.id + 1`, `{"id":"secret"}`, "cannot be evaluated"},
		{"a text that is too long", `event.data.id`, `{"id":"` + strings.Repeat("secret", 1000) + `"}`, "neither a string of up to 4 KiB"},
		{"the size of a list", `size(event.data.id)`, `{"id":["secret"]}`, "cannot be evaluated"},
		{"a list as another", `event.data.id == ["secret"]`, `{"id":["secret"]}`, "cannot be evaluated"},
		{"too much work", `[` + strings.Repeat(`1,`, 40) + `1].filter(a, [` + strings.Repeat(`1,`, 40) + `1].exists(b, b != a)).size()`, `{}`, "costs more than 1000 units"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ordered(t, tt.key).Key(route.NewView(&event.Event{Data: []byte(tt.data)}))
			if got != keyOfNothing || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("it is %x (error: %v), want an error with %q", got, err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error quotes the event: %v", err)
			}
		})
	}
}

func TestRoutesWithTheSameOrderingKeyShareOneEvaluation(t *testing.T) {
	a, b := aRoute("cms/a", "*"), aRoute("cms/b", "*")
	a.OrderingKey, b.OrderingKey = `event.data.n`, `event.data.n`
	r := build(t, a, b)
	view := route.NewView(&event.Event{Data: []byte(`{"n":1}`)})
	first, err := r.Lookup("cms/a").Key(view)
	if err != nil {
		t.Fatal(err)
	}
	cost := view.Cost()
	if again, err := r.Lookup("cms/b").Key(view); again != first || err != nil || view.Cost() != cost || cost == 0 {
		t.Errorf("it is %x and then %x (%v), for %d and then %d", first, again, err, cost, view.Cost())
	}
}

func TestTheSameTextMayBeAConditionAndAnOrderingKey(t *testing.T) {
	rt := aRoute("cms/a", "*")
	rt.Condition, rt.OrderingKey = `event.data.urgent`, `event.data.urgent`
	e, view := build(t, rt).Lookup("cms/a"), route.NewView(&event.Event{Data: []byte(`{"urgent":true}`)})
	ok, err := e.Qualifies(view)
	k, keyErr := e.Key(view)
	if !ok || err != nil || k == 0 || keyErr != nil {
		t.Error(ok, err, k, keyErr)
	}
}

func TestParsingIsToldApartFromWhatExpressionsCost(t *testing.T) {
	view := route.NewView(&event.Event{Data: []byte(`{"text":"` + strings.Repeat("x", 100_000) + `","id":1}`)})
	if _, err := ordered(t, `event.data.id`).Key(view); err != nil {
		t.Fatal(err)
	}
	if view.Cost() > 100 || view.Parsing() < 10_000 {
		t.Errorf("the key cost %d, and the parsing %d", view.Cost(), view.Parsing())
	}
}

// All events wait while a key is evaluated, so it must not take what parsing takes.
func TestAnOrderingKeyDecodesNothingButWhatItNames(t *testing.T) {
	e, ev := ordered(t, `event.data.id`), &event.Event{Data: []byte(`{"other":[` + strings.Repeat(`{"a":[]},`, 100_000) + `0],"id":"a"}`)}
	if n := testing.AllocsPerRun(3, func() {
		if k, err := e.Key(route.NewView(ev)); k != keyOfA || err != nil {
			t.Error(k, err)
		}
	}); n > 100 {
		t.Errorf("it took %.0f allocations", n)
	}
}

func TestAnOrderingKeyThatLooksAtAttributesAloneReadsNoData(t *testing.T) {
	view := route.NewView(&event.Event{Subject: "a", Data: []byte(`{"id":"foobar"}`)})
	a, b := aRoute("cms/a", "*"), aRoute("cms/b", "*")
	a.OrderingKey, b.OrderingKey = `event.subject`, `event.data.id`
	r := build(t, a, b)
	if k, err := r.Lookup("cms/a").Key(view); k != keyOfA || err != nil || view.Parsing() != 0 {
		t.Errorf("it is %x (%v), and %d went into parsing", k, err, view.Parsing())
	}
	if k, err := r.Lookup("cms/b").Key(view); k != keyOfFoobar || err != nil {
		t.Errorf("the other is %x (%v)", k, err)
	}
}

func TestARouteThatSelectsNothingStillChecksWhatWaits(t *testing.T) {
	rt := aRoute("cms/a")
	rt.Condition = `event.data.n == 1`
	if ok, err := build(t, rt).Lookup("cms/a").Qualifies(route.NewView(&event.Event{Data: []byte(`{"n":2}`)})); ok || err != nil {
		t.Error(ok, err)
	}
}

func FuzzOrderingKeysNeverPanic(f *testing.F) {
	for _, key := range []string{`event.data.a`, `event.type`, `string(event.time)`, `[1,2].map(x, x*2).size()`, `event.data.a == 1 ? "x" : "y"`, `event`} {
		f.Add(key, `{"a":[1,{"b":null}]}`)
	}
	f.Fuzz(func(t *testing.T, key, data string) {
		rt := aRoute("cms/a", "*")
		rt.OrderingKey = key
		r, err := route.Build(route.Table{Routes: []route.Route{rt}})
		if err != nil || key == "" {
			return
		}
		if k, _ := r.Lookup("cms/a").Key(route.NewView(&event.Event{Data: []byte(data)})); k == 0 {
			t.Error("an ordered route has no key")
		}
	})
}

func BenchmarkKey(b *testing.B) {
	entry := ordered(b, `event.data.Item.ID`)
	e := &event.Event{Type: "item:added", Data: []byte(`{"Item":{"ID":"0f8fad5b-d9cb-469f-a165-70867728950e","Name":"x"}}`)}
	b.ReportAllocs()
	for b.Loop() {
		if k, err := entry.Key(route.NewView(e)); k == 0 || err != nil {
			b.Fatal(k, err)
		}
	}
}
