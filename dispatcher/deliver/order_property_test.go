package deliver_test

import (
	"flag"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/dispatcher/route"
)

var histories = flag.Uint64("histories", 16, "how many histories of ordered deliveries are tried")

// TestOrderIsKeptWhateverHappens has receivers and the store fail, tables change,
// breakers open, and dispatchers stop and crash at any moment, also in the middle
// of a write. The promise: no event is attempted for the first time before all
// earlier ones with its key are delivered or dead, and none is lost.
func TestOrderIsKeptWhateverHappens(t *testing.T) {
	t.Parallel()
	for seed := range *histories {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { newWorld(t, seed).history(t) })
		})
	}
}

// history is some hours of what may happen.
func (w *world) history(t *testing.T) {
	t.Helper()
	l := w.begin(t)
	for range 150 {
		w.happens(l)
		if w.roll(12) == 0 {
			w.mu.Lock()
			w.crashIn = 1 + w.dice.IntN(60)
			w.mu.Unlock()
		}
		if w.roll(30) == 0 {
			w.change(func() { l.crash() })
		}
		if w.roll(30) == 0 {
			l.stop()
		}
		pass(time.Duration(w.roll(int(w.pause()))))
		if l.ended() || l.Halted() {
			l.stop()
			l = w.begin(t)
		}
		if t.Failed() {
			l.stop()
			return
		}
	}
	w.mend(t, l)
}

func (w *world) pause() time.Duration {
	return []time.Duration{50 * time.Millisecond, time.Second, 10 * time.Second, 3 * time.Minute}[w.roll(4)]
}

func (w *world) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// happens has something happen, but for an end.
func (w *world) happens(l *life) {
	switch w.roll(10) {
	case 0, 1:
		w.change(func() { w.mood = w.aMood() })
	case 2:
		w.change(func() { w.table = w.aTable() })
		l.put(l.t)
	case 3:
		w.change(func() { w.failing = []int{prompt, bulk, all}[w.dice.IntN(3)] })
		time.AfterFunc(time.Duration(w.roll(int(20*time.Second))), func() { w.change(func() { w.failing = 0 }) })
		if w.roll(3) == 0 {
			time.AfterFunc(time.Duration(w.roll(int(10*time.Second))), func() { w.change(l.crash) })
		}
	default:
		w.change(func() {
			for range 1 + w.dice.IntN(12) {
				p := &publication{first: len(w.events), n: 1 + w.dice.IntN(6)}
				for range p.n {
					w.numbers[anEvent(fmt.Sprint(len(w.events))).Key().String()] = len(w.events)
					e := &published{key: w.keys[w.dice.IntN(len(w.keys))], wanted: len(w.events)%10 != 7}
					e.unchecked = !e.wanted || w.dice.IntN(4) == 0
					w.events = append(w.events, e)
				}
				w.stream = append(w.stream, p)
			}
		})
	}
}

func (w *world) aMood() func(int) answer {
	dice := w.dice
	for {
		switch dice.IntN(8) {
		case 0:
			return func(int) answer { return answer{} }
		case 1:
			return func(int) answer { return answer{status: http.StatusInternalServerError} }
		case 2: // of one key only
			bad := w.keys[dice.IntN(len(w.keys))]
			return func(n int) answer {
				if w.events[n].key == bad {
					return answer{status: http.StatusInternalServerError, after: 20 * time.Millisecond}
				}
				return answer{status: http.StatusOK, after: 5 * time.Millisecond}
			}
		case 3:
			return func(int) answer {
				return answer{status: http.StatusOK, after: time.Duration(dice.IntN(4)) * time.Second}
			}
		case 4:
			return func(int) answer {
				return answer{status: []int{200, 200, 500, 400, 0}[dice.IntN(5)], after: 30 * time.Millisecond}
			}
		default:
			return func(int) answer {
				return answer{status: http.StatusOK, after: time.Duration(dice.IntN(30)) * time.Millisecond}
			}
		}
	}
}

const wantsMost = `!event.id.endsWith("7")`

// aTable is one route of some kind.
func (w *world) aTable() route.Route {
	rt := aPicky("a", "http://a/", wantsMost)
	rt.Concurrency = []int{1, 2, 10}[w.dice.IntN(3)]
	rt.Timeout = []time.Duration{time.Second, 5 * time.Second}[w.dice.IntN(2)]
	rt.Retry.Backoff = [][]time.Duration{
		{time.Second, 5 * time.Second, time.Minute}, {200 * time.Millisecond}, {time.Minute, 5 * time.Minute},
	}[w.dice.IntN(3)]
	rt.Retry.MaxAge = []time.Duration{5 * time.Minute, time.Hour, 72 * time.Hour}[w.dice.IntN(3)]
	switch w.dice.IntN(6) {
	case 0:
		rt.Hold = "Disabled"
	case 1, 2:
		rt.Breaker = route.Breaker{Failures: 2, OpenFor: 10 * time.Second}
	case 3:
		rt.RateLimit = route.Rate{Requests: 20, Per: time.Second}
	}
	return rt
}

// mend makes all well: then everything is delivered or dead.
func (w *world) mend(t *testing.T, l *life) {
	t.Helper()
	w.change(func() {
		w.crashIn, w.failing = 0, 0
		w.mood = func(int) answer { return answer{status: http.StatusOK} }
		w.table = aPicky("a", "http://a/", wantsMost)
		w.table.Retry.MaxAge, w.table.Epoch = 72*time.Hour, "mended"
	})
	pass(time.Minute)
	if l.ended() { // a crash that was planned before
		l.stop()
		l = w.begin(t)
	}
	l.put(t)
	pass(45 * time.Minute)
	w.mu.Lock()
	var lost []string
	for n, e := range w.events {
		if e.wanted && !e.delivered && !e.dead {
			lost = append(lost, fmt.Sprintf("%d of the key %d", n, e.key))
		}
	}
	open := 0
	for _, p := range w.stream {
		if !p.settled {
			open++
		}
	}
	left := len(w.parked)
	for _, q := range w.queues {
		left += len(q)
	}
	w.mu.Unlock()
	if len(lost) > 0 || open > 0 || left > 0 {
		t.Errorf("of %d events %d are lost (%s), %d publications are not settled, %d deliveries are left in the store; %d crashes",
			len(w.events), len(lost), strings.Join(lost[:min(len(lost), 10)], ", "), open, left, w.crashes)
	}
	if n := l.Chains(); n != 0 {
		t.Errorf("%d chains are left", n)
	}
	for all, _ := l.facts.Since(0); len(all) > 0; all = all[1:] {
		if s := all[0]; s.Pending != 0 {
			t.Errorf("%d are counted as pending", s.Pending)
		}
	}
	l.stop()
	for what, n := range l.Held() {
		if n != 0 {
			t.Errorf("%d are counted in %q", n, what)
		}
	}
	t.Logf("%d events, %d attempts, %d crashes", len(w.events), w.tries, w.crashes)
}
