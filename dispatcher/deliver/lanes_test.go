package deliver_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/receiver"
)

// backlog remembers in memory, and fails while it is told to.
type backlog struct {
	mu      sync.Mutex
	failing bool
	tries   int
	ds      []deliver.Deferral
	ls      []deliver.DeadLetter
}

func (b *backlog) Defer(_ context.Context, ds ...deliver.Deferral) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tries++
	if b.failing {
		return errors.New("the disk is gone")
	}
	b.ds = append(b.ds, ds...)
	return nil
}

func (b *backlog) Bury(_ context.Context, ls ...deliver.DeadLetter) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tries++
	if b.failing {
		return errors.New("the disk is gone")
	}
	b.ls = append(b.ls, ls...)
	return nil
}

func (b *backlog) fail(yes bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failing = yes
}

func (b *backlog) tried() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tries
}

func (b *backlog) kept() (deferred []deliver.Deferral, dead []deliver.DeadLetter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.ds), slices.Clone(b.ls)
}

// A rig is Lanes at work, with what they work with.
type rig struct {
	*deliver.Lanes
	backlog  *backlog
	router   *route.Current
	recorder outcome.Recorder
	stop     func() // and wait until they have stopped
	mu       sync.Mutex
	released map[string]bool
}

func start(t *testing.T, routes ...route.Route) *rig {
	t.Helper()
	r := &rig{backlog: &backlog{}, router: new(route.Current), recorder: outcome.NewRecorder(), released: map[string]bool{}}
	r.table(t, routes...)
	r.Lanes = deliver.NewLanes(deliver.Options{
		Router: r.router, Backlog: r.backlog, Recorder: r.recorder,
		Client:  egress.New(egress.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}),
		Metrics: deliver.NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	r.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(r.stop)
	return r
}

func (r *rig) table(t *testing.T, routes ...route.Route) {
	t.Helper()
	router, err := route.Build(route.Table{Routes: routes})
	if err != nil {
		t.Fatal(err)
	}
	r.router.Swap(router)
}

func (r *rig) claim(id string) *event.Claim {
	return event.NewClaim(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.released[id] = true
	})
}

func (r *rig) isReleased(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.released[id]
}

// post hands an event with the id to every route of the table.
func (r *rig) post(id string) {
	st := event.Stored{Claim: r.claim(id), Event: anEvent(id)}
	entries := r.router.Load().Entries()
	st.Claim.Add(len(entries))
	r.Deliver(st, entries)
	st.Claim.Done()
}

func anEvent(id string) *event.Event {
	return &event.Event{Namespace: "cms", ID: id, Source: "/test", Type: "x", Data: []byte(`{}`), Accepted: time.Now()}
}

func aRoute(name, url string) route.Route {
	return route.Route{
		ID: "cms/" + name, Events: []string{"*"}, URL: url, Timeout: 5 * time.Second, Concurrency: 2,
		Retry: route.Retry{Backoff: []time.Duration{time.Minute}, MaxAge: time.Hour},
	}
}

// facts are those of the route cms/a.
func (r *rig) facts() outcome.Summary {
	all, _ := r.recorder.Since(0)
	for _, s := range all {
		if s.Route == "cms/a" {
			return s
		}
	}
	return outcome.Summary{}
}

func TestADeliveredEventIsSettledAndRecorded(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	r := start(t, aRoute("a", rc.URL("/a")), aRoute("b", rc.URL("/b")))
	r.post("1")
	rc.Wait(t, 2)
	eventually.True(t, "the claim to be released", func() bool { return r.isReleased("1") })
	s := r.facts()
	if s.Pending != 0 || s.Last == nil || s.Last.Reason != outcome.Delivered || s.Last.Number != 1 || s.LastSuccess.IsZero() {
		t.Errorf("the facts are %+v, last %+v", s, s.Last)
	}
	if ids := rc.IDs(); len(ids) != 1 || ids[anEvent("1").Key().String()] != 2 {
		t.Errorf("the receiver saw the ids %v, want one, twice", ids)
	}
}

func TestAFailedDeliveryIsDeferredAndOnlyThenSettled(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	rc.On("/a", receiver.Status(http.StatusNotFound))
	r := start(t, aRoute("a", rc.URL("/a")))
	r.backlog.fail(true)
	r.post("1")
	rc.Wait(t, 1)
	eventually.True(t, "the failure to be recorded", func() bool { return r.facts().LastError == "404 Not Found" })
	if r.isReleased("1") {
		t.Fatal("the claim was released before the deferral was kept")
	}
	r.backlog.fail(false)
	eventually.True(t, "the claim to be released", func() bool { return r.isReleased("1") })
	deferred, _ := r.backlog.kept()
	if len(deferred) != 1 || deferred[0].Attempts != 1 || deferred[0].Route != "cms/a" {
		t.Fatalf("deferred is %+v", deferred)
	}
	if pause := time.Until(deferred[0].Due); pause < 50*time.Second || pause > time.Minute {
		t.Errorf("it is due in %s, want about a minute", pause)
	}
	if s := r.facts(); s.Pending != 1 || s.ConsecutiveFailures != 1 {
		t.Errorf("the facts are %+v", s)
	}
}

func TestADeliveryThatIsOutOfAttemptsBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	rc.On("/a", receiver.Status(http.StatusInternalServerError))
	r := start(t, aRoute("a", rc.URL("/a")))
	r.recorder.Pending("cms/a", 1) // as counted when it was accepted
	r.Resume(deliver.Deferral{Route: "cms/a", Attempts: 1, Event: anEvent("1")}, r.claim("1"))
	eventually.True(t, "the claim to be released", func() bool { return r.isReleased("1") })
	deferred, dead := r.backlog.kept()
	if len(deferred) != 0 || len(dead) != 1 || dead[0].Attempts != 2 || dead[0].Why.Status != 500 {
		t.Errorf("deferred %+v, dead %+v", deferred, dead)
	}
	if s := r.facts(); s.Pending != 0 || s.DeadLetters != 1 {
		t.Errorf("the facts are %+v", s)
	}
}

func TestADeferredDeliveryUsesTheRouteAsItIsNow(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	r := start(t, aRoute("a", rc.URL("/wrong")))
	r.table(t, aRoute("a", rc.URL("/right")))
	r.Resume(deliver.Deferral{Route: "cms/a", Attempts: 1, Event: anEvent("1")}, r.claim("1"))
	if got := rc.Wait(t, 1)[0].Target; got != "/right" {
		t.Errorf("it went to %s", got)
	}
}

func TestADeliveryOfADeletedWebhookBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.Resume(deliver.Deferral{Route: "cms/gone", Attempts: 1, Event: anEvent("1")}, r.claim("1"))
	eventually.True(t, "the claim to be released", func() bool { return r.isReleased("1") })
	if _, dead := r.backlog.kept(); len(dead) != 1 || dead[0].Why.Reason != outcome.RouteGone {
		t.Errorf("dead is %+v", dead)
	}
}

func TestAHeldRouteIsNotAttempted(t *testing.T) {
	t.Parallel()
	r := start(t, route.Route{ID: "cms/a", Hold: "RefNotFound", Events: []string{"*"}})
	r.post("young")
	old := anEvent("old")
	old.Accepted = time.Now().Add(-100 * time.Hour)
	r.Resume(deliver.Deferral{Route: "cms/a", Event: old}, r.claim("old"))
	eventually.True(t, "both claims to be released", func() bool { return r.isReleased("young") && r.isReleased("old") })
	deferred, dead := r.backlog.kept()
	if len(deferred) != 1 || deferred[0].Attempts != 0 || time.Until(deferred[0].Due) > 3*time.Second {
		t.Errorf("deferred is %+v", deferred)
	}
	if len(dead) != 1 || dead[0].Why.Reason != outcome.Held {
		t.Errorf("dead is %+v", dead)
	}
}

func TestAReceiverThatHangsFillsOnlyItsOwnLane(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	rc := receiver.New(t, receiver.Options{IDsOnly: true})
	rc.On("/hangs", receiver.Hang(release, receiver.Status(200)))
	healthy := receiver.New(t, receiver.Options{IDsOnly: true})
	slow := aRoute("slow", rc.URL("/hangs"))
	slow.Timeout = 20 * time.Second
	r := start(t, slow, aRoute("fast", healthy.URL("/")))
	const n = 400 // more than a lane holds
	for i := range n {
		r.post(fmt.Sprint(i))
		if i%100 == 99 {
			healthy.WaitIDs(t, i+1) // as fast as the healthy one can
		}
	}
	// What does not fit or waits too long is deferred, and its packs are released.
	eventually.True(t, "all but what is under way to be released", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.released) == n-slow.Concurrency
	})
	deferred, _ := r.backlog.kept()
	for _, d := range deferred {
		if d.Route != "cms/slow" || d.Attempts != 0 {
			t.Fatalf("a delivery of %s with %d attempts was deferred", d.Route, d.Attempts)
		}
	}
	close(release)
	eventually.True(t, "the rest to be delivered", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.released) == n
	})
	if got := rc.Count(); got > slow.Concurrency {
		t.Errorf("%d attempts were under way at once, the limit is %d", got, slow.Concurrency)
	}
}

func TestAStopFinishesAttemptsAndKeepsWhatWaits(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	rc := receiver.New(t, receiver.Options{})
	rc.On("/", receiver.Hang(release, receiver.Status(200)))
	r := start(t, aRoute("a", rc.URL("/")))
	for i := range 10 {
		r.post(fmt.Sprint(i))
	}
	rc.Wait(t, 2) // as many as may be under way
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	eventually.True(t, "what waits to be deferred", func() bool { ds, _ := r.backlog.kept(); return len(ds) == 8 })
	select {
	case <-stopped:
		t.Fatal("it stopped while attempts were under way")
	default:
	}
	close(release)
	<-stopped
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.released) != 10 {
		t.Errorf("only %v are settled", slices.Sorted(maps.Keys(r.released)))
	}
	if rc.Count() != 2 {
		t.Errorf("the receiver got %d requests, want 2", rc.Count())
	}
}

func TestAStopIsNotHeldUpByABacklogThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	r := start(t, route.Route{ID: "cms/a", Hold: "RefNotFound", Events: []string{"*"}})
	r.backlog.fail(true)
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		for i := range 6000 { // more than may wait to be written
			r.post(fmt.Sprint(i))
		}
	}()
	eventually.True(t, "the first write to fail", func() bool { return r.backlog.tried() > 0 })
	r.Halt()
	<-fed
	r.stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.released) != 0 {
		t.Errorf("%d claims were released although nothing was kept", len(r.released))
	}
}

func TestADeliveryThatNeverFindsRoomDiesOfAge(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	rc := receiver.New(t, receiver.Options{})
	rc.On("/", receiver.Hang(release, receiver.Status(http.StatusOK)))
	defer close(release)
	rt := aRoute("a", rc.URL("/"))
	rt.Concurrency = 1
	r := start(t, rt)
	r.post("under way")
	rc.Wait(t, 1)
	old := anEvent("old")
	old.Accepted = time.Now().Add(-2 * rt.Retry.MaxAge)
	r.Resume(deliver.Deferral{Route: "cms/a", Event: old}, r.claim("old"))
	eventually.True(t, "the old one to be given up", func() bool { return r.isReleased("old") })
	if _, dead := r.backlog.kept(); len(dead) != 1 || dead[0].Why.Reason != outcome.Expired {
		t.Errorf("dead is %+v", dead)
	}
}
