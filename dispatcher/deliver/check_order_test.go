package deliver_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/route"
)

func TestUncheckedDeliveriesOfOneKeyKeepTheirOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		var got []string
		slowly := after(50 * time.Millisecond)
		rc.on("a", func(req *http.Request) egress.Response {
			got = append(got, req.Header.Get("Webhook-Id"))
			return slowly(req)
		})
		rt := aPicky("a", "http://a/", wantsOne)
		rt.Concurrency = 10
		r := start(t, rc.options, rt)
		var want []string
		const n = 100 // more than wait in memory
		for i := range n {
			st := event.Stored{Seq: uint64(i), Claim: r.claim(fmt.Sprint(i)), Event: anEvent(fmt.Sprint(i))}
			st.Event.Data = fmt.Appendf(nil, `{"n":%d}`, i%3)
			if i%3 == 1 {
				want = append(want, st.Event.Key().String())
			}
			st.Claim.Add(1)
			r.Deliver(st, []route.Match{{Entry: r.router.Load().Lookup("cms/a"), Key: 7, Unchecked: i%2 == 0 || i%3 != 1}})
			st.Claim.Done()
		}
		pass(2 * time.Minute)
		if !slices.Equal(got, want) {
			t.Errorf("it was sent %d events, want %d: %v", len(got), len(want), got)
		}
		if s := r.facts(); s.Pending != 0 || s.Stored != 0 || r.countReleased() != n {
			t.Errorf("the facts are %+v, %d claims are released", s, r.countReleased())
		}
	})
}

func TestWhatIsTooOldInTheQueueOfAKeyBecomesADeadLetterOnlyIfItIsForTheRoute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		held := aPicky("a", "http://a/", wantsOne)
		held.Hold = "RefNotFound"
		r := start(t, rc.options, held)
		for i := range 10 {
			st := event.Stored{Seq: uint64(i), Claim: r.claim(fmt.Sprint(i)), Event: anEvent(fmt.Sprint(i))}
			st.Event.Data = fmt.Appendf(nil, `{"n":%d}`, i%2)
			st.Claim.Add(1)
			r.Deliver(st, []route.Match{{Entry: r.router.Load().Lookup("cms/a"), Key: 7, Unchecked: true}})
			st.Claim.Done()
		}
		pass(3 * time.Hour)
		if _, dead := r.backlog.kept(); len(dead) != 5 || rc.count("a") != 0 {
			t.Errorf("%d are dead, want 5", len(dead))
		}
		if s := r.facts(); s.Pending != 0 || s.Stored != 0 || r.countReleased() != 10 {
			t.Errorf("the facts are %+v, %d claims are released", s, r.countReleased())
		}
	})
}

func TestWhatIsTooOldWaitsForItsCheckWithoutHoldingUpOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		held := aPicky("a", "http://a/", wantsOne)
		held.Hold = "RefNotFound"
		r := start(t, rc.options, held, aRoute("other/b", "http://b/"))
		post := func(i int) {
			st := event.Stored{Seq: uint64(i), Claim: r.claim(fmt.Sprint(i)), Event: anEvent(fmt.Sprint(i))}
			st.Event.Data = fmt.Appendf(nil, `{"n":%d}`, i%2)
			st.Claim.Add(1)
			r.Deliver(st, []route.Match{{Entry: r.router.Load().Lookup("cms/a"), Key: 7, Unchecked: true}})
			st.Claim.Done()
		}
		for i := range 10 {
			post(i)
		}
		pass(time.Second)
		leave := r.EnterCheck("cms") // a dear one, of another of its lanes
		pass(3 * time.Hour)
		delivered := false
		go func() {
			post(10)
			r.post("11", "other/b")
			delivered = true
		}()
		pass(5 * time.Second)
		if !delivered || rc.count("b") != 1 {
			t.Error("the events of others wait for the check")
		}
		leave()
		pass(5 * time.Minute)
		if _, dead := r.backlog.kept(); len(dead) != 5 || rc.count("a") != 0 {
			t.Errorf("%d are dead, want 5", len(dead))
		}
		if s := r.facts(); s.Pending != 0 || s.Stored != 1 {
			t.Errorf("the facts are %+v", s)
		}
	})
}

// What was put off comes back to a lane that may not check it in its turn.
func TestWhatComesBackTooOldWaitsForItsCheckWithoutHoldingUpOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		held := aPicky("a", "http://a/", wantsOne)
		held.Hold = "RefNotFound"
		b := &backlog{}
		const n = 10
		for i := range n {
			d := deliver.Deferral{Route: "cms/a", Key: route.Key(i + 1), Unchecked: true, Due: time.Now(), Event: anEvent(fmt.Sprint(i))}
			d.Event.Data, d.Event.Accepted = fmt.Appendf(nil, `{"n":%d}`, i%2), time.Now().Add(-2*time.Hour)
			if err := b.Defer(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		r := startOn(t, b, rc.options, held)
		r.recorder.Stored("cms/a", n)
		leave := r.EnterCheck("cms")
		back := false
		go func() {
			r.pass(time.Second)
			back = true
		}()
		pass(5 * time.Second)
		if !back {
			t.Error("what comes due waits for the check")
		}
		leave()
		r.pass(5 * time.Minute)
		if _, dead := r.backlog.kept(); len(dead) != n/2 || rc.count("a") != 0 {
			t.Errorf("%d are dead, want %d", len(dead), n/2)
		}
		if s := r.facts(); s.Pending != 0 || s.Stored != 0 {
			t.Errorf("the facts are %+v", s)
		}
	})
}

// A stop leaves what nobody could check where it is.
func TestAStopBuriesNothingThatIsNotChecked(t *testing.T) {
	t.Parallel()
	for _, key := range []route.Key{0, 7} {
		t.Run(fmt.Sprint("key=", key), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rc := newReceivers()
				held := aPicky("a", "http://a/", wantsOne)
				held.Hold = "RefNotFound"
				b := &backlog{}
				for i := range 10 {
					d := deliver.Deferral{Route: "cms/a", Key: key, Unchecked: true, Event: anEvent(fmt.Sprint(i))}
					d.Event.Data, d.Event.Accepted = fmt.Appendf(nil, `{"n":%d}`, i%2), time.Now().Add(-2*time.Hour)
					if err := b.Enqueue(t.Context(), d); err != nil {
						t.Fatal(err)
					}
				}
				r := startOn(t, b, rc.options, held)
				r.EnterCheck("cms")
				pass(2 * time.Hour)
				r.stop()
				if _, dead := b.kept(); len(dead) != 0 || len(b.waiting("cms/a", key)) != 10 {
					t.Errorf("%d are dead, %d wait", len(dead), len(b.waiting("cms/a", key)))
				}
			})
		})
	}
}
