package fanout_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/fanout"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
)

// lanes keep what they are given, or settle it at once.
type lanes struct {
	settle bool
	given  []string // routes
	owed   []*event.Claim

	mu   sync.Mutex
	hold chan struct{}  // what is delivered of an event from the second time on waits for it
	met  map[string]int // how often each event was delivered, to one route or several
}

func (l *lanes) Deliver(st event.Stored, to []route.Match) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.met == nil {
		l.met = map[string]int{}
	}
	if l.met[st.Event.ID]++; l.met[st.Event.ID] > 1 && l.hold != nil {
		l.mu.Unlock()
		<-l.hold
		l.mu.Lock()
	}
	for _, m := range to {
		l.given, l.owed = append(l.given, m.Entry.ID), append(l.owed, st.Claim)
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
type count struct{ Events, Routes, Failures float64 }

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

func aDearEvent(id string, filler int) *event.Event {
	e := anEvent(`{"n":[` + strings.Repeat("1,", 40) + `2],"filler":"` + strings.Repeat("x", filler) + `"}`)
	e.Namespace, e.ID = "hog", id
	return e
}

// deliveries of a namespace, so far.
func (l *lanes) deliveries(namespace string) (routes []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range l.given {
		if strings.HasPrefix(id, namespace+"/") {
			routes = append(routes, id)
		}
	}
	return routes
}

func TestTheConditionsOfANamespaceDoNotHoldUpTheEventsOfAnother(t *testing.T) {
	t.Parallel()
	const n = 200
	h := newHall(t, append(dears(n), to("a", "*", `event.data.kind == "page"`))...)
	t.Cleanup(h.Close)
	h.lanes.settle, h.lanes.hold = true, make(chan struct{})

	released := make(chan struct{}) // closed twice is a panic
	h.Event(event.Stored{Event: aDearEvent("dear", 0), Claim: event.NewClaim(func() { close(released) })})
	if at := len(h.lanes.deliveries("hog")); at == 0 || at > 10 {
		t.Errorf("%d of %d conditions were evaluated before the next event, want a few", at, n)
	}
	h.fan(anEvent(`{"kind":"page"}`))
	if diff := cmp.Diff([]string{"cms/a"}, h.lanes.deliveries("cms")); diff != "" {
		t.Error("routes of the other namespace (-want +got)\n" + diff)
	}
	select {
	case <-released:
		t.Error("the claim was released before all is evaluated")
	default:
	}
	close(h.lanes.hold)
	<-released
	got := h.lanes.deliveries("hog")
	slices.Sort(got)
	if distinct := len(slices.Compact(slices.Clone(got))); distinct != n || len(got) != n {
		t.Errorf("the event went %d times to %d routes, want once to each of %d", len(got), distinct, n)
	}
	if got, want := h.counted(t), (count{Events: 2, Routes: n + 1}); got != want {
		t.Errorf("counted is %+v, want %+v", got, want)
	}
}

func TestWhatWaitsToBeEvaluatedIsBoundedAndWhatExceedsThatIsVisible(t *testing.T) {
	t.Parallel()
	const size = 400 << 10
	const n, beyond = fanout.MaxRemainderBytes / (size + 1<<10), 3
	routes := dears(8)
	h := newHall(t, routes...)
	t.Cleanup(h.Close)
	h.lanes.settle, h.lanes.hold = true, make(chan struct{})
	released := make(chan struct{}, n+beyond)
	post := func(i int) (matched int) {
		before := len(h.lanes.deliveries("hog"))
		h.Event(event.Stored{Event: aDearEvent(fmt.Sprint(i), size), Claim: event.NewClaim(func() { released <- struct{}{} })})
		return len(h.lanes.deliveries("hog")) - before
	}
	inline := 0
	for i := range n {
		inline = post(i)
	}
	if failures := h.counted(t).Failures; failures != 0 {
		t.Errorf("%v conditions failed while there was room", failures)
	}
	for i := range beyond {
		post(n + i)
	}
	left := len(routes) - inline
	if got := h.counted(t).Failures; left == 0 || got != float64(beyond*left) {
		t.Errorf("%v conditions failed, want the last %d of %d of each of %d events", got, left, len(routes), beyond)
	}
	if shown := h.log.String(); !strings.Contains(shown, "the conditions of the namespace cost too much") {
		t.Errorf("the log says %s", shown)
	}
	close(h.lanes.hold)
	for range n + beyond {
		<-released
	}
	if got, want := len(h.lanes.deliveries("hog")), n*len(routes)+beyond*inline; got != want {
		t.Errorf("there were %d deliveries, want %d", got, want)
	}
}

func TestAfterTheCloseNothingIsEvaluatedAndNothingIsSettled(t *testing.T) {
	t.Parallel()
	h := newHall(t, dears(50)...)
	h.Close()
	released := h.fan(aDearEvent("dear", 0))
	if got := len(h.lanes.deliveries("hog")); got == 0 || got == 50 || *released != 0 {
		t.Errorf("%d deliveries were made, the claim was released %d times", got, *released)
	}
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
