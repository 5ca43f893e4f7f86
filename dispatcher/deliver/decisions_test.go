package deliver_test

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestBreaker(t *testing.T) {
	t.Parallel()
	policy := route.Breaker{Failures: 3, OpenFor: time.Minute}
	fail := func(b *deliver.Breaker, n int, now time.Time) {
		for range n {
			b.End(policy, false, false, now)
		}
	}
	// probe lets the time pass until the breaker probes, and tells how that ends.
	probe := func(t *testing.T, b *deliver.Breaker, ok bool) (pause time.Duration) {
		t.Helper()
		at := b.Until()
		if b.Shut(at) || !b.Shut(at.Add(-1)) || !b.Probes() || b.State() != outcome.BreakerHalfOpen {
			t.Fatalf("at its time it does not probe: %q until %s", b.State(), b.Until())
		}
		b.End(policy, ok, true, at)
		return b.Until().Sub(at)
	}
	t.Run("it opens after so many failures in a row", func(t *testing.T) {
		var b deliver.Breaker
		fail(&b, 2, noon)
		b.End(policy, true, false, noon)
		fail(&b, 2, noon)
		if b.State() != outcome.BreakerClosed {
			t.Fatal("it opened although a success lay between")
		}
		fail(&b, 1, noon)
		if b.State() != outcome.BreakerOpen || b.Until() != noon.Add(time.Minute) {
			t.Errorf("it is %q until %s", b.State(), b.Until())
		}
	})
	t.Run("a probe that succeeds closes it", func(t *testing.T) {
		var b deliver.Breaker
		fail(&b, 3, noon)
		probe(t, &b, true)
		if b.State() != outcome.BreakerClosed || b.Probes() {
			t.Errorf("it is %q", b.State())
		}
	})
	t.Run("each probe that fails doubles the time, up to eight times", func(t *testing.T) {
		var b deliver.Breaker
		fail(&b, 3, noon)
		var pauses []time.Duration
		for range 5 {
			pauses = append(pauses, probe(t, &b, false))
		}
		if want := []time.Duration{2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 8 * time.Minute, 8 * time.Minute}; !slices.Equal(pauses, want) {
			t.Errorf("the pauses are %v, want %v", pauses, want)
		}
	})
	t.Run("what began before it opened changes nothing", func(t *testing.T) {
		var b deliver.Breaker
		fail(&b, 3, noon)
		fail(&b, 5, noon.Add(time.Second))
		b.End(policy, true, false, noon.Add(time.Second))
		if b.State() != outcome.BreakerOpen || b.Until() != noon.Add(time.Minute) {
			t.Errorf("it is %q until %s", b.State(), b.Until())
		}
	})
	t.Run("without a policy it never opens", func(t *testing.T) {
		var b deliver.Breaker
		for range 1000 {
			b.End(route.Breaker{}, false, false, noon)
		}
		if b.State() != outcome.BreakerClosed {
			t.Errorf("it is %q", b.State())
		}
	})
}

func TestThrottle(t *testing.T) {
	t.Parallel()
	answered := func(code int, retryAfter time.Duration) outcome.Outcome {
		return outcome.Outcome{Reason: outcome.FromStatus(code), Status: code, RetryAfter: retryAfter}
	}
	const allowed = 8
	// round lets as many attempts as may be under way at once end with code.
	round := func(th *deliver.Throttle, code int) int {
		var begun []uint64
		for range th.Concurrency(allowed) {
			begun = append(begun, th.Begin())
		}
		for _, nth := range begun {
			th.End(nth, answered(code, 0), allowed, noon)
		}
		return th.Concurrency(allowed)
	}
	t.Run("it halves once in each round, down to one", func(t *testing.T) {
		for _, code := range []int{429, 502, 503, 504} {
			var th deliver.Throttle
			var got []int
			for range 5 {
				got = append(got, round(&th, code))
			}
			if want := []int{4, 2, 1, 1, 1}; !slices.Equal(got, want) {
				t.Errorf("after rounds of %d it is %v, want %v", code, got, want)
			}
		}
	})
	t.Run("it grows by one after each round of successes", func(t *testing.T) {
		var th deliver.Throttle
		round(&th, http.StatusTooManyRequests)
		var got []int
		for range 6 {
			got = append(got, round(&th, http.StatusOK))
		}
		if want := []int{5, 6, 7, 8, 8, 8}; !slices.Equal(got, want) {
			t.Errorf("after rounds of successes it is %v, want %v", got, want)
		}
	})
	t.Run("other failures leave it", func(t *testing.T) {
		for _, code := range []int{400, 404, 410, 500, 501} {
			var th deliver.Throttle
			if got := round(&th, code); got != allowed {
				t.Errorf("after %d it is %d", code, got)
			}
		}
	})
	silence := outcome.Outcome{Reason: outcome.Timeout}
	t.Run("a receiver that answers nothing in time gets one at a time", func(t *testing.T) {
		var th deliver.Throttle
		var begun []uint64
		for range allowed {
			begun = append(begun, th.Begin())
		}
		for _, nth := range begun {
			th.End(nth, silence, allowed, noon)
		}
		if got := th.Concurrency(allowed); got != 1 {
			t.Fatalf("it is %d", got)
		}
		if got := []int{round(&th, 200), round(&th, 200)}; !slices.Equal(got, []int{2, 3}) {
			t.Errorf("after rounds of successes it is %v", got)
		}
	})
	t.Run("one that answers others meanwhile gets half", func(t *testing.T) {
		for _, code := range []int{200, 404, 500} {
			var th deliver.Throttle
			late := th.Begin()
			th.End(th.Begin(), answered(code, 0), allowed, noon)
			th.End(late, silence, allowed, noon)
			if got := th.Concurrency(allowed); got != allowed/2 {
				t.Errorf("it has answered %d, and it is %d", code, got)
			}
		}
	})
	t.Run("it begins again with one", func(t *testing.T) {
		var th deliver.Throttle
		th.Restart()
		if got := []int{th.Concurrency(allowed), round(&th, 200), round(&th, 200)}; !slices.Equal(got, []int{1, 2, 3}) {
			t.Errorf("it is %v", got)
		}
	})
	t.Run("it rests as long as it is asked to, a minute at most", func(t *testing.T) {
		for asked, want := range map[time.Duration]time.Duration{10 * time.Second: 10 * time.Second, time.Hour: time.Minute} {
			var th deliver.Throttle
			th.End(th.Begin(), answered(503, asked), allowed, noon)
			th.End(th.Begin(), answered(503, time.Second), allowed, noon) // does not shorten it
			if got := th.Until().Sub(noon); got != want {
				t.Errorf("asked for %s it rests for %s, want %s", asked, got, want)
			}
		}
	})
	t.Run("never less than one", func(t *testing.T) {
		var th deliver.Throttle
		if got := th.Concurrency(0); got != 1 {
			t.Errorf("it is %d", got)
		}
	})
}

func TestNamespacesShareAPool(t *testing.T) {
	t.Parallel()
	fill := func(s *deliver.Portion) int {
		for s.Take(1) {
		}
		return s.Held()
	}
	t.Run("one that takes all it can get has half", func(t *testing.T) {
		s := deliver.NewPortions(100, 2)
		if got := fill(s[0]); got != 50 {
			t.Errorf("it has %d of 100", got)
		}
		if got := fill(s[1]); got == 0 {
			t.Error("a newcomer finds no room")
		}
	})
	t.Run("several that take in turns share evenly", func(t *testing.T) {
		s := deliver.NewPortions(100, 4)
		for range 100 {
			for _, one := range s {
				one.Take(1)
			}
		}
		for _, one := range s {
			if got := one.Held(); got < 19 || got > 21 {
				t.Errorf("one of four has %d, want a fifth of 100", got)
			}
		}
	})
	t.Run("who holds more than its share is over, and gives back until it is not", func(t *testing.T) {
		s := deliver.NewPortions(100, 2)
		fill(s[0])
		fill(s[1])
		if !s[0].Over() {
			t.Fatalf("it holds %d, the other %d", s[0].Held(), s[1].Held())
		}
		for s[0].Over() {
			s[0].Force(-1)
		}
		if got := s[0].Held(); got < 33 || got > 38 {
			t.Errorf("it goes back to %d of 100", got)
		}
	})
}

func TestPressure(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		open, left int64
		busy       int
		fair       int
		stuck      time.Duration
		slow       time.Duration
	}{
		{"an idle window leaves the least patience", 0, 0, 0, 256, 250 * time.Millisecond, time.Second},
		{"so does one in which nothing moves", 16384, 0, 164, 199, 250 * time.Millisecond, time.Second},
		{"when it moves fast, too", 1000, 5000, 100, 256, 250 * time.Millisecond, time.Second},
		{"when all take their time, a lane may as well", 16000, 8000, 100, 256, 500 * time.Millisecond, 2 * time.Second},
		{"but not for ever", 16000, 10, 1000, 32, time.Second, 4 * time.Second},
		{"many busy lanes have at least the bound of a slow one", 16000, 8000, 10000, 16, 500 * time.Millisecond, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fair, stuck, slow := deliver.Pressure(tt.open, tt.left, 250*time.Millisecond, tt.busy)
			if fair != tt.fair || stuck != tt.stuck || slow != tt.slow {
				t.Errorf("got %d, %s, %s; want %d, %s, %s", fair, stuck, slow, tt.fair, tt.stuck, tt.slow)
			}
		})
	}
}

func TestBurst(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		rate      route.Rate
		perSecond float64
		burst     int
	}{
		{"none", route.Rate{}, 0, 0},
		{"of a second", route.Rate{Requests: 100, Per: time.Second}, 100, 100},
		{"of a minute: what a second allows at once", route.Rate{Requests: 600, Per: time.Minute}, 10, 10},
		{"seldom: one by one", route.Rate{Requests: 6, Per: time.Minute}, 0.1, 1},
		{"of less than a second: no more than it says", route.Rate{Requests: 5, Per: 100 * time.Millisecond}, 50, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			perSecond, burst := deliver.Burst(tt.rate)
			if perSecond != tt.perSecond || burst != tt.burst {
				t.Errorf("it is %v per second, %d at once; want %v and %d", perSecond, burst, tt.perSecond, tt.burst)
			}
		})
	}
}

func TestAFifoKeepsTheOrderWhateverIsTakenOut(t *testing.T) {
	t.Parallel()
	dice := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test wants the same numbers each time
	var f deliver.Fifo
	var model []int
	for n := range 20000 {
		switch k := dice.IntN(20); {
		case k < 11:
			f.Push(n)
			model = append(model, n)
		case k < 19 && len(model) > 0:
			if got := f.Pop(); got != model[0] {
				t.Fatalf("it gave %d, want %d", got, model[0])
			}
			model = model[1:]
		case k == 19:
			goes := func(n int) bool { return n%3 == 0 }
			var want []int
			model = slices.DeleteFunc(slices.Clone(model), func(n int) bool {
				if goes(n) {
					want = append(want, n)
				}
				return goes(n)
			})
			if got := f.Sift(goes); !slices.Equal(got, want) {
				t.Fatalf("it took out %v, want %v", got, want)
			}
		}
		if f.Len() != len(model) {
			t.Fatalf("it holds %d, want %d", f.Len(), len(model))
		}
	}
}
