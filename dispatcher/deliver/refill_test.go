package deliver_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
)

// fill puts n deliveries into the queue of a route, as another dispatcher, or
// this one in another life, has done so long ago.
func fill(t *testing.T, r *rig, id string, n int, age time.Duration) {
	t.Helper()
	ds := make([]deliver.Deferral, n)
	for i := range ds {
		ds[i] = deliver.Deferral{Route: id, Event: anEvent(fmt.Sprint(id, "-", i))}
		ds[i].Event.Accepted = time.Now().Add(-age)
	}
	if err := r.backlog.Enqueue(t.Context(), ds...); err != nil {
		t.Fatal(err)
	}
	r.backlog.mu.Lock()
	defer r.backlog.mu.Unlock()
	for _, p := range r.backlog.queues[deliver.QueueID{Route: id}] {
		p.at = time.Now().Add(-age)
	}
}

func TestWhatWaitsInTheStoreIsFoundAndDelivered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		r := start(t, rc.options, aRoute("a", "http://a/"))
		pass(time.Second)
		fill(t, r, "cms/a", 1000, 0)
		pass(12 * time.Second)
		if got := rc.count("a"); got != 1000 || len(r.backlog.waiting("cms/a")) != 0 {
			t.Errorf("%d are delivered, %d wait", got, len(r.backlog.waiting("cms/a")))
		}
		if got := r.metric(t, "postrider_webhook_waiting", "cms", "a"); got != 0 {
			t.Errorf("the metric says that %v wait", got)
		}
	})
}

// A lateBacklog tells what it has found only after a while.
type lateBacklog struct {
	*backlog
	takes   atomic.Int64 // time
	phantom atomic.Bool  // counts one more than there is
}

func (b *lateBacklog) late() { <-time.After(time.Duration(b.takes.Load())) }

func (b *lateBacklog) Waiting(ctx context.Context) (map[deliver.QueueID]int, error) {
	counts, err := b.backlog.Waiting(ctx)
	if b.phantom.CompareAndSwap(true, false) {
		counts[deliver.QueueID{Route: "cms/a"}]++
	}
	b.late()
	return counts, err
}

func (b *lateBacklog) Dequeue(ctx context.Context, id deliver.QueueID) ([]deliver.Deferral, []*event.Claim, error) {
	defer b.late()
	return b.backlog.Dequeue(ctx, id)
}

func TestWhatComesIntoTheStoreWhileItIsLookedAtIsNotMissed(t *testing.T) {
	t.Parallel()
	for what, phantom := range map[string]bool{"a count": false, "a reading that finds nothing": true} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rc := newReceivers()
				rc.on("a", after(5*time.Millisecond))
				b := &lateBacklog{backlog: &backlog{}}
				rt := aRoute("a", "http://a/")
				rt.Concurrency = 1
				r := startOn(t, b.backlog, func(o *deliver.Options) { o.Backlog, o.Client = b, rc }, rt)
				pass(9900 * time.Millisecond)
				b.takes.Store(int64(300 * time.Millisecond))
				b.phantom.Store(phantom)
				pass(250 * time.Millisecond) // the second count is under way
				if phantom {
					pass(200 * time.Millisecond) // it found one, and somebody goes for it
				}
				ds := make([]deliver.Deferral, 300) // a pack and a short one
				for i := range ds {
					ds[i] = deliver.Deferral{Route: "cms/a", Event: anEvent(fmt.Sprint(i))}
				}
				if err := r.Enqueue(t.Context(), ds...); err != nil {
					t.Fatal(err)
				}
				pass(5 * time.Second)
				if got := rc.count("a"); got != len(ds) {
					t.Errorf("%d of %d are delivered before the next count", got, len(ds))
				}
			})
		})
	}
}

func TestACountWhileAPackIsWorkedOffHoldsUpNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		var first, last time.Time
		slowly := after(100 * time.Millisecond)
		rc.on("a", func(req *http.Request) egress.Response {
			if last = time.Now(); first.IsZero() {
				first = last
			}
			return slowly(req)
		})
		rt := aRoute("a", "http://a/")
		rt.Concurrency = 1
		r := start(t, rc.options, rt)
		pass(time.Second)
		fill(t, r, "cms/a", 300, 0) // one pack and a short one, counted while the first is worked off
		pass(50 * time.Second)
		if got := rc.count("a"); got != 300 || last.Sub(first) > 31*time.Second {
			t.Errorf("%d of 300 are delivered in %s, one each 100ms", got, last.Sub(first))
		}
	})
}

func TestALargeEventForManyRoutesIsWrittenAFewAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n, size = 50, 1 << 20
		var routes []route.Route
		for i := range n {
			routes = append(routes, aRoute(fmt.Sprint("r", i), "http://a/"))
			routes[i].Hold = "Disabled"
		}
		r := start(t, newReceivers().options, routes...)
		r.postData("large", make([]byte, size))
		pass(10 * time.Second)
		if r.countReleased() != 1 {
			t.Error("the event is not settled")
		}
		r.backlog.mu.Lock()
		defer r.backlog.mu.Unlock()
		if r.backlog.largest > 8*size {
			t.Errorf("%d bytes are written at once", r.backlog.largest)
		}
	})
}

func TestWhatOthersEnqueueIsDurableAndBeginsAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rt := aRoute("a", "http://a/")
		r := start(t, rc.options, rt)
		old := anEvent("old")
		old.Accepted = time.Now().Add(-2 * rt.Retry.MaxAge)
		accepted := old.Accepted
		rc.on("a", status(http.StatusInternalServerError))
		if err := r.Enqueue(t.Context(), deliver.Deferral{Route: "cms/a", Event: old, Seq: 3}); err != nil {
			t.Fatal(err)
		}
		if ds := r.backlog.waiting("cms/a"); len(ds) != 1 {
			t.Fatalf("%+v wait", ds)
		}
		pass(time.Second)
		ds, dead := r.backlog.kept()
		if rc.count("a") != 1 || len(ds) != 1 || len(dead) != 0 || ds[0].Seq != 3 {
			t.Errorf("%d attempts, %+v is put off, %+v is dead: its age counts from now", rc.count("a"), ds, dead)
		}
		if !old.Accepted.Equal(accepted) || !ds[0].Event.Time.Equal(accepted) || ds[0].Event.Key() != old.Key() {
			t.Errorf("the event was %+v and is %+v", old, ds[0].Event)
		}
		r.backlog.fail(true)
		if err := r.Enqueue(t.Context(), deliver.Deferral{Route: "cms/a", Event: old}); err == nil {
			t.Error("it says that it is durable although it could not be written")
		}
		r.backlog.fail(false)
	})
}

func TestAHeldRouteIsNotAttemptedUntilItIsReleased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		held := route.Route{ID: "cms/a", Hold: "RefNotFound", Events: []string{"*"}}
		r := start(t, rc.options, held)
		r.postAll("", 40)
		pass(time.Second)
		if got := len(r.backlog.waiting("cms/a")); got != 40 || r.countReleased() != 40 {
			t.Fatalf("%d wait, %d packs are released", got, r.countReleased())
		}
		if s := r.facts(); s.Pending != 0 || s.Stored != 40 {
			t.Errorf("the facts are %+v", s)
		}
		if r.backlog.written() > 2 {
			t.Errorf("they were written in %d packs", r.backlog.written())
		}
		writes := r.backlog.written()
		pass(3 * time.Hour)
		if r.backlog.written() != writes {
			t.Errorf("while they waited they were written again, %d times", r.backlog.written()-writes)
		}
		rt := aRoute("a", "http://a/")
		rt.Retry.MaxAge = 72 * time.Hour
		r.table(t, rt)
		pass(time.Second)
		if got := rc.count("a"); got != 40 {
			t.Errorf("released there were %d attempts", got)
		}
	})
}

func TestWhatWaitsForTooLongBehindAClosedLaneDies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		held := aRoute("a", "http://a/")
		held.Hold, held.Retry.MaxAge = "Disabled", 2*time.Hour
		r := start(t, rc.options, held, route.Route{ID: "cms/incomplete", Hold: "RefNotFound", Events: []string{"*"}})
		r.postAll("old-", 10, "cms/a")
		pass(time.Hour)
		r.post("young", "cms/a")
		pass(time.Hour + 3*time.Minute)
		_, dead := r.backlog.kept()
		if len(dead) != 10 || dead[0].Why.Reason != outcome.Held || dead[0].Why.Detail != "Disabled" {
			t.Fatalf("dead are %d: %+v", len(dead), dead)
		}
		if ds := r.backlog.waiting("cms/a"); len(ds) != 1 || ds[0].Event.ID != "young" {
			t.Errorf("%+v wait", ds)
		}
		if s := r.facts(); s.Stored != 1 || s.Pending != 0 || s.DeadLetters != 10 {
			t.Errorf("the facts are %+v", s)
		}
		fill(t, r, "cms/incomplete", 700, 71*time.Hour)
		pass(30 * time.Minute)
		if got := len(r.backlog.waiting("cms/incomplete")); got != 700 {
			t.Errorf("%d wait for the incomplete route after 71 h and a half", got)
		}
		pass(40 * time.Minute)
		if got := len(r.backlog.waiting("cms/incomplete")); got != 0 {
			t.Errorf("%d wait for the incomplete route after 72 h", got)
		}
		if rc.count("a") != 0 {
			t.Error("there was an attempt")
		}
	})
}

func TestTheQueueOfARouteThatIsGoneIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rc.on("a", nil)
		rt := aRoute("a", "http://a/")
		rt.Timeout = time.Minute
		r := start(t, rc.options, rt)
		r.postAll("", 700)
		pass(5 * time.Second)
		r.table(t)
		pass(2 * time.Minute)
		_, dead := r.backlog.kept()
		gone := 0
		for _, d := range dead {
			if d.Why.Reason == outcome.RouteGone {
				gone++
			}
		}
		ds, _ := r.backlog.kept()
		if gone+len(ds) != 700 || len(ds) > rt.Concurrency || len(r.backlog.waiting("cms/a")) != 0 {
			t.Errorf("%d are given up, %d put off, %d wait", gone, len(ds), len(r.backlog.waiting("cms/a")))
		}
		if r.Count() != 0 {
			t.Errorf("%d lanes are left", r.Count())
		}
		if got := r.metric(t, "postrider_webhook_attempts_total", "cms", "Timeout", "a"); got != -1 {
			t.Errorf("its series are left, with %v", got)
		}
		if s := r.facts(); s.Pending != 0 {
			t.Errorf("the facts are %+v", s)
		}
	})
}

func TestAStoreThatCannotBeReadIsAskedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		var log lines
		r := start(t, func(o *deliver.Options) {
			rc.options(o)
			o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		}, aRoute("a", "http://a/"))
		pass(time.Second)
		fill(t, r, "cms/a", 20, 0)
		r.backlog.fail(true)
		pass(time.Minute)
		if got := rc.count("a"); got != 0 {
			t.Fatalf("there were %d attempts", got)
		}
		r.backlog.fail(false)
		pass(12 * time.Second)
		if got := rc.count("a"); got != 20 {
			t.Errorf("there were %d attempts", got)
		}
		if got := log.count("cannot be read"); got != 1 {
			t.Errorf("the spell of errors was logged %d times", got)
		}
	})
}

func TestAQueueThatCannotBeReadIsAskedAgainSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rc.on("a", after(time.Second))
		rt := aRoute("a", "http://a/")
		rt.Concurrency = 100
		r := start(t, rc.options, rt)
		if err := r.Enqueue(t.Context(), deferrals("cms/a", 600)...); err != nil { // three packs
			t.Fatal(err)
		}
		synctest.Wait()
		r.backlog.fail(true)
		pass(5 * time.Second)
		if got := rc.count("a"); got != deliver.MaxDequeue {
			t.Fatalf("there were %d attempts, want those of the first pack", got)
		}
		r.backlog.fail(false)
		pass(8 * time.Second)
		if got := rc.count("a"); got != 600 {
			t.Errorf("there were %d attempts", got)
		}
	})
}

// lines are what was logged.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(b))
	return len(b), nil
}

func (l *lines) count(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

func TestAStopFinishesAttemptsAndKeepsWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rc.on("a", after(4*time.Second))
		r := start(t, rc.options, aRoute("a", "http://a/"))
		r.postAll("", 10)
		fill(t, r, "cms/a", 5, 0)
		synctest.Wait() // 2 are under way
		stopped := make(chan struct{})
		r.Halt()
		r.post("after the halt")
		go func() { r.stop(); close(stopped) }()
		synctest.Wait()
		select {
		case <-stopped:
			t.Fatal("it stopped while attempts were under way")
		default:
		}
		if got := len(r.backlog.waiting("cms/a")); got != 8+5+1 {
			t.Errorf("%d wait in the store", got)
		}
		<-stopped
		if rc.count("a") != 2 || r.countReleased() != 11 {
			t.Errorf("%d attempts, %d packs are released", rc.count("a"), r.countReleased())
		}
	})
}

func TestWhatWasTakenOutOfTheStoreGoesBackAtAStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rc.on("a", after(4*time.Second))
		r := start(t, rc.options, aRoute("a", "http://a/"))
		if err := r.Enqueue(context.WithoutCancel(t.Context()), deferrals("cms/a", 100)...); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		r.stop()
		if got := len(r.backlog.waiting("cms/a")); got != 98 || rc.count("a") != 2 {
			t.Errorf("%d wait after %d attempts: what is delivered must not come again", got, rc.count("a"))
		}
	})
}

func deferrals(id string, n int) []deliver.Deferral {
	ds := make([]deliver.Deferral, n)
	for i := range ds {
		ds[i] = deliver.Deferral{Route: id, Event: anEvent(fmt.Sprint(i))}
	}
	return ds
}
