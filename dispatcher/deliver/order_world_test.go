package deliver_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
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
)

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
	failing int           // see prompt
	lag     time.Duration // at most, until what is settled has left the queues

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
		mood: func(int) answer { return answer{status: http.StatusOK} }, lag: soon,
	}
	if seed%8 == 0 { // a crash leaves more in the store that is done with
		w.lag = 8 * time.Second
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
	claim := l.claim(soon, func() { p.settled = true })
	e := l.router.Load().Entries()[0]
	for n := p.first; n < p.first+p.n; n++ {
		claim.Add(1)
		l.Deliver(event.Stored{Event: anEvent(fmt.Sprint(n)), Seq: uint64(p.first), Claim: claim},
			[]route.Match{{Entry: e, Key: l.events[n].key, Unchecked: l.events[n].unchecked}})
	}
	claim.Done()
}

// soon is at most how long it takes until it is on disk that an event is settled.
const soon = 10 * time.Millisecond

// claim makes a claim whose release takes effect a little later, if the
// dispatcher lives until then.
func (l *life) claim(lag time.Duration, release func()) *event.Claim {
	return event.NewClaim(func() {
		time.AfterFunc(time.Duration(l.roll(int(lag.Milliseconds())))*time.Millisecond, func() {
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
		claim := l.claim(l.lag, func() {
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
