package resilience_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/test/process"
	"github.com/postrider/postrider/test/resilience/traced"
)

// A world is a dispatcher with routes and receivers that all change, under one
// schedule of faults that follows from a seed.
type world struct {
	ledger *ledger
	rc     *receivers
	p      *process.Dispatcher
	dice   *rand.Rand
	clock  *traced.Clock // of the dispatcher; nil where it is always right
	latest time.Duration // that the clock has ever been ahead

	routes []*changing
	began  time.Time
	trail  []string
}

// A changing route is one whose settings the faults change.
type changing struct {
	id    string
	types []string // it selects; none = all
	guest bool     // it comes and goes

	here        bool
	held        bool
	moved       int // its URL has changed so often
	concurrency int
}

// The routes of a world.
const (
	everything = "test/everything"
	some       = "test/some"
	narrow     = "test/narrow"
	refusing   = "test/refusing"
	visitor    = "test/visitor"
	stranger   = "other/stranger" // of another namespace: it gets nothing
)

// kinds are the types of the events of a world.
var kinds = []string{"order:placed", "order:paid", "page:created"}

func newWorld(t *testing.T, dice *rand.Rand, o process.Options) *world {
	t.Helper()
	w := &world{ledger: newLedger(), dice: dice, began: time.Now(), routes: []*changing{
		{id: everything, here: true, concurrency: 20},
		{id: some, types: kinds[:2], here: true, concurrency: 5},
		{id: narrow, types: kinds[2:], here: true, concurrency: 1},
		{id: refusing, types: kinds[2:], here: true, concurrency: 5},
		{id: visitor, guest: true, concurrency: 10},
		{id: stranger, here: true, concurrency: 1},
	}}
	ids := make([]string, len(w.routes))
	for i, r := range w.routes {
		ids[i] = r.id
		if r.here && r.id != stranger {
			w.ledger.open(r.id, r.types...)
		}
	}
	w.rc = newReceivers(t, w.ledger, ids...)
	w.p = process.New(t, o)
	w.p.SetRoutes(t, w.now()...)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what happened: %v", w.trail)
		}
	})
	return w
}

// now is the table as it should be.
func (w *world) now() (table []route.Route) {
	for _, r := range w.routes {
		if !r.here {
			continue
		}
		rt := aRoute(r.id, w.rc.url(r.id), r.types...)
		rt.Concurrency = r.concurrency
		if r.moved > 0 {
			rt.URL += fmt.Sprintf("?moved=%d", r.moved)
		}
		if r.held {
			rt.Hold = "SpecDisabled"
		}
		table = append(table, rt)
	}
	return table
}

// publish writes the table and returns when it is in force, for longer than
// the dispatcher looks at its routes file.
func (w *world) publish(tb testing.TB) {
	tb.Helper()
	router, err := route.Build(route.Table{Routes: w.now()})
	if err != nil {
		tb.Fatal(err)
	}
	w.p.SetRoutes(tb, w.now()...)
	within(tb, time.Minute, "the table to be in force", func() bool {
		r, ok := ask(tb, w.p)
		return ok && r.Digest == router.Digest()
	})
}

// A fault is something that happens to a world, with what it happens to.
type fault struct {
	weight int
	happen func(w *world, tb testing.TB) string
}

var faults = []fault{
	{2, (*world).kill},
	{1, (*world).killWhileStarting},
	{2, (*world).restart},
	{6, (*world).spoil},
	{3, (*world).change},
	{2, (*world).come},
	{2, (*world).jumpClock},
}

// suffer lets faults happen, one after the other, until the end.
func (w *world) suffer(tb testing.TB, end time.Time) {
	tb.Helper()
	sum := 0
	for _, f := range faults {
		sum += f.weight
	}
	for time.Now().Before(end) && !tb.Failed() {
		n := w.dice.IntN(sum)
		for _, f := range faults {
			if n -= f.weight; n < 0 {
				if what := f.happen(w, tb); what != "" {
					w.trail = append(w.trail, what)
				}
				break
			}
		}
		pause(time.Duration(w.dice.IntN(300))*time.Millisecond, nil)
	}
}

// start starts the dispatcher. With a clock that jumps it is traced.
func (w *world) start(tb testing.TB) {
	tb.Helper()
	if w.clock != nil {
		w.p.Launch = traced.New(w.clock).Launch
	}
	w.p.Start(tb)
}

func (w *world) kill(tb testing.TB) string {
	tb.Helper()
	w.p.Kill(tb)
	pause(time.Duration(w.dice.IntN(200))*time.Millisecond, nil)
	w.start(tb)
	return "kill"
}

func (w *world) killWhileStarting(tb testing.TB) string {
	tb.Helper()
	w.p.Kill(tb)
	for range 1 + w.dice.IntN(3) {
		w.start(tb)
		w.p.Kill(tb)
	}
	w.start(tb)
	return "kill again and again"
}

func (w *world) restart(tb testing.TB) string {
	tb.Helper()
	w.p.Signal(tb, syscall.SIGTERM)
	w.start(tb)
	return "restart"
}

// spoil changes the mood of a receiver. Only one of them ever wants no more.
func (w *world) spoil(testing.TB) string {
	r := w.routes[w.dice.IntN(len(w.routes))]
	moods := append([]mood{well, well, slow}, bad...)
	if r.id == refusing {
		moods = append(moods, gone, gone)
	}
	m := moods[w.dice.IntN(len(moods))]
	w.rc.set(r.id, m)
	return r.id + " " + m.name
}

// change alters a route under load.
func (w *world) change(tb testing.TB) string {
	tb.Helper()
	r := w.routes[w.dice.IntN(len(w.routes))]
	switch w.dice.IntN(3) {
	case 0:
		r.held = !r.held
	case 1:
		r.moved++
	default:
		r.concurrency = 1 + w.dice.IntN(30)
	}
	w.publish(tb)
	return fmt.Sprintf("%s held=%t moved=%d concurrency=%d", r.id, r.held, r.moved, r.concurrency)
}

// come lets the visitor come or go. It is owed what is posted from its coming on,
// unless it goes again.
func (w *world) come(tb testing.TB) string {
	tb.Helper()
	r := w.find(visitor)
	if r.here = !r.here; !r.here {
		w.ledger.close(r.id)
		w.publish(tb)
		return r.id + " goes"
	}
	w.publish(tb)
	w.ledger.open(r.id, r.types...)
	return r.id + " comes"
}

// jumpClock sets the dispatcher's clock, by up to an hour forward or back.
func (w *world) jumpClock(testing.TB) string {
	if w.clock == nil {
		return ""
	}
	d := time.Duration(w.dice.Int64N(int64(2*time.Hour))) - time.Hour
	w.clock.Jump(d)
	w.latest = max(w.latest, w.clock.Offset())
	return "clock " + d.Round(time.Second).String()
}

func (w *world) find(id string) *changing {
	return w.routes[slices.IndexFunc(w.routes, func(r *changing) bool { return r.id == id })]
}

// heal ends all faults: receivers take everything, no route is held, and the
// clock is further ahead than it ever was, so that what was put off is due.
func (w *world) heal(tb testing.TB) {
	tb.Helper()
	if w.clock != nil {
		w.clock.Jump(w.latest + 15*time.Minute - w.clock.Offset())
	}
	w.rc.heal()
	for _, r := range w.routes {
		r.held = false
		r.moved++ // a receiver that wanted no more is another one now
	}
	w.publish(tb)
}
