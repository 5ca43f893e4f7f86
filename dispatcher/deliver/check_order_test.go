package deliver_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/route"
)

// postNumber hands in the i-th event of a key, which says n.
func (r *rig) postNumber(i, n int, unchecked bool) {
	st := r.accept(fmt.Sprint(i), fmt.Appendf(nil, `{"n":%d}`, n))
	st.Seq = uint64(i)
	r.hand(st, route.Match{Key: 7, Unchecked: unchecked}, "cms/a")
}

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
			if i%3 == 1 {
				want = append(want, anEvent(fmt.Sprint(i)).Key().String())
			}
			r.postNumber(i, i%3, i%2 == 0 || i%3 != 1)
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
		r := start(t, rc.options, aHeldPicky())
		for i := range 10 {
			r.postNumber(i, i%2, true)
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
		r := start(t, rc.options, aHeldPicky(), aRoute("other/b", "http://b/"))
		for i := range 10 {
			r.postNumber(i, i%2, true)
		}
		pass(time.Second)
		leave := r.occupyChecks(t, "cms") // a dear one, of another of its lanes
		pass(3 * time.Hour)
		delivered := false
		go func() {
			r.postNumber(10, 0, true)
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
		b := &backlog{}
		old := unchecked("cms/a", 0, 2*time.Hour)
		for i, d := range old {
			d.Key = route.Key(i + 1)
			if err := b.Defer(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		r := startOn(t, b, rc.options, aHeldPicky())
		r.recorder.Stored("cms/a", len(old))
		leave := r.occupyChecks(t, "cms")
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
		if _, dead := r.backlog.kept(); len(dead) != 5 || rc.count("a") != 0 {
			t.Errorf("%d are dead, want 5", len(dead))
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
				b := &backlog{}
				for _, d := range unchecked("cms/a", key, 2*time.Hour) {
					if err := b.Enqueue(t.Context(), d); err != nil {
						t.Fatal(err)
					}
				}
				r := startOn(t, b, rc.options, aHeldPicky())
				r.occupyChecks(t, "cms")
				pass(2 * time.Hour)
				r.stop()
				if _, dead := b.kept(); len(dead) != 0 || len(b.waiting("cms/a", key)) != 10 {
					t.Errorf("%d are dead, %d wait", len(dead), len(b.waiting("cms/a", key)))
				}
			})
		})
	}
}
