package deliver_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/route"
)

func ordered() route.Route {
	rt := aRoute("a", "http://a/")
	rt.Concurrency = 10
	return rt
}

func TestDeliveriesOfOneKeyGoOneAfterTheOtherAndThoseOfOthersMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc, rd := newReceivers(), newReader()
		rc.on("a", rd.slowly(100*time.Millisecond))
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

func TestReceiversOfManyKeysThatHangDoNotHoldUpOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		r := start(t, rc.options, append(rc.hogs(100, 100, 30*time.Second), aRoute("a", "http://healthy/"))...)
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

func TestAnOrderThatWasTakenAwayIsKeptByWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc, rd := newReceivers(), newReader()
		rc.on("a", rd.slowly(50*time.Millisecond))
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

func TestWhatHasAKeyIsAttemptedOnlyWhileThisDispatcherLeads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rc.on("a", after(time.Second))
		var leads atomic.Bool
		leads.Store(true)
		r := start(t, func(o *deliver.Options) { rc.options(o); o.Leads = leads.Load }, ordered())
		for i := range 5 {
			r.postKey(fmt.Sprint(i), 1)
		}
		pass(1500 * time.Millisecond)
		leads.Store(false) // with the second under way
		pass(time.Minute)
		if n := rc.count("a"); n != 2 {
			t.Errorf("%d attempts were made, want 2", n)
		}
		leads.Store(true)
		pass(time.Minute)
		if n := rc.count("a"); n != 5 {
			t.Errorf("%d attempts were made, want 5", n)
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
			r.postAll("", 8000, "cms/other")
		})
		pass(5 * time.Second) // the first six are on their way to the store, too
		feeding.Go(func() {
			for _, name := range all[6:] {
				r.postKeyTo(rd.expect(name), 1, "cms/a")
			}
		})
		pass(time.Second)
		rc.on("a", rd.slowly(0))
		r.backlog.fail(false)
		r.pass(5 * time.Minute)
		feeding.Wait()
		if got := rd.of("k"); !slices.Equal(got, all) {
			t.Errorf("the order is %v", got)
		}
	})
}
