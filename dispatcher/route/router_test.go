package route_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/route"
)

// aRoute is complete; tests change what they are about.
func aRoute(id string, events ...string) route.Route {
	return route.Route{
		ID: id, Generation: 1, Events: events, URL: "https://receiver.example.com/hooks",
		Timeout: 10 * time.Second, Concurrency: 10,
		Retry: route.Retry{Backoff: []time.Duration{5 * time.Second}, MaxAge: time.Hour},
	}
}

func build(tb testing.TB, routes ...route.Route) *route.Router {
	tb.Helper()
	r, err := route.Build(route.Table{Routes: routes})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func ids(entries []*route.Entry) []string {
	var ids []string
	for _, e := range entries {
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	return ids
}

func TestMatch(t *testing.T) {
	r := build(t,
		aRoute("cms/exact", "item:added", "item:saved"),
		aRoute("cms/prefix", "item:*"),
		aRoute("cms/both", "item:added", "item:*", "*", "*added"),
		aRoute("cms/suffix", "*:added"),
		aRoute("cms/middle", "item:*:done"),
		aRoute("cms/all", "*"),
		aRoute("cms/never"),
		aRoute("shop/other", "item:added"),
	)
	for _, tt := range []struct {
		name, namespace, eventType string
		want                       []string
	}{
		{"exact names, globs and overlaps select a route once", "cms", "item:added", []string{"cms/all", "cms/both", "cms/exact", "cms/prefix", "cms/suffix"}},
		{"a star may stand for nothing", "cms", "item:", []string{"cms/all", "cms/both", "cms/prefix"}},
		{"a star in the middle wants both ends", "cms", "item:copy:done", []string{"cms/all", "cms/both", "cms/middle", "cms/prefix"}},
		{"the ends of a glob do not overlap", "cms", "item:done", []string{"cms/all", "cms/both", "cms/prefix"}},
		{"types are compared with case", "cms", "Item:Added", []string{"cms/all", "cms/both"}},
		{"a namespace sees only its own routes", "shop", "item:added", []string{"shop/other"}},
		{"an unknown namespace has none", "blog", "item:added", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, ids(r.Match(nil, tt.namespace, tt.eventType))); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
		})
	}
}

func TestWhatAnEventLacksIsTold(t *testing.T) {
	for _, tt := range []struct{ condition, data, want string }{
		{``, `{}`, ""},
		{`event.data.Item.Name == "a"`, `{"Item":{"Name":"b"}}`, ""},
		{`event.data.Item.Name == "a"`, `{"Item":{}}`, "no such key: Name"},
		{`event.data.Item.Name == "a"`, ``, "no such key: data"},
		{`event.data.l[1] == 1`, `{"l":[1]}`, "index out of bounds: 1"},
		{`event.data.n > 5`, `{"n":"a"}`, ""}, // a mistake, which Qualifies tells
	} {
		rt := aRoute("cms/a", "item:added")
		rt.Condition = tt.condition
		if got := build(t, rt).Lookup("cms/a").Lacks(route.NewView(&event.Event{Data: []byte(tt.data)})); got != tt.want {
			t.Errorf("%s of %s lacks %q, want %q", tt.condition, tt.data, got, tt.want)
		}
	}
}

func TestQualifies(t *testing.T) {
	for _, tt := range []struct {
		name, condition, data string
		want                  bool
		wantErr               string
	}{
		{"no condition", ``, `{}`, true, ""},
		{"a field that has the value", `event.data.Item.TemplateName == "Page"`, `{"Item":{"TemplateName":"Page"}}`, true, ""},
		{"a field that has another value", `event.data.Item.TemplateName == "Page"`, `{"Item":{"TemplateName":"Folder"}}`, false, ""},
		{"a field that is absent", `event.data.Item.TemplateName == "Page"`, `{}`, false, ""},
		{"a parent that is null", `event.data.Item.TemplateName == "Page"`, `{"Item":null}`, false, ""},
		{"a parent that is a list", `event.data.Item.TemplateName == "Page"`, `{"Item":[]}`, false, ""},
		{"data that is a list", `event.data.Item == "Page"`, `[]`, false, ""},
		{"an index beyond the end", `event.data.l[1] == 1`, `{"l":[1]}`, false, ""},
		{"no data at all", `event.data.Item == 1`, ``, false, ""},
		{"numbers are compared across types", `event.data.n == 7 && event.data.n > 6`, `{"n":7}`, true, ""},
		{"attributes", `event.type == "item:added" && event.source.startsWith("/cm") && event.extensions.tenant == "a"`, ``, true, ""},
		{"an absent extension", `event.extensions.other == "a"`, ``, false, ""},
		{"time", `event.time > timestamp("2026-01-01T00:00:00Z")`, ``, true, ""},
		{"types that do not fit", `event.data.n > 5`, `{"n":"secret"}`, false, "types that do not fit"},
		{"a conversion that fails quotes no value", `int(event.data.n) > 5`, `{"n":"secret"}`, false, "cannot be evaluated"},
		{"a regular expression", `event.data.n.matches("^se[a-c]ret$")`, `{"n":"secret"}`, true, ""},
		{"a regular expression over a long text", `event.data.n.matches("(a{0,5}){0,5}z")`, `{"n":"secret` + strings.Repeat("a", 5000) + `"}`, false, "at most 4096 bytes"},
		{"a search in a short list", `"b" in event.data.l && "l" in event.data`, `{"l":["a","b"]}`, true, ""},
		{"no bool", `event.data.n`, `{"n":7}`, false, "yields no bool"},
		{
			"a search in a long list", `8.0 in event.data.l`,
			`{"l":[` + strings.Repeat("1,", 30_000) + `8]}`, false, "costs more",
		},
		{
			"a long text made of others", `(event.data.n + event.data.n + event.data.n).size() > 0`,
			`{"n":"` + strings.Repeat("secret", 20_000) + `"}`, false, "costs more",
		},
		{
			"too much work", `event.data.l.all(a, event.data.l.all(b, event.data.l.all(c, a + b + c > 0.0)))`,
			`{"l":[` + strings.Repeat("1,", 99) + `1]}`, false, "costs more",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rt := aRoute("cms/a", "item:added")
			rt.Condition = tt.condition
			e := &event.Event{
				Namespace: "cms", ID: "1", Source: "/cm", Type: "item:added", Data: []byte(tt.data),
				Extensions: map[string]string{"tenant": "a"}, Time: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC),
			}
			got, err := build(t, rt).Lookup("cms/a").Qualifies(route.NewView(e))
			if got != tt.want {
				t.Errorf("it is %t, want %t (error: %v)", got, tt.want, err)
			}
			switch {
			case tt.wantErr == "" && err != nil:
				t.Error(err)
			case tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)):
				t.Errorf("the error is %v, want one with %q", err, tt.wantErr)
			case err != nil && strings.Contains(err.Error(), "secret"):
				t.Errorf("the error quotes the event: %v", err)
			}
		})
	}
}

func TestBuildRefuses(t *testing.T) {
	change := func(f func(*route.Route)) []route.Route {
		r := aRoute("cms/a", "item:added")
		f(&r)
		return []route.Route{r}
	}
	sitecore := func(f func(*route.Route)) []route.Route {
		return change(func(r *route.Route) {
			r.Format, r.Sitecore = route.FormatSitecore, &route.Sitecore{ItemID: "95398c44-f232-41a8-b947-8aefec4ce6eb", ItemName: "a"}
			f(r)
		})
	}
	for _, tt := range []struct {
		name   string
		routes []route.Route
		want   string
	}{
		{"an id without a namespace", change(func(r *route.Route) { r.ID = "a" }), "namespace/name"},
		{"a route that is there twice", []route.Route{aRoute("cms/a"), aRoute("cms/a")}, "twice"},
		{"a condition that is not CEL", change(func(r *route.Route) { r.Condition = "event.data ==" }), "Syntax error"},
		{"a condition on something unknown", change(func(r *route.Route) { r.Condition = "foo == 1" }), "undeclared reference to 'foo'"},
		{"a condition that is no bool", change(func(r *route.Route) { r.Condition = "1 + 1" }), "make it yield a bool"},
		{"a condition that is too long", change(func(r *route.Route) { r.Condition = strings.Repeat("!", 5000) }), "limit is 4096"},
		{"a regular expression that is not a literal", change(func(r *route.Route) { r.Condition = "event.type.matches(event.source)" }), "as a literal"},
		{"a regular expression that explodes", change(func(r *route.Route) { r.Condition = `event.type.matches("((a{0,9}){0,9}){0,9}")` }), "the limit is 500"},
		{"a regular expression that is none", change(func(r *route.Route) { r.Condition = `event.type.matches("(")` }), "missing closing"},
		{"a function that makes huge texts", change(func(r *route.Route) { r.Condition = `event.type.replace("a", "b") == "b"` }), "undeclared reference"},
		{"an ordering key that is not CEL", change(func(r *route.Route) { r.OrderingKey = "event.data." }), "orderingKey: 1:12: Syntax error"},
		{"an ordering key that is a list", change(func(r *route.Route) { r.OrderingKey = "[event.type]" }), "make it yield a string"},
		{"an ordering key that is a time", change(func(r *route.Route) { r.OrderingKey = "timestamp(event.data.at)" }), "with string()"},
		{"an ordering key that is too long", change(func(r *route.Route) { r.OrderingKey = strings.Repeat("!", 1025) }), "limit is 1024"},
		{"an ordering key with a regular expression", change(func(r *route.Route) { r.OrderingKey = `event.type.matches("a")` }), "matches() is not available"},
		{"an id that is no name", change(func(r *route.Route) { r.ID = "cms/a b" }), "namespace/name"},
		{"another scheme", change(func(r *route.Route) { r.URL = "ftp://a" }), "https://"},
		{"a URL without a host", change(func(r *route.Route) { r.URL = "https:///x" }), "no host"},
		{"a URL whose port cannot be", change(func(r *route.Route) { r.URL = "https://a:99999/" }), "65535"},
		{"a URL whose port is zero", change(func(r *route.Route) { r.URL = "https://a:0/" }), "65535"},
		{"a URL whose host is no name", change(func(r *route.Route) { r.URL = "https://-/" }), "neither a DNS name"},
		{"a URL with a password", change(func(r *route.Route) { r.URL = "https://u:hunter2@a" }), "AuthorizationItem"},
		{"a URL that does not parse", change(func(r *route.Route) { r.URL = "https://a\x00hunter2" }), "cannot be parsed"},
		{"a header that splits", change(func(r *route.Route) { r.Headers = []route.Header{{Name: "X", Value: "hunter2\r\nY: z"}} }), `"X"`},
		{"an empty pattern", change(func(r *route.Route) { r.Events = []string{""} }), "empty"},
		{"a pattern with a space", change(func(r *route.Route) { r.Events = []string{"a b"} }), "space"},
		{"too many patterns", change(func(r *route.Route) { r.Events = make([]string, 65) }), "limit is 64"},
		{"no timeout", change(func(r *route.Route) { r.Timeout = 0 }), "timeout"},
		{"no concurrency", change(func(r *route.Route) { r.Concurrency = 0 }), "concurrency"},
		{"a rate of nothing", change(func(r *route.Route) { r.RateLimit = route.Rate{Per: time.Second} }), "rateLimit: requests"},
		{"a rate without end", change(func(r *route.Route) { r.RateLimit = route.Rate{Requests: 100_001, Per: time.Second} }), "100000"},
		{"a rate in no time", change(func(r *route.Route) { r.RateLimit = route.Rate{Requests: 1} }), "rateLimit: per"},
		{"a rate in endless time", change(func(r *route.Route) { r.RateLimit = route.Rate{Requests: 1, Per: 25 * time.Hour} }), "at most 24h"},
		{"a breaker that is always open", change(func(r *route.Route) { r.Breaker = route.Breaker{OpenFor: time.Second} }), "breaker: failures"},
		{"a breaker without end", change(func(r *route.Route) { r.Breaker = route.Breaker{Failures: 10_001, OpenFor: time.Second} }), "10000"},
		{"a breaker that opens for no time", change(func(r *route.Route) { r.Breaker = route.Breaker{Failures: 1} }), "breaker: openFor"},
		{"a breaker that opens for ever", change(func(r *route.Route) { r.Breaker = route.Breaker{Failures: 1, OpenFor: 25 * time.Hour} }), "at most 24h"},
		{"a long epoch", change(func(r *route.Route) { r.Hold, r.URL, r.Epoch = "RefNotFound", "", strings.Repeat("e", 129) }), "epoch"},
		{"a held route that is complete and wrong", change(func(r *route.Route) { r.Hold, r.Timeout = "SpecDisabled", 0 }), "timeout"},
		{"a pause of nothing", change(func(r *route.Route) { r.Retry.Backoff = []time.Duration{0} }), "pause"},
		{"the format Sitecore without what it says", change(func(r *route.Route) { r.Format = route.FormatSitecore }), "sitecore"},
		{"what Sitecore's format says with another", sitecore(func(r *route.Route) { r.Format = route.FormatStandard }), "sitecore"},
		{"an item id in braces", sitecore(func(r *route.Route) { r.Sitecore.ItemID = "{" + r.Sitecore.ItemID + "}" }), "itemID"},
		{"an item id in upper case", sitecore(func(r *route.Route) { r.Sitecore.ItemID = strings.ToUpper(r.Sitecore.ItemID) }), "itemID"},
		{"no item name", sitecore(func(r *route.Route) { r.Sitecore.ItemName = "" }), "itemName"},
		{"a state without an action", sitecore(func(r *route.Route) { r.Sitecore.AtState = true }), "atState"},
		{"an unknown format", change(func(r *route.Route) { r.Format = "Carrier pigeon" }), "format"},
		{"signing without a key", change(func(r *route.Route) { r.Signing = &route.Signing{} }), "no key"},
		{"a key that is too short", change(func(r *route.Route) { r.Signing = &route.Signing{Keys: []route.Secret{"whsec_aHVudGVyMg=="}} }), "24 to 64"},
		{"a key that is not base64", change(func(r *route.Route) { r.Signing = &route.Signing{Keys: []route.Secret{"hunter2!"}} }), "base64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := route.Build(route.Table{Routes: tt.routes})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("the error is %v, want one with %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error quotes a credential: %v", err)
			}
		})
	}
}

func TestRoutesWithTheSameConditionShareOneEvaluation(t *testing.T) {
	a, b := aRoute("cms/a", "*"), aRoute("cms/b", "*")
	a.Condition, b.Condition = `event.data.n == 1`, `event.data.n == 1`
	r := build(t, a, b)
	e := &event.Event{Data: []byte(`{"n":1}`)}
	view := route.NewView(e)
	if ok, err := r.Lookup("cms/a").Qualifies(view); !ok || err != nil {
		t.Fatal(ok, err)
	}
	again := testing.AllocsPerRun(10, func() {
		if ok, err := r.Lookup("cms/b").Qualifies(view); !ok || err != nil {
			t.Fatal(ok, err)
		}
	})
	if again != 0 {
		t.Errorf("the second route costs %v allocations", again)
	}
}

func TestAHeldRouteMayBeIncompleteAndStillMatches(t *testing.T) {
	r := build(t, route.Route{ID: "cms/a", Hold: "RefNotFound", Events: []string{"item:*"}})
	if got := ids(r.Match(nil, "cms", "item:added")); !slices.Equal(got, []string{"cms/a"}) {
		t.Errorf("it matches %v", got)
	}
}

func TestAHeldRouteIsCompleteWhenItCanBeTested(t *testing.T) {
	whole := aRoute("cms/whole")
	whole.Hold = "SpecDisabled"
	r := build(t, whole, route.Route{ID: "cms/part", Hold: "RefNotFound"})
	if !r.Lookup("cms/whole").Complete() || r.Lookup("cms/part").Complete() {
		t.Errorf("the whole is complete: %t, the part: %t", r.Lookup("cms/whole").Complete(), r.Lookup("cms/part").Complete())
	}
}

func TestARouteMayHaveTheLargestLimits(t *testing.T) {
	rt := aRoute("cms/a")
	rt.RateLimit = route.Rate{Requests: 100_000, Per: 24 * time.Hour}
	rt.Breaker = route.Breaker{Failures: 10_000, OpenFor: 24 * time.Hour}
	rt.Epoch = strings.Repeat("e", 128)
	build(t, rt)
}

func TestANamespaceOrdersWhenAnyOfItsRoutesDoes(t *testing.T) {
	ordered := aRoute("orders/b", "item:*")
	ordered.OrderingKey = "event.id"
	r := build(t, aRoute("orders/a", "item:*"), ordered, aRoute("orders/c", "item:*"), aRoute("cms/a", "item:*"))
	for namespace, want := range map[string]bool{"orders": true, "cms": false, "elsewhere": false} {
		if got := r.Orders(namespace); got != want {
			t.Errorf("%s orders: %t, want %t", namespace, got, want)
		}
	}
}

func TestSwapReportsWhetherTheTableChanged(t *testing.T) {
	var c route.Current
	if c.Load() != nil {
		t.Error("the zero Current holds a router")
	}
	if !c.Swap(build(t, aRoute("cms/a"))) {
		t.Error("the first table is no change")
	}
	if c.Swap(build(t, aRoute("cms/a"))) {
		t.Error("the same table is a change")
	}
	if !c.Swap(build(t, aRoute("cms/b"))) {
		t.Error("another table is no change")
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	r := aRoute("cms/a")
	r.Headers = []route.Header{{Name: "X", Value: "hunter2"}}
	r.Authorization = &route.Authorization{Basic: &route.Basic{Username: "u", Password: "hunter2"}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		text := fmt.Sprintf(verb, struct {
			Route   route.Route
			Headers []route.Header
			Basic   route.Basic
			Value   route.Secret
		}{r, r.Headers, *r.Authorization.Basic, "hunter2"})
		if strings.Contains(text, "hunter2") || strings.Contains(text, "68756e74657232") {
			t.Errorf("%s prints the secret: %s", verb, text)
		}
	}
}

func FuzzMatchAgreesWithAPlainReading(f *testing.F) {
	f.Add("item:*", "item:added")
	f.Add("*", "")
	f.Add("a*b*c", "axxbyyc")
	f.Add("**", "x")
	f.Fuzz(func(t *testing.T, pattern, eventType string) {
		if route.CheckEvents([]string{pattern}) != nil {
			return
		}
		r := build(t, aRoute("cms/a", pattern))
		got := len(r.Match(nil, "cms", eventType)) == 1
		if want := plainMatch(pattern, eventType); got != want {
			t.Errorf("%q selects %q: %t, want %t", pattern, eventType, got, want)
		}
	})
}

// plainMatch is the definition: split at the stars, find the pieces in order.
func plainMatch(pattern, s string) bool {
	pieces := strings.Split(pattern, "*")
	if len(pieces) == 1 {
		return pattern == s
	}
	first, last := pieces[0], pieces[len(pieces)-1]
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, p := range pieces[1 : len(pieces)-1] {
		_, after, found := strings.Cut(s, p)
		if !found {
			return false
		}
		s = after
	}
	return true
}

func FuzzConditionsNeverPanic(f *testing.F) {
	for _, c := range []string{`event.data.a == 1`, `true`, `event.type.matches("a+")`, `[1,2].map(x, x*2).size() == 2`, `!`, `event`, `sitecore.field(event, "75577384-3c97-45da-a847-81b00500e250") == ""`, `sitecore.isOrIsBelow(event, "/a")`} {
		f.Add(c, `{"a":[1,{"b":null}]}`)
	}
	f.Fuzz(func(_ *testing.T, condition, data string) {
		rt := aRoute("cms/a", "*")
		rt.Condition = condition
		r, err := route.Build(route.Table{Routes: []route.Route{rt}})
		if err != nil {
			return
		}
		_, _ = r.Lookup("cms/a").Qualifies(route.NewView(&event.Event{Data: []byte(data)}))
	})
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			routes := make([]route.Route, n)
			for i := range routes {
				routes[i] = aRoute(fmt.Sprintf("cms/r%d", i), fmt.Sprintf("type:%d", i))
			}
			r := build(b, routes...)
			want := fmt.Sprintf("type:%d", n/2)
			dst := make([]*route.Entry, 0, 4)
			b.ReportAllocs()
			for b.Loop() {
				if dst = r.Match(dst[:0], "cms", want); len(dst) != 1 {
					b.Fatal(len(dst))
				}
			}
		})
	}
}

func BenchmarkMatchGlobs(b *testing.B) {
	routes := make([]route.Route, 10_000)
	for i := range routes {
		routes[i] = aRoute(fmt.Sprintf("cms/r%d", i), fmt.Sprintf("type%d:*", i))
	}
	r := build(b, routes...)
	dst := make([]*route.Entry, 0, 4)
	b.ReportAllocs()
	for b.Loop() {
		if dst = r.Match(dst[:0], "cms", "type5000:added"); len(dst) != 1 {
			b.Fatal(len(dst))
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	routes := make([]route.Route, 10_000)
	for i := range routes {
		routes[i] = aRoute(fmt.Sprintf("cms/r%d", i), fmt.Sprintf("type:%d", i))
		routes[i].Condition = `event.data.Item.TemplateName == "Page"`
	}
	for b.Loop() {
		build(b, routes...)
	}
}

func BenchmarkQualifies(b *testing.B) {
	rt := aRoute("cms/a", "*")
	rt.Condition = `event.data.Item.TemplateName == "Page"`
	entry := build(b, rt).Lookup("cms/a")
	e := &event.Event{Type: "item:added", Data: []byte(`{"Item":{"TemplateName":"Page","Name":"x"}}`)}
	b.ReportAllocs()
	for b.Loop() {
		view := route.NewView(e)
		if ok, err := entry.Qualifies(view); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
