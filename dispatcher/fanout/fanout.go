// Package fanout finds the routes that a stored event is for.
package fanout

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
)

// Lanes take over an event for the routes that it is for, and one claim each.
type Lanes interface {
	Deliver(st event.Stored, to []route.Match)
}

// eventBudget is what the conditions of one event may cost before the rest of
// them is evaluated apart, see [route.View.Cost]: 2 to 4 ms. One more condition
// may come on top of it, which is bounded by itself.
const eventBudget = 40_000

// A Fanout matches events with the routes in force. Event is for one goroutine.
type Fanout struct {
	router   *route.Current // in force before the first event
	lanes    Lanes
	recorder outcome.Recorder
	log      *slog.Logger

	matches  prometheus.Histogram
	failures prometheus.Counter

	found []*route.Entry // reused
	apart apart
}

// New makes a Fanout and registers its metrics with r.
func New(router *route.Current, lanes Lanes, recorder outcome.Recorder, r prometheus.Registerer, log *slog.Logger) *Fanout {
	f := &Fanout{
		router: router, lanes: lanes, recorder: recorder, log: log,
		matches: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "postrider_fanout_routes_per_event", Help: "How many routes an event went to.",
			Buckets: []float64{0, 1, 2, 5, 10, 20, 50, 100, 1000},
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_fanout_condition_errors_total", Help: "Conditions that failed with something else than no, by type mismatch or cost.",
		}),
	}
	f.apart.f = f
	r.MustRegister(f.matches, f.failures)
	return f
}

// Event hands st to the lanes of every route whose patterns and condition it
// meets, and settles its own claim. Where the conditions of its namespace cost
// too much, other events go on meanwhile: those routes get it later, and maybe
// after events that came after it.
func (f *Fanout) Event(st event.Stored) {
	f.found = f.router.Load().Match(f.found[:0], st.Event.Namespace, st.Event.Type)
	all := remainder{st: st, view: route.NewView(st.Event), entries: f.found}
	if f.advance(&all) {
		return
	}
	rest := all // on the heap
	if !f.apart.take(&rest) {
		for _, e := range rest.entries {
			f.fail(e, st.Event, errTooDear)
		}
		f.settle(&rest)
	}
}

// A remainder is an event and the routes that it has not been matched with yet.
type remainder struct {
	st      event.Stored
	view    *route.View
	entries []*route.Entry
	matched int // routes that the event went to
}

// advance evaluates conditions of r until the budget is spent, and hands the
// event to the lanes of the routes that it is for. It reports whether none is
// left; then r is settled.
func (f *Fanout) advance(r *remainder) (done bool) {
	qualified, left := f.qualify(r.view, r.entries)
	if len(qualified) > 0 {
		r.matched += len(qualified)
		r.st.Claim.Add(len(qualified))
		f.lanes.Deliver(r.st, route.Matches(qualified))
	}
	if r.entries = left; len(left) == 0 {
		f.settle(r)
		return true
	}
	return false
}

func (f *Fanout) settle(r *remainder) {
	f.matches.Observe(float64(r.matched))
	r.st.Claim.Done()
}

// qualify returns those of entries that the event of v is for, in their place,
// and those whose conditions were not evaluated because the budget is spent.
func (f *Fanout) qualify(v *route.View, entries []*route.Entry) (qualified, left []*route.Entry) {
	enough := v.Cost() + eventBudget
	qualified = entries[:0]
	for _, e := range entries {
		if e.Condition != "" && v.Cost() >= enough {
			left = append(left, e)
			continue
		}
		ok, err := e.Qualifies(v)
		if err != nil {
			f.fail(e, v.Event(), err)
		}
		if ok {
			qualified = append(qualified, e)
		}
	}
	return qualified, left
}

// Close ends what is evaluated apart. What is left of it keeps its claims, so it
// comes again after a restart.
func (f *Fanout) Close() { f.apart.close() }

// fail makes a condition that cannot be evaluated visible where its author
// looks: on the webhook. The event is not for that route.
func (f *Fanout) fail(e *route.Entry, ev *event.Event, err error) {
	f.failures.Inc()
	f.recorder.Fault(e.ID, "ConditionFailed: "+err.Error(), time.Now().UTC())
	f.log.Info("a condition could not be evaluated", "route", e.ID, "event", ev.ID, "type", ev.Type, "err", err)
}
