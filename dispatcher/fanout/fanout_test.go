package fanout_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/fanout"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
)

// lanes keep what they are given, or settle it at once.
type lanes struct {
	settle  bool
	given   []string // routes
	matches []match
	owed    []*event.Claim
}

// A match is what a route was given, and how.
type match struct {
	Event, Route string
	Key          route.Key
	Unchecked    bool
}

func (l *lanes) Deliver(st event.Stored, to []route.Match) {
	for _, m := range to {
		l.given, l.owed = append(l.given, m.Entry.ID), append(l.owed, st.Claim)
		l.matches = append(l.matches, match{st.Event.ID, m.Entry.ID, m.Key, m.Unchecked})
		if l.settle {
			st.Claim.Done()
		}
	}
}

// A hall is a Fanout and what is around it.
type hall struct {
	*fanout.Fanout
	lanes    *lanes
	recorder outcome.Recorder
	registry *prometheus.Registry
	log      *strings.Builder
}

func newHall(t *testing.T, routes ...route.Route) *hall {
	t.Helper()
	router, err := route.Build(route.Table{Routes: routes})
	if err != nil {
		t.Fatal(err)
	}
	var current route.Current
	current.Swap(router)
	h := &hall{lanes: &lanes{}, recorder: outcome.NewRecorder(), registry: prometheus.NewRegistry(), log: &strings.Builder{}}
	h.Fanout = fanout.New(&current, h.lanes, h.recorder, h.registry, slog.New(slog.NewTextHandler(h.log, nil)))
	return h
}

// to is a route that wants events of a type that qualify.
func to(name, events, condition string) route.Route {
	return route.Route{
		ID: "cms/" + name, Generation: 1, Events: []string{events}, Condition: condition,
		URL: "https://receiver.example.com", Timeout: time.Second, Concurrency: 1, Retry: route.Retry{MaxAge: time.Hour},
	}
}

func anEvent(data string) *event.Event {
	return &event.Event{Namespace: "cms", ID: "1", Source: "/s", Type: "item:added", ContentType: "application/json", Data: []byte(data)}
}

// fan hands an event in and returns how often its claim has been released.
func (h *hall) fan(e *event.Event) *int {
	released := new(int)
	h.Event(event.Stored{Event: e, Claim: event.NewClaim(func() { *released++ })})
	return released
}

// A count is what the metrics say.
type count struct{ Events, Routes, Failures, Unordered, Unchecked float64 }

func (h *hall) counted(t *testing.T) (c count) {
	t.Helper()
	families, err := h.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		switch m := f.GetMetric()[0]; f.GetName() {
		case "postrider_fanout_routes_per_event":
			c.Events, c.Routes = float64(m.GetHistogram().GetSampleCount()), m.GetHistogram().GetSampleSum()
		case "postrider_fanout_condition_errors_total":
			c.Failures = m.GetCounter().GetValue()
		case "postrider_fanout_ordering_errors_total":
			c.Unordered = m.GetCounter().GetValue()
		case "postrider_fanout_unchecked_total":
			c.Unchecked = m.GetCounter().GetValue()
		}
	}
	return c
}

func TestAClaimIsSettledOnceWhateverMatches(t *testing.T) {
	t.Parallel()
	all := []route.Route{
		to("any", "*", ""), to("exact", "item:added", ""), to("page", "item:*", `event.data.kind == "page"`),
		to("other", "item:deleted", ""), to("broken", "*", `event.data.kind > 1`),
	}
	for _, tt := range []struct {
		name   string
		routes []route.Route
		data   string
		want   []string
	}{
		{"no route at all", nil, `{}`, nil},
		{"none by type", all[3:4], `{}`, nil},
		{"none by condition", all[2:3], `{"kind":"image"}`, nil},
		{"only a condition that fails", all[4:], `{"kind":"page"}`, nil},
		{"one", all[1:2], `{}`, []string{"cms/exact"}},
		{"several", all, `{"kind":"page"}`, []string{"cms/any", "cms/exact", "cms/page"}},
		{"several, with one that does not qualify", all, `{"kind":"image"}`, []string{"cms/any", "cms/exact"}},
	} {
		for _, atOnce := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, settled at once %t", tt.name, atOnce), func(t *testing.T) {
				t.Parallel()
				h := newHall(t, tt.routes...)
				h.lanes.settle = atOnce
				released := h.fan(anEvent(tt.data))
				if diff := cmp.Diff(tt.want, slices.Sorted(slices.Values(h.lanes.given))); diff != "" {
					t.Error("routes (-want +got)\n" + diff)
				}
				if !atOnce {
					if len(tt.want) > 0 && *released != 0 {
						t.Error("the claim was released although deliveries are owed")
					}
					for _, c := range h.lanes.owed {
						c.Done()
					}
				}
				if *released != 1 { // once more would be a panic
					t.Errorf("the claim was released %d times", *released)
				}
			})
		}
	}
}

func TestAConditionThatFailsIsVisibleOnItsRouteAndKeepsNobodyElseFromTheEvent(t *testing.T) {
	t.Parallel()
	h := newHall(t, to("before", "*", ""), to("broken", "*", `event.data.secret > 1`), to("after", "item:added", ""), to("no", "*", `event.data.absent == 1`))
	const value = "a-value-of-the-event"
	h.fan(anEvent(`{"secret":"` + value + `"}`))
	if diff := cmp.Diff([]string{"cms/after", "cms/before"}, slices.Sorted(slices.Values(h.lanes.given))); diff != "" {
		t.Error("routes (-want +got)\n" + diff)
	}
	if got, want := h.counted(t), (count{Events: 1, Routes: 2, Failures: 1}); got != want {
		t.Errorf("counted is %+v, want %+v", got, want)
	}

	summaries, _ := h.recorder.Since(0)
	if len(summaries) != 1 || summaries[0].Route != "cms/broken" || !strings.HasPrefix(summaries[0].LastError, "ConditionFailed: ") || summaries[0].LastErrorTime.IsZero() {
		t.Errorf("recorded is %+v", summaries)
	}
	if shown := fmt.Sprint(summaries, h.log); strings.Contains(shown, value) || !strings.Contains(shown, "route=cms/broken") {
		t.Errorf("the log and the record say %s", shown)
	}
}

func TestOneEventLeavesNothingBehindForTheNext(t *testing.T) {
	t.Parallel()
	h := newHall(t, to("all", "*", ""), to("pages", "*", `event.data.kind == "page"`))
	for _, data := range []string{`{"kind":"page"}`, `{"kind":"image"}`, `{"kind":"page"}`} {
		h.fan(anEvent(data))
	}
	elsewhere := anEvent(`{"kind":"page"}`)
	elsewhere.Namespace = "shop"
	h.fan(elsewhere)
	want := []string{"cms/all", "cms/pages", "cms/all", "cms/all", "cms/pages"}
	if diff := cmp.Diff(want, h.lanes.given); diff != "" {
		t.Error("routes (-want +got)\n" + diff)
	}
	if got, want := h.counted(t), (count{Events: 4, Routes: 5}); got != want {
		t.Errorf("counted is %+v, want %+v", got, want)
	}
}

// dears are routes with conditions that hold and cost a lot, each by itself.
func dears(n int) []route.Route {
	routes := make([]route.Route, n)
	for i := range routes {
		routes[i] = to(fmt.Sprint("dear-", i), "*", fmt.Sprintf("event.data.n.all(a, !event.data.n.exists(b, b == a + %d.0))", 1000+i))
		routes[i].ID = fmt.Sprint("hog/dear-", i)
	}
	return routes
}

func aDearEvent(id string) *event.Event {
	e := anEvent(`{"n":[` + strings.Repeat("1,", 40) + `2]}`)
	e.Namespace, e.ID = "hog", id
	return e
}

// unchecked counts those of a namespace whose conditions were left to the lanes,
// and those whose were not.
func (l *lanes) unchecked(namespace string) (left, checked int) {
	for _, m := range l.matches {
		switch {
		case !strings.HasPrefix(m.Route, namespace+"/"):
		case m.Unchecked:
			left++
		default:
			checked++
		}
	}
	return left, checked
}

func TestWhatTheConditionsOfOneEventCostTooMuchIsLeftToTheLanes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 200
		plain := to("plain", "*", "")
		plain.ID = "hog/plain"
		h := newHall(t, append(dears(n), plain, to("a", "*", `event.data.kind == "page"`))...)
		h.lanes.settle = true
		if released := h.fan(aDearEvent("dear")); *released != 1 {
			t.Errorf("the claim was released %d times", *released)
		}
		left, checked := h.lanes.unchecked("hog")
		if left+checked != n+1 || checked < 2 || checked > 10 {
			t.Errorf("of %d routes %d were given the event, and %d unchecked, want all but a few unchecked", n+1, left+checked, left)
		}
		if i := slices.IndexFunc(h.lanes.matches, func(m match) bool { return m.Route == plain.ID }); i < 0 || h.lanes.matches[i].Unchecked {
			t.Error("a route without condition is to be checked")
		}
		h.fan(anEvent(`{"kind":"image"}`))
		h.fan(anEvent(`{"kind":"page"}`))
		if left, checked := h.lanes.unchecked("cms"); left != 0 || checked != 1 {
			t.Errorf("of the other namespace %d went unchecked, %d checked, want one that was checked", left, checked)
		}
		if got, want := h.counted(t), (count{Events: 3, Routes: n + 2, Unchecked: float64(left)}); got != want {
			t.Errorf("counted is %+v, want %+v", got, want)
		}
	})
}

func TestDearEventsOfOneNamespaceInARowAreLeftToTheLanesUntilItHasItsShareAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, append(dears(1), to("a", "*", `event.data.kind == "page"`))...)
		h.lanes.settle = true
		const n = 1000 // of 15,000 units each
		for i := range n {
			h.fan(aDearEvent(fmt.Sprint(i)))
		}
		left, checked := h.lanes.unchecked("hog")
		if left+checked != n || checked < 10 || checked > 100 {
			t.Errorf("%d events were checked at once, %d left, want a few checked and all others left", checked, left)
		}
		h.fan(anEvent(`{"kind":"image"}`))
		if left, checked := h.lanes.unchecked("cms"); left+checked != 0 {
			t.Error("the other namespace pays for it")
		}
		eventually.After(time.Minute)
		h.fan(aDearEvent("later"))
		if last := h.lanes.matches[len(h.lanes.matches)-1]; last.Unchecked {
			t.Error("it has not got its share again")
		}
	})
}

func TestParsingLargeEventsIsPaidForToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, to("a", "*", `event.data.kind == "page"`))
		h.lanes.settle = true
		for range 20 {
			h.fan(anEvent(`{"kind":"page","text":"` + strings.Repeat("x", 1<<20) + `"}`))
		}
		if left, checked := h.lanes.unchecked("cms"); checked == 0 || left < 10 {
			t.Errorf("%d events were checked at once, %d left", checked, left)
		}
	})
}

func TestATableThatChangesGivesNoNamespaceItsShareAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		routers := make([]*route.Router, 2)
		for i := range routers {
			var err error
			if routers[i], err = route.Build(route.Table{Routes: dears(1 + i)}); err != nil {
				t.Fatal(err)
			}
		}
		var current route.Current
		l := &lanes{settle: true}
		f := fanout.New(&current, l, outcome.Recorder{}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
		for i := range 200 {
			current.Swap(routers[i%2])
			f.Event(event.Stored{Event: aDearEvent(fmt.Sprint(i)), Claim: event.NewClaim(func() {})})
		}
		if left, checked := l.unchecked("hog"); checked == 0 || left < 100 {
			t.Errorf("%d deliveries were checked at once, %d left", checked, left)
		}
	})
}

// by is a route that is ordered.
func by(name, key, condition string) route.Route {
	r := to(name, "*", condition)
	r.OrderingKey = key
	return r
}

func TestDeliveriesToAnOrderedRouteCarryTheirKey(t *testing.T) {
	t.Parallel()
	h := newHall(t, by("item", "event.data.item", ""), by("kind", "event.data.kind", `event.data.kind == "page"`), to("none", "*", ""))
	h.lanes.settle = true
	for i, data := range []string{`{"item":1,"kind":"page"}`, `{"item":1,"kind":"image"}`, `{"item":2,"kind":"page"}`, `{"kind":"page"}`, `{}`} {
		e := anEvent(data)
		e.ID = fmt.Sprint(i)
		h.fan(e)
	}
	keys := map[string][]route.Key{}
	for _, m := range h.lanes.matches {
		keys[m.Route] = append(keys[m.Route], m.Key)
	}
	if none := keys["cms/none"]; len(none) != 5 || slices.Max(none) != 0 {
		t.Errorf("without ordering the keys are %x", none)
	}
	if k := keys["cms/kind"]; len(k) != 3 || k[0] == 0 || k[0] != k[1] || k[1] != k[2] {
		t.Errorf("of one kind the keys are %x", k)
	}
	if k := keys["cms/item"]; len(k) != 5 || slices.Contains(k, 0) || k[0] != k[1] || k[1] == k[2] || k[2] == k[3] || k[3] != k[4] {
		t.Errorf("of items 1, 1, 2, none and none the keys are %x", k)
	}
	if got, want := h.counted(t), (count{Events: 5, Routes: 13}); got != want {
		t.Errorf("counted is %+v, want %+v", got, want)
	}
}

func TestAKeylessFanoutGivesNoDeliveryAKey(t *testing.T) {
	t.Parallel()
	h := newHall(t, by("plain", "event.data.item", ""), by("kind", "event.data.item", `event.data.kind == "page"`))
	h.lanes.settle = true
	h.Fanout = h.Keyless()
	h.fan(anEvent(`{"item":1,"kind":"page"}`))
	h.fan(anEvent(`{"item":1,"kind":"image"}`))
	for _, m := range h.lanes.matches {
		if m.Key != 0 {
			t.Errorf("%s gets the key %x", m.Route, m.Key)
		}
	}
	if got, want := h.counted(t), (count{Events: 2, Routes: 3}); got != want {
		t.Errorf("counted is %+v, want %+v", got, want)
	}
}

func TestAnOrderingKeyThatFailsIsVisibleOnItsRouteWhichGetsTheEvent(t *testing.T) {
	t.Parallel()
	h := newHall(t, by("broken", "event.data.item + 1", ""), by("absent", "event.data.no", ""))
	h.lanes.settle = true
	const value = "a-value-of-the-event"
	h.fan(anEvent(`{"item":"` + value + `"}`))
	if len(h.lanes.matches) != 2 || h.lanes.matches[0].Key == 0 || h.lanes.matches[0].Key != h.lanes.matches[1].Key {
		t.Errorf("given is %+v, want both with the key of events that have none", h.lanes.matches)
	}
	if got, want := h.counted(t), (count{Events: 1, Routes: 2, Unordered: 1}); got != want {
		t.Errorf("counted is %+v, want %+v", got, want)
	}
	summaries, _ := h.recorder.Since(0)
	if len(summaries) != 1 || summaries[0].Route != "cms/broken" || !strings.HasPrefix(summaries[0].LastError, "OrderingFailed: ") {
		t.Errorf("recorded is %+v", summaries)
	}
	if shown := fmt.Sprint(summaries, h.log); strings.Contains(shown, value) {
		t.Errorf("the log and the record say %s", shown)
	}
}

func TestWhatIsLeftToTheLanesHasItsKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		routes := dears(50)
		for i := range routes {
			routes[i].OrderingKey = "event.id"
		}
		h := newHall(t, routes...)
		h.lanes.settle = true
		h.fan(aDearEvent("dear"))
		for _, m := range h.lanes.matches {
			if m.Key == 0 || m.Key != h.lanes.matches[0].Key {
				t.Errorf("%s was given the key %x", m.Route, m.Key)
			}
		}
		if left, _ := h.lanes.unchecked("hog"); left == 0 {
			t.Error("none was left to the lanes")
		}
	})
}

func TestEachEventIsMatchedWithTheTableInForce(t *testing.T) {
	t.Parallel()
	first, err := route.Build(route.Table{Routes: []route.Route{to("first", "*", "")}})
	if err != nil {
		t.Fatal(err)
	}
	second, err := route.Build(route.Table{Routes: []route.Route{to("second", "*", "")}})
	if err != nil {
		t.Fatal(err)
	}
	var current route.Current
	l := &lanes{settle: true}
	f := fanout.New(&current, l, outcome.Recorder{}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	for _, r := range []*route.Router{first, second} {
		current.Swap(r)
		f.Event(event.Stored{Event: anEvent(`{}`), Claim: event.NewClaim(func() {})})
	}
	if diff := cmp.Diff([]string{"cms/first", "cms/second"}, l.given); diff != "" {
		t.Error("routes (-want +got)\n" + diff)
	}
}
