package deliver_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/fanout"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
)

// aPicky route wants events of which the condition holds.
func aPicky(name, url, condition string) route.Route {
	rt := aRoute(name, url)
	rt.Condition = condition
	return rt
}

// aHeldPicky route is held, and its deliveries wait unchecked.
func aHeldPicky() route.Route {
	rt := aPicky("a", "http://a/", wantsOne)
	rt.Hold = "RefNotFound"
	return rt
}

// leave hands in an event whose conditions nobody has evaluated.
func (r *rig) leave(id, data string, routes ...string) {
	r.hand(r.accept(id, []byte(data)), route.Match{Unchecked: true}, routes...)
}

// unchecked are ten deliveries that nobody has checked, of that age, and of which
// wantsOne wants half.
func unchecked(id string, key route.Key, age time.Duration) []deliver.Deferral {
	ds := make([]deliver.Deferral, 10)
	for i := range ds {
		ds[i] = deliver.Deferral{Route: id, Key: key, Unchecked: true, Due: time.Now(), Event: anEvent(fmt.Sprint(i))}
		ds[i].Event.Data, ds[i].Event.Accepted = fmt.Appendf(nil, `{"n":%d}`, i%2), time.Now().Add(-age)
	}
	return ds
}

// occupyChecks has a dear condition of the namespace evaluated, until leave is called.
func (r *rig) occupyChecks(t *testing.T, namespace string) (leave func()) {
	t.Helper()
	leave, err := r.EnterCheck(t.Context(), namespace)
	if err != nil {
		t.Fatal(err)
	}
	return leave
}

const wantsOne = `event.data.n == 1`

func TestAnUncheckedDeliveryIsAttemptedIfTheEventIsForTheRouteAndElseLeavesNoTrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		r := start(t, rc.options, aPicky("a", "http://a/", wantsOne), aPicky("b", "http://b/", `event.data.n == 2`), aRoute("plain", "http://plain/"))
		r.leave("1", `{"n":2}`, "cms/a", "cms/b", "cms/plain")
		pass(time.Second)
		if got := rc.all(); got["a"] != 0 || got["b"] != 1 || got["plain"] != 1 {
			t.Errorf("attempted are %v, want one at b and one at plain", got)
		}
		if s := r.facts(); s.Pending != 0 || s.Last != nil || s.LastError != "" {
			t.Errorf("the facts of the other are %+v", s)
		}
		if n := r.countReleased(); n != 1 || len(r.log.all()) != 2 {
			t.Errorf("%d claims were released, %d attempts recorded", n, len(r.log.all()))
		}
	})
}

func TestAConditionThatFailsInTheLaneIsVisibleOnItsRoute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		r := start(t, rc.options, aPicky("a", "http://a/", `event.data.n > 1`))
		r.leave("1", `{"n":"secret"}`, "cms/a")
		pass(time.Second)
		s := r.facts()
		if !strings.HasPrefix(s.LastError, "ConditionFailed: ") || strings.Contains(s.LastError, "secret") || s.Pending != 0 {
			t.Errorf("the facts are %+v", s)
		}
		if n := r.metric(t, "postrider_deliver_condition_errors_total"); n != 1 || rc.count("a") != 0 || r.countReleased() != 1 {
			t.Errorf("%v failures are counted, %d attempts made, %d claims released", n, rc.count("a"), r.countReleased())
		}
	})
}

func TestWhatWasNotCheckedStaysSoInTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		r := start(t, rc.options, aHeldPicky())
		for i := range 10 {
			r.leave(fmt.Sprint(i), fmt.Sprintf(`{"n":%d}`, i%2), "cms/a")
		}
		pass(2 * time.Second)
		waiting := r.backlog.waiting("cms/a")
		if len(waiting) != 10 {
			t.Fatalf("%d wait, want 10", len(waiting))
		}
		for _, d := range waiting {
			if !d.Unchecked {
				t.Errorf("%s waits as if it were checked", d.Event.ID)
			}
		}
		r.table(t, aPicky("a", "http://a/", wantsOne))
		pass(20 * time.Second)
		if n := rc.count("a"); n != 5 || len(r.backlog.waiting("cms/a")) != 0 {
			t.Errorf("%d of the 5 that it wants were delivered, %d wait", n, len(r.backlog.waiting("cms/a")))
		}
		if s := r.facts(); s.Pending != 0 || s.Stored != 0 {
			t.Errorf("the facts are %+v", s)
		}
	})
}

func TestTheConditionIsThatOfTheRouteAsItIsNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		r := start(t, rc.options, aPicky("a", "http://a/", wantsOne), aPicky("b", "http://b/", wantsOne), aPicky("c", "http://c/", wantsOne))
		without := aPicky("c", "http://c/", `event.data.n == 3`)
		without.Events = nil // selects nothing more
		r.table(t, aPicky("a", "http://a/", `event.data.n == 2`), aRoute("b", "http://b/"), without)
		for _, id := range []string{"cms/a", "cms/b", "cms/c"} {
			e := anEvent(id)
			e.Data = []byte(`{"n":2}`)
			r.Resume(deliver.Deferral{Route: id, Unchecked: true, Event: e}, r.claim(id))
		}
		pass(time.Second)
		if got := rc.all(); got["a"] != 1 || got["b"] != 1 || got["c"] != 0 || r.countReleased() != 3 {
			t.Errorf("attempted are %v, want one at a and one at b; %d claims are released", got, r.countReleased())
		}
	})
}

func TestADeliveryIsCheckedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rc.on("a", status(http.StatusInternalServerError))
		r := start(t, rc.options, aPicky("a", "http://a/", wantsOne))
		r.leave("1", `{"n":1}`, "cms/a")
		pass(time.Second)
		if deferred, _ := r.backlog.kept(); len(deferred) != 1 || deferred[0].Unchecked || deferred[0].Attempts != 1 {
			t.Errorf("deferred is %+v", deferred)
		}
	})
}

func TestWhatIsNotForTheRouteUsesUpNothingOfIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		limited := aPicky("limited", "http://limited/", wantsOne)
		limited.RateLimit = route.Rate{Requests: 1, Per: time.Hour}
		broken := aPicky("broken", "http://broken/", wantsOne)
		broken.Breaker = route.Breaker{Failures: 1, OpenFor: time.Minute}
		rc.on("broken", status(http.StatusInternalServerError))
		r := start(t, rc.options, limited, broken)
		r.leave("opens", `{"n":1}`, "cms/broken")
		pass(2 * time.Minute) // by now it may probe
		rc.on("broken", status(http.StatusOK))
		for i := range 100 {
			r.leave(fmt.Sprint("no-", i), `{"n":2}`, "cms/limited", "cms/broken")
		}
		pass(time.Second)
		if s := summary(r, "cms/broken"); s.Breaker != outcome.BreakerOpen {
			t.Errorf("the breaker is %q", s.Breaker)
		}
		r.leave("yes", `{"n":1}`, "cms/limited", "cms/broken")
		pass(20 * time.Second)
		if got := rc.all(); got["limited"] != 1 || got["broken"] != 2 {
			t.Errorf("attempted are %v, want one at limited, and a probe at broken", got)
		}
		if s := summary(r, "cms/broken"); s.Breaker != outcome.BreakerClosed {
			t.Errorf("after the probe the breaker is %q", s.Breaker)
		}
	})
}

func TestWhatIsTooOldBecomesADeadLetterOnlyIfItIsForTheRoute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		r := start(t, rc.options, aPicky("a", "http://a/", wantsOne))
		pass(time.Second)
		if err := r.backlog.Enqueue(t.Context(), unchecked("cms/a", 0, 2*time.Hour)...); err != nil {
			t.Fatal(err)
		}
		pass(30 * time.Second)
		if _, dead := r.backlog.kept(); len(dead) != 5 || len(r.backlog.waiting("cms/a")) != 0 || rc.count("a") != 0 {
			t.Errorf("%d are dead, %d wait, %d were attempted; want 5 dead", len(dead), len(r.backlog.waiting("cms/a")), rc.count("a"))
		}
	})
}

func TestAStopLeavesWhatIsNotCheckedYetToTheStore(t *testing.T) {
	t.Parallel()
	rc := newReceivers()
	var routes []route.Route
	var ids []string
	for i := range 20 {
		name := fmt.Sprint("r", i)
		routes = append(routes, aPicky(name, "http://"+name+"/", fmt.Sprintf(`event.data.n.all(a, !event.data.n.exists(b, b == a + %d.0))`, 1000+i)))
		ids = append(ids, "cms/"+name)
	}
	r := start(t, rc.options, routes...)
	const n = 50
	for i := range n {
		r.leave(fmt.Sprint(i), `{"n":[`+strings.Repeat("1,", 40)+`2]}`, ids...)
	}
	r.stop()
	kept, unchecked, delivered := 0, 0, 0
	for _, id := range ids {
		for _, d := range r.backlog.waiting(id) {
			if kept++; d.Unchecked {
				unchecked++
			}
		}
	}
	for _, c := range rc.all() {
		delivered += c
	}
	if kept+delivered != n*len(ids) || unchecked == 0 || r.countReleased() != n {
		t.Errorf("%d were delivered and %d kept, %d of them unchecked, of %d; %d claims were released", delivered, kept, unchecked, n*len(ids), r.countReleased())
	}
}

// The test follows events from the fanout to the receivers.
func TestDearConditionsOfOneNamespaceLoseNothingAndDoNotHoldUpAnother(t *testing.T) {
	t.Parallel()
	const hogs, events = 40, 10
	rc := newReceivers()
	routes := []route.Route{aPicky("small/a", "http://small/", `event.data.kind == "page"`)}
	for i := range hogs { // every other one holds
		cond := fmt.Sprintf(`event.data.n.all(a, !event.data.n.exists(b, b == a + %d.0)) && event.data.n.size() != %d`, 1000+i, 41+i%2)
		routes = append(routes, aPicky(fmt.Sprint("hog/r", i), fmt.Sprintf("http://r%d/", i), cond))
	}
	r := start(t, rc.options, routes...)
	f := fanout.New(r.router, r.Lanes, r.recorder, r.registry, slog.New(slog.DiscardHandler))
	post := func(namespace, id, data string) {
		st := r.accept(id, []byte(data))
		st.Event.Namespace, st.Event.ContentType = namespace, "application/json"
		f.Event(st)
	}
	for i := range events {
		post("hog", fmt.Sprint("hog-", i), `{"n":[`+strings.Repeat("1,", 40)+`2]}`)
		post("small", fmt.Sprint("small-", i), `{"kind":"page"}`)
	}
	owed := func(namespace string) (n int) {
		for _, rt := range routes {
			if strings.HasPrefix(rt.ID, namespace+"/") {
				n += summary(r, rt.ID).Pending + summary(r, rt.ID).Stored
			}
		}
		return n
	}
	eventually.True(t, "the other namespace to have its deliveries", func() bool { return rc.count("small") == events && owed("small") == 0 })
	if owed("hog") == 0 {
		t.Error("it had to wait until all conditions of the first were evaluated")
	}
	eventually.True(t, "everything to be settled", func() bool { return r.countReleased() == 2*events && owed("hog") == 0 })
	for i := range hogs {
		if got, want := rc.count(fmt.Sprint("r", i)), events*(i%2); got != want {
			t.Errorf("route %d was sent %d events, want %d", i, got, want)
		}
	}
	if left := r.metric(t, "postrider_fanout_unchecked_total"); left < hogs*events/2 {
		t.Errorf("%v conditions were left to the lanes, want most of %d", left, hogs*events)
	}
	if failed := r.metric(t, "postrider_fanout_condition_errors_total") + r.metric(t, "postrider_deliver_condition_errors_total"); failed != 0 {
		t.Errorf("%v conditions failed", failed)
	}
}

func TestConditionsAreEvaluatedOneAtATimeOfEachNamespaceAndTwoInAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := deliver.NewChecks()
		entered := make(chan string, 10)
		leaves := map[string]func(){}
		enter := func(namespaces ...string) {
			for _, ns := range namespaces {
				go func() {
					if leave, err := c.Enter(t.Context(), ns); err == nil {
						leaves[ns] = leave
						entered <- ns
					}
				}()
				synctest.Wait() // so that they ask in this order
			}
		}
		next := func(want string) {
			t.Helper()
			synctest.Wait()
			got := ""
			for len(entered) > 0 {
				got += <-entered
			}
			if got != want {
				t.Errorf("%q entered, want %q", got, want)
			}
		}
		enter("a", "a", "a", "b", "c")
		next("ab")
		leaves["b"]()
		next("c")
		leaves["a"]() // the second of its namespace
		next("a")
		leaves["c"]()
		next("")
		enter("d")
		next("d")
		leaves["a"]()
		next("a")
		leaves["a"]()
		leaves["d"]()
	})
}

func TestWhoWaitsForACheckGivesUpAtAStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := deliver.NewChecks()
		ctx, stop := context.WithCancel(t.Context())
		for _, ns := range []string{"a", "b"} {
			leave, err := c.Enter(ctx, ns)
			if err != nil {
				t.Fatal("there is no place for two")
			}
			defer leave()
		}
		refused := make(chan error, 2)
		for _, ns := range []string{"a", "c"} { // for its turn, and for a place
			go func() {
				_, err := c.Enter(ctx, ns)
				refused <- err
			}()
		}
		synctest.Wait()
		stop()
		for range 2 {
			if <-refused == nil {
				t.Error("one entered although there was no place")
			}
		}
	})
}

func TestLanesShareAnEventAsConditionsSeeIt(t *testing.T) {
	t.Parallel()
	c := deliver.NewChecks()
	leave, err := c.Enter(t.Context(), "cms")
	if err != nil {
		t.Fatal(err)
	}
	first := anEvent("first")
	seen := c.View(first)
	if c.View(first) != seen {
		t.Error("the second lane is given another view of it")
	}
	for i := range 200 {
		e := anEvent(fmt.Sprint(i))
		e.Data = aText(1 << 10 << (i % 12)) // up to 2 MiB
		c.View(e)
		if views, bytes := c.Kept(); views > 64 || bytes > 1<<20 && views > 1 {
			t.Fatalf("%d events with %d bytes are kept", views, bytes)
		}
	}
	if c.View(first) == seen {
		t.Error("200 events later it is still kept")
	}
	leave()
	if views, bytes := c.Kept(); views != 0 || bytes != 0 {
		t.Errorf("with nothing to check %d events with %d bytes are kept", views, bytes)
	}
}
