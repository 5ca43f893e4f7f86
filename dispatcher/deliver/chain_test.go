package deliver_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
)

// A reader notes which events a receiver gets, in their order.
type reader struct {
	mu     sync.Mutex
	names  map[string]string // of events, by their webhook-id
	got    []string
	active map[string]int // by the first word of the name, which is the key
	most   map[string]int
}

func newReader() *reader {
	return &reader{names: map[string]string{}, active: map[string]int{}, most: map[string]int{}}
}

// expect makes an event known, and returns its name.
func (rd *reader) expect(name string) string {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	rd.names[anEvent(name).Key().String()] = name
	return name
}

// reads has answers noted.
func (rd *reader) reads(answer func(name string, req *http.Request) egress.Response) func(*http.Request) egress.Response {
	return func(req *http.Request) egress.Response {
		rd.mu.Lock()
		name := rd.names[req.Header.Get("webhook-id")]
		key, _, _ := strings.Cut(name, " ")
		rd.got = append(rd.got, name)
		rd.active[key]++
		rd.most[key] = max(rd.most[key], rd.active[key])
		rd.mu.Unlock()
		defer func() {
			rd.mu.Lock()
			defer rd.mu.Unlock()
			rd.active[key]--
		}()
		return answer(name, req)
	}
}

// of are the names of a key that were read.
func (rd *reader) of(key string) (names []string) {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	for _, name := range rd.got {
		if strings.HasPrefix(name, key+" ") {
			names = append(names, name)
		}
	}
	return names
}

func names(key string, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint(key, " ", i))
	}
	return all
}

// postAll posts so many events of a key.
func (rd *reader) postAll(r *rig, key string, k route.Key, n int) {
	for _, name := range names(key, n) {
		r.postKey(rd.expect(name), k)
	}
}

func ordered() route.Route {
	rt := aRoute("a", "http://a/")
	rt.Concurrency = 10
	return rt
}

func TestDeliveriesOfOneKeyGoOneAfterTheOtherAndThoseOfOthersMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc, rd := newReceivers(), newReader()
		slowly := after(100 * time.Millisecond)
		rc.on("a", rd.reads(func(_ string, req *http.Request) egress.Response { return slowly(req) }))
		r := start(t, rc.options, ordered())
		for i := range 10 {
			for k := range route.Key(5) {
				r.postKey(rd.expect(fmt.Sprint("k", k, " ", i)), k+1)
			}
		}
		pass(50 * time.Millisecond)
		if got := rc.atOnce("a"); got != 5 {
			t.Errorf("%d attempts are under way, want one for each key", got)
		}
		pass(time.Second)
		for k := range 5 {
			key := fmt.Sprint("k", k)
			if got := rd.of(key); !slices.Equal(got, names(key, 10)) || rd.most[key] != 1 {
				t.Errorf("%d at once, in the order %v", rd.most[key], got)
			}
		}
		if r.backlog.written() != 0 || r.countReleased() != 50 || r.Chains() != 0 {
			t.Errorf("%d were written, %d are released, %d chains are left", r.backlog.written(), r.countReleased(), r.Chains())
		}
	})
}

func TestAFailingDeliveryBlocksItsKeyOnly(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		failures  int
		dead      int
		unblocked time.Duration
	}{
		{"until it is delivered", 2, 0, 3 * time.Minute},
		{"until it is dead", 99, 1, 3 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rc, rd := newReceivers(), newReader()
				left := tt.failures
				rc.on("a", rd.reads(func(name string, _ *http.Request) egress.Response {
					if name == "bad 0" && left > 0 {
						left--
						return egress.Response{Status: http.StatusInternalServerError}
					}
					return egress.Response{Status: http.StatusOK}
				}))
				rt := ordered()
				rt.Retry.Backoff = []time.Duration{time.Minute, time.Minute}
				r := start(t, rc.options, rt)
				rd.postAll(r, "bad", 1, 17)
				rd.postAll(r, "good", 2, 30)
				r.pass(50 * time.Second)
				if got := rd.of("bad"); len(got) != 1 {
					t.Fatalf("while the first is put off there were %v", got)
				}
				if got := rd.of("good"); !slices.Equal(got, names("good", 30)) {
					t.Errorf("of the other key there were %v", got)
				}
				if got := len(r.backlog.waiting("cms/a", 1)); got != 16 || r.countReleased() != 47 {
					t.Errorf("%d wait in the store, %d are released", got, r.countReleased())
				}
				r.pass(tt.unblocked)
				want := append([]string{"bad 0", "bad 0"}, names("bad", 17)...)
				if got := rd.of("bad"); !slices.Equal(got, want) {
					t.Errorf("the order is %v", got)
				}
				if _, dead := r.backlog.kept(); len(dead) != tt.dead {
					t.Errorf("%d are dead", len(dead))
				}
				if s := r.facts(); s.Pending != 0 || s.Stored != 0 || r.Chains() != 0 {
					t.Errorf("the facts are %+v, %d chains are left", s, r.Chains())
				}
			})
		})
	}
}

func TestMoreThanFitsOfAKeyGoesThroughTheStoreInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc, rd := newReceivers(), newReader()
		slowly := after(20 * time.Millisecond)
		rc.on("a", rd.reads(func(_ string, req *http.Request) egress.Response { return slowly(req) }))
		r := start(t, rc.options, ordered())
		rd.postAll(r, "k", 1, 400)
		pass(time.Minute)
		if got := rd.of("k"); !slices.Equal(got, names("k", 400)) {
			t.Errorf("the order is %v", got)
		}
		if r.backlog.written() < 380 {
			t.Errorf("only %d went to the store, memory is to hold few of one key", r.backlog.written())
		}
		if s := r.facts(); s.Pending != 0 || s.Stored != 0 || r.Chains() != 0 {
			t.Errorf("the facts are %+v, %d chains are left", s, r.Chains())
		}
	})
}

func TestFollowersDoNotHoldThePacksOfOthersForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc, rd := newReceivers(), newReader()
		rc.on("a", nil)
		rt := ordered()
		rt.Timeout = time.Minute
		r := start(t, rc.options, rt)
		rd.postAll(r, "k", 1, 10)
		pass(4 * time.Second)
		if got := r.countReleased(); got != 9 {
			t.Errorf("%d packs are released, want all but that of the one under way", got)
		}
		if got := r.backlog.waiting("cms/a", 1); len(got) != 10 || got[0].Event.ID != "k 0" {
			t.Errorf("in the store wait %d, first %s: want all, so that a crash harms no order", len(got), got[0].Event.ID)
		}
		rc.on("a", rd.reads(func(string, *http.Request) egress.Response { return egress.Response{Status: http.StatusOK} }))
		r.pass(3 * time.Minute)
		if got := rd.of("k"); !slices.Equal(got, names("k", 10)) {
			t.Errorf("the order is %v, and what was copied is to go once", got)
		}
	})
}

func TestReceiversOfManyKeysThatHangDoNotHoldUpOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		var routes []route.Route
		for i := range 100 {
			hog := aRoute(fmt.Sprintf("hog/dead-%d", i), fmt.Sprintf("http://dead-%d/", i))
			hog.Concurrency, hog.Timeout = 100, 30*time.Second
			rc.on(fmt.Sprintf("dead-%d", i), nil)
			routes = append(routes, hog)
		}
		r := start(t, rc.options, append(routes, aRoute("a", "http://healthy/"))...)
		began := time.Now()
		const n = 600
		for i := range n {
			if err := r.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.postKey(fmt.Sprint(i), route.Key(1+i%16))
			pass(5 * time.Millisecond)
		}
		if held := time.Since(began); held > n*5*time.Millisecond+4*time.Second {
			t.Errorf("the feeders were held back: it took %s", held)
		}
		pass(time.Second)
		if got := rc.count("healthy"); got != n {
			t.Errorf("the healthy receiver has %d of %d", got, n)
		}
	})
}

func TestTheOrderSurvivesABreakerAndAHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc, rd := newReceivers(), newReader()
		broken := true
		rc.on("a", rd.reads(func(string, *http.Request) egress.Response {
			if broken {
				return egress.Response{Status: http.StatusInternalServerError}
			}
			return egress.Response{Status: http.StatusOK}
		}))
		rt := ordered()
		rt.Breaker = route.Breaker{Failures: 2, OpenFor: time.Minute}
		rt.Retry.Backoff = slices.Repeat([]time.Duration{30 * time.Second}, 40)
		r := start(t, rc.options, rt)
		for k := range route.Key(4) {
			rd.postAll(r, fmt.Sprint("k", k), k+1, 20)
		}
		r.pass(5 * time.Minute)
		if got := r.countReleased(); got != 80 {
			t.Errorf("%d packs are released", got)
		}
		held := rt
		held.Hold = "Disabled"
		r.table(t, held)
		attempts, tried := rc.count("a"), r.backlog.tried()
		r.pass(10 * time.Minute)
		if got := r.backlog.tried() - tried; rc.count("a") != attempts || got > 4*10 {
			t.Errorf("while it was held there were %d attempts, and %d writes", rc.count("a")-attempts, got)
		}
		broken = false
		r.table(t, rt)
		r.pass(10 * time.Minute)
		for k := range 4 {
			key := fmt.Sprint("k", k)
			if got := slices.Compact(rd.of(key)); !slices.Equal(got, names(key, 20)) {
				t.Errorf("the order is %v", got)
			}
		}
		if r.Chains() != 0 || len(r.backlog.parked) != 0 {
			t.Errorf("%d chains are left, %d are put off", r.Chains(), len(r.backlog.parked))
		}
	})
}

func TestAStopKeepsTheOrderAndSendsNothingTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc, rd := newReceivers(), newReader()
		slowly := after(300 * time.Millisecond)
		rc.on("a", rd.reads(func(_ string, req *http.Request) egress.Response { return slowly(req) }))
		r := start(t, rc.options, ordered())
		var want []string
		for i := range 6 {
			rd.postAll(r, fmt.Sprint("life", i), 1, 5)
			want = append(want, names(fmt.Sprint("life", i), 5)...)
			r.postKey(rd.expect(fmt.Sprint("other ", i)), 2)
			r.pass(700 * time.Millisecond)
			r.stop()
			r = startOn(t, r.backlog, rc.options, ordered())
		}
		r.pass(time.Minute)
		if got := rd.of("life"); len(got) != 0 {
			t.Fatal(got)
		}
		got := slices.DeleteFunc(slices.Clone(rd.got), func(name string) bool { return strings.HasPrefix(name, "other") })
		if !slices.Equal(got, want) || !slices.Equal(rd.of("other"), names("other", 6)) {
			t.Errorf("the order is %v, and %v", got, rd.of("other"))
		}
	})
}

func TestWhatHasNoKeyWaitsForNoKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc, rd := newReceivers(), newReader()
		rc.on("a", rd.reads(func(name string, _ *http.Request) egress.Response {
			if strings.HasPrefix(name, "k ") {
				return egress.Response{Status: http.StatusInternalServerError}
			}
			return egress.Response{Status: http.StatusOK}
		}))
		r := start(t, rc.options, ordered())
		rd.postAll(r, "k", 1, 3)
		rd.postAll(r, "none", 0, 3)
		err := r.Enqueue(t.Context(), deliver.Deferral{Route: "cms/a", Key: 1, Event: anEvent(rd.expect("redriven 0"))})
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if len(rd.of("k")) != 1 || len(rd.of("none")) != 3 || len(rd.of("redriven")) != 1 {
			t.Errorf("there were %v", rd.got)
		}
	})
}

func TestTheChainsOfARouteThatIsGoneAreGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rc.on("a", nil)
		r := start(t, rc.options, ordered())
		const n = 200
		for i := range n {
			r.postKey(fmt.Sprint(i), route.Key(1+i%20))
		}
		pass(time.Second)
		r.table(t)
		r.postKey("late", 1) // for no route any more
		r.pass(5 * time.Minute)
		_, dead := r.backlog.kept()
		if len(dead) != n || r.countReleased() != n+1 {
			t.Errorf("%d are dead, %d are released", len(dead), r.countReleased())
		}
		for _, l := range dead {
			if l.Why.Reason != outcome.RouteGone {
				t.Errorf("one died of %s", l.Why.Reason)
			}
		}
		pass(20 * time.Second)
		if r.Count() != 0 || len(r.backlog.parked) != 0 {
			t.Errorf("%d lanes are left, and %d that are put off", r.Count(), len(r.backlog.parked))
		}
	})
}

func TestWhatWaitsTooLongBehindKeysDies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		held := ordered()
		held.Hold, held.Retry.MaxAge = "Disabled", 2*time.Hour
		r := start(t, rc.options, held)
		const n = 500
		for i := range n {
			r.postKey(fmt.Sprint(i), route.Key(1+i%100))
		}
		r.pass(time.Hour)
		r.postKey("young", 1)
		r.pass(time.Hour + 3*time.Minute)
		_, dead := r.backlog.kept()
		if len(dead) != n || dead[0].Why.Reason != outcome.Held {
			t.Fatalf("dead are %d", len(dead))
		}
		if ds := r.backlog.waiting("cms/a", 1); len(ds) != 1 || ds[0].Event.ID != "young" || r.Chains() != 1 {
			t.Errorf("%+v wait, in %d chains", ds, r.Chains())
		}
		if s := r.facts(); s.Stored != 1 || s.Pending != 0 || rc.count("a") != 0 {
			t.Errorf("the facts are %+v", s)
		}
	})
}

func TestAnOrderThatWasTakenAwayIsKeptByWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc, rd := newReceivers(), newReader()
		slowly := after(50 * time.Millisecond)
		rc.on("a", rd.reads(func(_ string, req *http.Request) egress.Response { return slowly(req) }))
		r := start(t, rc.options, ordered())
		rd.postAll(r, "old", 1, 60)
		changed := ordered()
		changed.URL = "http://a/new"
		r.table(t, changed)
		rd.postAll(r, "new", 0, 20)
		pass(200 * time.Millisecond)
		if got := rd.of("new"); len(got) != 20 {
			t.Errorf("of those without an order %v are delivered", got)
		}
		pass(20 * time.Second)
		if got := rd.of("old"); !slices.Equal(got, names("old", 60)) {
			t.Errorf("the order is %v", got)
		}
	})
}

func TestKeysBeyondTheBoundShareChains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		held := ordered()
		held.Hold = "Disabled"
		r := start(t, rc.options, held)
		const n = 20_000
		for i := range n {
			r.postKey(fmt.Sprint(i), route.Key(i+1))
		}
		pass(time.Minute)
		if got := r.Chains(); got != 16384+1024 {
			t.Errorf("there are %d chains", got)
		}
		r.table(t, ordered())
		pass(5 * time.Minute)
		if rc.count("a") != n || r.Chains() != 0 {
			t.Errorf("%d of %d are delivered, %d chains are left", rc.count("a"), n, r.Chains())
		}
	})
}

func TestSharedBacklogsKeepNoOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rc.on("a", after(time.Second))
		r := start(t, func(o *deliver.Options) { rc.options(o); o.Shared = true }, ordered())
		for i := range 5 {
			r.postKey(fmt.Sprint(i), 1)
		}
		pass(100 * time.Millisecond)
		if got := rc.atOnce("a"); got != 5 {
			t.Errorf("%d attempts are under way", got)
		}
	})
}

func TestAWriteThatHasToWaitKeepsTheOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc, rd := newReceivers(), newReader()
		rc.on("a", nil)
		other := aRoute("other", "http://b/")
		other.Hold = "Disabled"
		slow := ordered()
		slow.Timeout = 20 * time.Second
		r := start(t, rc.options, slow, other)
		var feeding sync.WaitGroup
		all := names("k", 12)
		for _, name := range all[:6] {
			r.postKeyTo(rd.expect(name), 1, "cms/a")
		}
		r.backlog.fail(true)
		feeding.Go(func() { // more than may wait for the store
			for i := range 8000 {
				r.post(fmt.Sprint(i), "cms/other")
			}
		})
		pass(5 * time.Second) // the first six are on their way to the store, too
		feeding.Go(func() {
			for _, name := range all[6:] {
				r.postKeyTo(rd.expect(name), 1, "cms/a")
			}
		})
		pass(time.Second)
		rc.on("a", rd.reads(func(string, *http.Request) egress.Response { return egress.Response{Status: http.StatusOK} }))
		r.backlog.fail(false)
		r.pass(5 * time.Minute)
		feeding.Wait()
		if got := rd.of("k"); !slices.Equal(got, all) {
			t.Errorf("the order is %v", got)
		}
	})
}

func TestWhatTheStoreCountedInVainBlocksAKeyForAMinuteOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		b := &backlog{}
		if err := b.Defer(t.Context(), deliver.Deferral{Route: "cms/a", Key: 1, Event: anEvent("lost")}); err != nil {
			t.Fatal(err)
		}
		r := startOn(t, b, rc.options, ordered())
		b.unpark(b.parked[0])
		r.postKey("behind", 1)
		pass(30 * time.Second)
		if rc.count("a") != 0 {
			t.Error("it was attempted before what is put off, as far as anybody knows")
		}
		pass(time.Minute)
		if rc.count("a") != 1 || r.Chains() != 0 {
			t.Errorf("there were %d attempts, %d chains are left", rc.count("a"), r.Chains())
		}
	})
}

// A write that was tried again leaves two of what it wrote. The second comes back
// when its key may have something in a slot by then.
func TestWhatComesBackTwiceLetsNothingOvertakeWhatSharesASlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		var mu sync.Mutex
		var got []string
		slowly := after(time.Second)
		rc.on("a", func(req *http.Request) egress.Response {
			mu.Lock()
			got = append(got, req.Header.Get("Webhook-Id"))
			mu.Unlock()
			return slowly(req)
		})
		r := start(t, rc.options, aRoute("a", "http://a/"))
		r.BoundChains(2) // one of its own
		var want []string
		for i := range 60 {
			r.postKey(fmt.Sprint("other ", i), 2)
			id := fmt.Sprint(i)
			r.postKey(id, 1026)
			want = append(want, anEvent(id).Key().String())
		}
		pass(10 * time.Second)
		r.Resume(deliver.Deferral{Route: "cms/a", Key: 1026, Attempts: 1, Event: anEvent("again")}, r.claim("again"))
		r.postKey("last", 1026)
		want = append(want, anEvent("last").Key().String())
		pass(5 * time.Minute)
		got = slices.DeleteFunc(got, func(id string) bool { return !slices.Contains(want, id) })
		if !slices.Equal(got, want) {
			t.Errorf("it was sent %d events, want %d: the last was number %d", len(got), len(want), slices.Index(got, want[len(want)-1])+1)
		}
	})
}
