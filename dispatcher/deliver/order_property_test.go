package deliver_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
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

// A world is what survives a crash: the store, and what receivers have seen.
type world struct {
	mu      sync.Mutex
	dice    *rand.Rand
	now     *life
	table   route.Route
	crashIn int // writes, reads and attempts; 0 = none is planned

	events  []*published
	numbers map[string]int // of them, by their webhook-id
	stream  []*publication
	queues  map[deliver.QueueID][]*stored
	parked  []*parkedPack
	failing int // see prompt

	mood    func(n int) answer
	keys    []route.Key
	active  map[route.Key]int // attempts under way
	crashes int
	tries   int
}

// A published is an event, known by the number in which it was accepted.
type published struct {
	key       route.Key
	wanted    bool // by the condition, which the lane may have to evaluate
	unchecked bool
	attempted bool // ever
	delivered bool
	dead      bool
}

// A publication is what was accepted in one request, and is settled together.
type publication struct {
	first, n int
	settled  bool
}

type stored struct {
	deliver.Deferral
	taken bool
}

type parkedPack struct {
	ds    []deliver.Deferral
	due   time.Time
	taken bool
}

// What of the store fails: one road of writing, or both, or all of it.
const (
	prompt = 1 << iota
	bulk
	reading
	all = prompt | bulk | reading
)

// An answer of the receiver: a status, or 0 for none at all, after a while.
type answer struct {
	status int
	after  time.Duration
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{
		dice:   rand.New(rand.NewPCG(seed, 7)), //nolint:gosec // a test wants the same numbers each time
		queues: map[deliver.QueueID][]*stored{}, active: map[route.Key]int{}, numbers: map[string]int{},
		keys: []route.Key{1, 2, 3},
		mood: func(int) answer { return answer{status: http.StatusOK} },
	}
	if seed%4 == 0 { // more of them than a lane has room for, and some in one slot
		w.keys = []route.Key{1, 1025, 2049, 2, 1026, 3, 4, 5, 0}
	}
	w.table = w.aTable()
	return w
}

func (w *world) roll(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dice.IntN(n)
}

// A life is a dispatcher from its start to its stop or crash.
type life struct {
	*world
	*deliver.Lanes
	t      *testing.T
	router *route.Current
	facts  outcome.Recorder
	over   chan struct{} // closed by a crash
	stop   func()
	fed    int
}

func (w *world) begin(t *testing.T) *life {
	t.Helper()
	l := &life{world: w, t: t, router: new(route.Current), facts: outcome.NewRecorder(), over: make(chan struct{})}
	w.mu.Lock()
	w.now = l
	clear(w.active)
	for _, q := range w.queues {
		for _, s := range q {
			s.taken = false
		}
	}
	for _, p := range w.parked {
		p.taken = false
	}
	w.mu.Unlock()
	l.put(t)
	l.Lanes = deliver.NewLanes(deliver.Options{
		Router: l.router, Backlog: l, Client: l, Recorder: l.facts, Logger: slog.New(slog.DiscardHandler),
		Metrics: deliver.NewMetrics(prometheus.NewRegistry(), deliver.MetricsOptions{}),
	})
	if len(w.keys) > 4 {
		l.BoundChains(2)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running, feeding sync.WaitGroup
	running.Go(func() { l.Run(ctx) })
	feedCtx, stopFeeding := context.WithCancel(ctx)
	feeding.Go(func() { l.feed(feedCtx) })
	l.stop = sync.OnceFunc(func() {
		l.Halt()
		stopFeeding()
		feeding.Wait()
		cancel()
		running.Wait()
	})
	return l
}

// put puts the table in force.
func (l *life) put(t *testing.T) {
	t.Helper()
	router, err := route.Build(route.Table{Routes: []route.Route{l.table}})
	if err != nil {
		t.Fatal(err)
	}
	l.router.Swap(router)
}

// feed prepares the lanes, and hands them what is not settled and then what
// comes, and what comes due.
func (l *life) feed(ctx context.Context) {
	for l.Prepare(ctx) != nil {
		if !l.wait(ctx, time.Second) {
			return
		}
	}
	var due sync.WaitGroup
	defer due.Wait()
	due.Go(func() {
		for l.wait(ctx, 90*time.Millisecond) {
			l.returnDue(ctx)
		}
	})
	for l.wait(ctx, 40*time.Millisecond) {
		for p := l.nextPublication(); p != nil; p = l.nextPublication() {
			if l.Wait(ctx) != nil || l.ended() {
				return
			}
			l.publish(p)
		}
	}
}

func (l *life) nextPublication() *publication {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.fed < len(l.stream) {
		p := l.stream[l.fed]
		l.fed++
		if !p.settled {
			return p
		}
	}
	return nil
}

func (l *life) publish(p *publication) {
	claim := l.claim(func() { p.settled = true })
	e := l.router.Load().Entries()[0]
	for n := p.first; n < p.first+p.n; n++ {
		claim.Add(1)
		l.Deliver(event.Stored{Event: anEvent(fmt.Sprint(n)), Seq: uint64(p.first), Claim: claim},
			[]route.Match{{Entry: e, Key: l.events[n].key, Unchecked: l.events[n].unchecked}})
	}
	claim.Done()
}

// claim makes a claim whose release takes effect a little later, if the
// dispatcher lives until then.
func (l *life) claim(release func()) *event.Claim {
	return event.NewClaim(func() {
		time.AfterFunc(time.Duration(l.roll(10))*time.Millisecond, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if !l.ended() {
				release()
			}
		})
	})
}

func (l *life) returnDue(ctx context.Context) {
	for _, p := range l.takeDue() {
		claim := l.claim(func() {
			l.parked = slices.DeleteFunc(l.parked, func(q *parkedPack) bool { return q == p })
		})
		for _, d := range p.ds {
			if ctx.Err() != nil {
				return
			}
			claim.Add(1)
			l.Resume(d, claim)
		}
		claim.Done()
	}
}

func (l *life) takeDue() (due []*parkedPack) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.parked {
		if !p.taken && !time.Now().Before(p.due) {
			p.taken = true
			due = append(due, p)
		}
	}
	return due
}

// wait lets time pass, unless ctx ends or the dispatcher crashes.
func (l *life) wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
	case <-l.over:
	}
	return false
}

// takes lets time pass, unless the dispatcher crashes.
func (l *life) takes(d time.Duration) { l.wait(l.t.Context(), d) }

func (l *life) ended() bool {
	select {
	case <-l.over:
		return true
	default:
		return false
	}
}

// crash ends the life at once: from now on nothing that it does has an effect.
func (l *life) crash() {
	if !l.ended() {
		l.crashes++
		close(l.over)
	}
}

// strikes reports whether the crash that is planned happens now.
func (l *life) strikes() bool {
	if l.crashIn > 0 {
		if l.crashIn--; l.crashIn == 0 {
			l.crash()
			return true
		}
	}
	return false
}

var errCrash = errors.New("this dispatcher has crashed")

// write keeps n things, or when it fails or crashes the first few of them.
func (l *life) write(road, n int, keep func(i int)) error {
	l.takes(time.Duration(l.roll(20)) * time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended() {
		return errCrash
	}
	fails := l.failing&road != 0 || l.dice.IntN(20) == 0 || l.Halted() && l.dice.IntN(2) == 0
	if l.strikes() || fails {
		n = l.dice.IntN(n + 1)
	}
	for i := range n {
		keep(i)
	}
	switch {
	case l.ended():
		return errCrash
	case fails:
		return errDisk
	default:
		return nil
	}
}

func (l *life) Defer(_ context.Context, ds ...deliver.Deferral) error {
	p := &parkedPack{}
	return l.write(prompt, len(ds), func(i int) {
		if i == 0 || ds[i].Due.After(p.due) {
			p = &parkedPack{due: ds[i].Due.Add(100 * time.Millisecond)}
			l.parked = append(l.parked, p)
		}
		p.ds = append(p.ds, ds[i])
	})
}

func (l *life) Enqueue(_ context.Context, ds ...deliver.Deferral) error {
	return l.write(bulk, len(ds), func(i int) {
		id := ds[i].Queue()
		l.queues[id] = append(l.queues[id], &stored{Deferral: ds[i]})
	})
}

func (l *life) Bury(_ context.Context, ls ...deliver.DeadLetter) error {
	return l.write(prompt, len(ls), func(i int) {
		e := l.number(ls[i].Event.ID)
		if e.dead = true; !e.wanted {
			l.t.Errorf("%s is dead, which the condition does not want", ls[i].Event.ID)
		}
	})
}

// number is the event with an id.
func (l *life) number(id string) *published {
	var n int
	if _, err := fmt.Sscan(id, &n); err != nil {
		panic(err)
	}
	return l.events[n]
}

func (l *life) Dequeue(_ context.Context, id deliver.QueueID) ([]deliver.Deferral, []*event.Claim, error) {
	l.takes(time.Duration(l.roll(5)) * time.Millisecond)
	defer l.takes([]time.Duration{time.Millisecond, 3 * time.Millisecond, 800 * time.Millisecond}[l.roll(3)])
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failing&reading != 0 || l.ended() || l.strikes() {
		return nil, nil, errDisk
	}
	for _, s := range l.queues[id] {
		if s.taken {
			continue
		}
		s.taken = true
		claim := l.claim(func() {
			l.queues[id] = slices.DeleteFunc(l.queues[id], func(q *stored) bool { return q == s })
		})
		return []deliver.Deferral{s.Deferral}, []*event.Claim{claim}, nil
	}
	return nil, nil, nil
}

func (l *life) Waiting(context.Context) (map[deliver.QueueID]int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := map[deliver.QueueID]int{}
	for id, q := range l.queues {
		for _, s := range q {
			if !s.taken {
				counts[id]++
			}
		}
	}
	return counts, l.readable()
}

func (l *life) Deferred(context.Context) (map[deliver.QueueID]int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := map[deliver.QueueID]int{}
	for _, p := range l.parked {
		for i := range p.ds {
			if !p.taken {
				counts[p.ds[i].Queue()]++
			}
		}
	}
	return counts, l.readable()
}

func (l *life) readable() error {
	if l.failing&reading != 0 || l.ended() {
		return errDisk
	}
	return nil
}

func (l *life) Oldest(_ context.Context, _ string) (oldest deliver.QueueID, at time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, q := range l.queues {
		if len(q) > 0 && (at.IsZero() || q[0].Event.Accepted.Before(at)) {
			oldest, at = id, q[0].Event.Accepted
		}
	}
	return oldest, at, l.readable()
}

// Post is an attempt, which is judged by the promise.
func (l *life) Post(ctx context.Context, p *egress.Post) (egress.Response, error) {
	ctx, cancel := context.WithDeadline(ctx, p.Deadline)
	defer cancel()
	e, a := l.attempted(p.Request(ctx).Header.Get("webhook-id"))
	if e == nil {
		return egress.Response{}, errCrash
	}
	alive := a.status != 0 && l.wait(ctx, a.after)
	if a.status == 0 {
		l.wait(ctx, time.Hour)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended() {
		return egress.Response{}, errCrash
	}
	l.active[e.key]--
	if !alive {
		return egress.Response{}, context.DeadlineExceeded
	}
	e.delivered = e.delivered || a.status == http.StatusOK
	l.strikes() // the receiver has it, and we do not know
	return egress.Response{Status: a.status}, nil
}

func (l *life) attempted(id string) (*published, answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended() || l.strikes() {
		return nil, answer{}
	}
	n := l.numbers[id]
	l.tries++
	e := l.events[n]
	if !e.wanted {
		l.t.Errorf("%d is attempted, which the condition does not want", n)
	}
	if e.key != 0 {
		l.judge(n, e)
	}
	e.attempted = true
	l.active[e.key]++
	return e, l.mood(n)
}

func (l *life) judge(n int, e *published) {
	if l.active[e.key] > 0 {
		l.t.Errorf("%d attempts with the key %d are under way at once", l.active[e.key]+1, e.key)
	}
	if e.attempted {
		return
	}
	for i, before := range l.events[:n] {
		if before.key == e.key && before.wanted && !before.delivered && !before.dead {
			l.t.Errorf("%d is attempted before %d, of the key %d (attempted: %v), is delivered or dead",
				n, i, e.key, before.attempted)
		}
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
