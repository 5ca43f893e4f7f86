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
	Deliver(st event.Stored, entries []*route.Entry)
}

// A Fanout matches events with the routes in force. It is for one goroutine.
type Fanout struct {
	router   *route.Current // in force before the first event
	lanes    Lanes
	recorder outcome.Recorder
	log      *slog.Logger

	matches  prometheus.Histogram
	failures prometheus.Counter

	found []*route.Entry // reused
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
	r.MustRegister(f.matches, f.failures)
	return f
}

// Event hands st to the lanes of every route whose patterns and condition it
// meets, and settles its own claim.
func (f *Fanout) Event(st event.Stored) {
	defer st.Claim.Done()
	candidates := f.router.Load().Match(f.found[:0], st.Event.Namespace, st.Event.Type)
	view := route.NewView(st.Event)
	qualified := candidates[:0]
	for _, e := range candidates {
		ok, err := e.Qualifies(view)
		if err != nil {
			f.fail(e, st.Event, err)
		}
		if ok {
			qualified = append(qualified, e)
		}
	}
	f.matches.Observe(float64(len(qualified)))
	if len(qualified) > 0 {
		st.Claim.Add(len(qualified))
		f.lanes.Deliver(st, qualified)
	}
	f.found = candidates
}

// fail makes a condition that cannot be evaluated visible where its author
// looks: on the webhook. The event is not for that route.
func (f *Fanout) fail(e *route.Entry, ev *event.Event, err error) {
	f.failures.Inc()
	f.recorder.Fault(e.ID, "ConditionFailed: "+err.Error(), time.Now().UTC())
	f.log.Info("a condition could not be evaluated", "route", e.ID, "event", ev.ID, "type", ev.Type, "err", err)
}
