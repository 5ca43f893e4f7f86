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
// They do not hold on to the list.
type Lanes interface {
	Deliver(st event.Stored, to []route.Match)
}

// A Fanout matches events with the routes in force. Event is for one goroutine.
type Fanout struct {
	router   *route.Current // in force before the first event
	lanes    Lanes
	recorder outcome.Recorder
	log      *slog.Logger
	keyless  bool // see Keyless

	matches   prometheus.Histogram
	failures  prometheus.Counter
	unordered prometheus.Counter
	unchecked prometheus.Counter

	found   []*route.Entry // reused, as to is
	to      []route.Match
	budgets budgets
}

// New makes a Fanout and registers its metrics with r.
func New(router *route.Current, lanes Lanes, recorder outcome.Recorder, r prometheus.Registerer, log *slog.Logger) *Fanout {
	f := &Fanout{
		router: router, lanes: lanes, recorder: recorder, log: log,
		matches: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "postrider_fanout_routes_per_event", Help: "How many routes an event went to, those whose conditions were left to the lanes included.",
			Buckets: []float64{0, 1, 2, 5, 10, 20, 50, 100, 1000},
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_fanout_condition_errors_total", Help: "Conditions that failed with something else than no, by type mismatch or cost.",
		}),
		unordered: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_fanout_ordering_errors_total", Help: "Ordering keys that could not be evaluated: the event goes in one row with others of that kind.",
		}),
		unchecked: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_fanout_unchecked_total", Help: "Deliveries whose conditions were left to the lanes to evaluate, because those of the namespace cost too much.",
		}),
	}
	r.MustRegister(f.matches, f.failures, f.unordered, f.unchecked)
	return f
}

// Keyless makes another Fanout with the same metrics, which gives no delivery a
// key: for events that others take, too, so that nobody could keep their order.
func (f *Fanout) Keyless() *Fanout {
	other := *f
	other.keyless, other.found, other.to, other.budgets = true, nil, nil, budgets{}
	return &other
}

// Event hands st to the lanes of every route whose patterns and condition it
// meets, and settles its own claim. Where the conditions of its namespace cost
// too much, the lanes evaluate what is left of them.
func (f *Fanout) Event(st event.Stored) {
	router := f.router.Load()
	f.found = router.Match(f.found[:0], st.Event.Namespace, st.Event.Type)
	f.to = f.to[:0]
	if f.plain() {
		for _, e := range f.found {
			f.to = append(f.to, route.Match{Entry: e})
		}
	} else {
		f.evaluate(router, st.Event)
	}
	f.matches.Observe(float64(len(f.to)))
	if len(f.to) > 0 {
		st.Claim.Add(len(f.to))
		f.lanes.Deliver(st, f.to)
	}
	st.Claim.Done()
}

// plain reports whether nothing has to be evaluated for the entries found.
func (f *Fanout) plain() bool {
	for _, e := range f.found {
		if e.Condition != "" || e.OrderingKey != "" && !f.keyless {
			return false
		}
	}
	return true
}

// evaluate adds to f.to those of the entries found that ev is for, as far as the
// budgets reach, and the others unchecked. Ordering keys are always evaluated:
// later would be too late for them.
func (f *Fanout) evaluate(router *route.Router, ev *event.Event) {
	start := time.Now()
	budget := f.budgets.of(ev.Namespace, router, start)
	broke := budget.TokensAt(start) <= 0
	v := route.NewView(ev)
	for _, e := range f.found {
		m := route.Match{Entry: e, Unchecked: e.Condition != "" && (broke || v.Cost() >= eventBudget)}
		if m.Unchecked {
			f.unchecked.Inc()
		} else if !f.qualifies(e, v) {
			continue
		}
		if !f.keyless {
			m.Key = f.key(e, v)
		}
		f.to = append(f.to, m)
	}
	charge(budget, v, start, time.Now())
}

// qualifies reports whether the event of v is for e. It is not when its condition
// cannot be evaluated.
func (f *Fanout) qualifies(e *route.Entry, v *route.View) bool {
	ok, err := e.Qualifies(v)
	if err != nil {
		f.failures.Inc()
		f.fault(e, v.Event(), outcome.ConditionFailed, err)
	}
	return ok
}

func (f *Fanout) key(e *route.Entry, v *route.View) route.Key {
	key, err := e.Key(v)
	if err != nil {
		f.unordered.Inc()
		f.fault(e, v.Event(), outcome.OrderingFailed, err)
	}
	return key
}

// fault makes an expression that cannot be evaluated visible where its author
// looks: on the webhook.
func (f *Fanout) fault(e *route.Entry, ev *event.Event, what outcome.Fault, err error) {
	f.recorder.Fault(e.ID, what, err, time.Now().UTC())
	f.log.Info("an expression could not be evaluated", "route", e.ID, "event", ev.ID, "type", ev.Type, "reason", what, "err", err)
}
