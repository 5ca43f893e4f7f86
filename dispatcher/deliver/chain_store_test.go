package deliver_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
)

func TestMoreThanFitsOfAKeyGoesThroughTheStoreInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc, rd := newReceivers(), newReader()
		rc.on("a", rd.slowly(20*time.Millisecond))
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
		rc.on("a", rd.slowly(0))
		r.pass(3 * time.Minute)
		if got := rd.of("k"); !slices.Equal(got, names("k", 10)) {
			t.Errorf("the order is %v, and what was copied is to go once", got)
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
		rc.on("a", rd.slowly(300*time.Millisecond))
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

func TestWhatComesBackTwiceLetsNothingOvertakeWhatSharesASlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc, rd := newReceivers(), newReader()
		rc.on("a", rd.slowly(time.Second))
		r := start(t, rc.options, aRoute("a", "http://a/"))
		r.BoundChains(2) // one of its own
		want := names("k", 61)
		for i, name := range want[:60] {
			r.postKey(fmt.Sprint("other ", i), 2)
			r.postKey(rd.expect(name), 1026)
		}
		pass(10 * time.Second)
		r.Resume(deliver.Deferral{Route: "cms/a", Key: 1026, Attempts: 1, Event: anEvent("again")}, r.claim("again"))
		r.postKey(rd.expect(want[60]), 1026)
		pass(5 * time.Minute)
		if got := rd.of("k"); !slices.Equal(got, want) {
			t.Errorf("the order is %v", got)
		}
	})
}

func TestWhatComesAfterACrashGoesBehindTheChainOfItsKeyAndItsSlot(t *testing.T) {
	t.Parallel()
	const key = route.Key(1026)
	slot := deliver.SlotOf(key)
	for _, tt := range []struct {
		name             string
		waiting, settled route.Key // chains of what waits, and of what was done with before
		isParked         bool      // what was done with
	}{
		{"what waits is in the slot", slot, key, false},
		{"what waits is in the slot, and something is put off", slot, key, true},
		{"what waits is in its own chain", key, slot, false},
		{"what waits is in its own chain, and something is put off", key, slot, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rc, rd := newReceivers(), newReader()
				rc.on("a", rd.slowly(time.Second))
				b := &backlog{}
				store := b.Enqueue
				if tt.isParked {
					store = b.Defer
				}
				again := deliver.Deferral{Route: "cms/a", Key: tt.settled, Attempts: 1, Event: anEvent(rd.expect("again 0"))}
				if err := store(t.Context(), again); err != nil {
					t.Fatal(err)
				}
				want := names("k", 8)
				for _, name := range want[:5] {
					d := deliver.Deferral{Route: "cms/a", Key: tt.waiting, Event: anEvent(rd.expect(name))}
					if err := b.Enqueue(t.Context(), d); err != nil {
						t.Fatal(err)
					}
				}
				r := startOn(t, b, rc.options, ordered())
				for _, name := range want[5:] {
					r.postKey(rd.expect(name), key)
				}
				r.pass(time.Minute)
				if got := rd.of("k"); !slices.Equal(got, want) {
					t.Errorf("the order is %v", got)
				}
				if n := len(rd.of("again")); n != 1 || r.Chains() != 0 || len(b.parked)+len(b.waiting("cms/a", key))+len(b.waiting("cms/a", slot)) != 0 {
					t.Errorf("what was done with went out %d times, %d chains are left", n, r.Chains())
				}
			})
		})
	}
}
