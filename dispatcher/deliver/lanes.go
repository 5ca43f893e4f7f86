// Package deliver brings stored events to receivers: a lane per route, an
// attempt, the decision what follows from its outcome, and the settling of what
// is delivered, deferred or dead.
package deliver

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
)

const (
	// sweepEvery is how often stuck lanes are looked for.
	sweepEvery = time.Second
	// A held delivery is looked at again after as long as it has waited so
	// far, within these bounds: soon after a short trouble, rarely in a long one.
	minHold, maxHold = 2 * time.Second, 5 * time.Minute
	// heldMaxAge is when a held delivery dies whose route, being incomplete,
	// has no maximum age of its own.
	heldMaxAge = 72 * time.Hour
)

// Options are what Lanes work with.
type Options struct {
	Router   *route.Current // in force before the first delivery
	Backlog  Backlog
	Client   *egress.Client
	Recorder outcome.Recorder
	Metrics  *Metrics
	Log      *slog.Logger
}

// Lanes are all lanes of a dispatcher. What they are given stays claimed until
// it is delivered, or on disk in the backlog.
type Lanes struct {
	opts   Options
	window window
	keeper keeper

	mu    sync.RWMutex
	lanes map[string]*lane

	workers sync.WaitGroup
	stop    context.Context    // done when no attempt may begin any more
	halt    context.CancelFunc // ends stop
}

// NewLanes makes Lanes; [Lanes.Run] makes them work.
func NewLanes(opts Options) *Lanes {
	l := &Lanes{opts: opts, lanes: map[string]*lane{}}
	l.keeper = keeper{backlog: opts.Backlog, log: opts.Log, in: make(chan kept, keepBound), settle: l.settleKept}
	l.stop, l.halt = context.WithCancel(context.Background())
	return l
}

// Run keeps the lanes going until ctx is done. By then nothing more may be
// handed in. It returns when attempts in flight have ended and what waited is
// in the backlog.
func (l *Lanes) Run(ctx context.Context) {
	var keeping sync.WaitGroup
	keeping.Go(func() { l.keeper.run(l.stop) })
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for ctx.Err() == nil {
		select {
		case now := <-sweep.C:
			l.sweep(now)
		case <-ctx.Done():
		}
	}
	l.Halt()
	for _, ln := range l.all() {
		for _, d := range ln.stuck(time.Now()) {
			l.deferUntil(d, time.Now())
		}
	}
	l.workers.Wait()
	close(l.keeper.in)
	keeping.Wait()
}

// Halt lets no attempt begin any more: what is handed in from now on goes to the
// backlog, with one try to write it there. Call it at the beginning of a stop,
// so that a backlog that cannot be written holds up nobody.
func (l *Lanes) Halt() { l.halt() }

// Wait returns once there is room for more deliveries, or with the error of ctx.
func (l *Lanes) Wait(ctx context.Context) error { return l.window.wait(ctx) }

// Deliver takes over an event for the routes that it matched, and one claim
// for each of them.
func (l *Lanes) Deliver(st event.Stored, entries []*route.Entry) {
	p := newParcel(st.Event)
	now := time.Now()
	for _, e := range entries {
		l.opts.Recorder.Pending(e.ID, 1)
		l.put(e, delivery{parcel: p, route: e.ID, claim: st.Claim, queued: now})
	}
}

// Resume takes over a deferral that has come due, and its claim.
func (l *Lanes) Resume(d Deferral, claim *event.Claim) {
	del := delivery{parcel: newParcel(d.Event), route: d.Route, attempts: d.Attempts, claim: claim, queued: time.Now()}
	e := l.opts.Router.Load().Lookup(d.Route)
	if e == nil {
		l.window.add(1)
		l.bury(del, outcome.Outcome{Reason: outcome.RouteGone})
		return
	}
	l.lane(d.Route).back()
	l.put(e, del)
}

// put hands d to the lane of e, or to the backlog when it does not fit.
func (l *Lanes) put(e *route.Entry, d delivery) {
	l.window.add(1)
	if e.Hold != "" {
		l.hold(e, d)
		return
	}
	bound := laneBound
	if l.window.pressed() {
		bound = laneBoundPressed
	}
	ln := l.lane(e.ID)
	taken, begin := ln.offer(d, bound, e.Concurrency)
	if begin {
		l.workers.Go(func() { l.work(ln) })
	}
	if !taken {
		l.sendAway(e, ln, d)
	}
}

// sendAway defers d because there is no room for it, unless it is too old.
func (l *Lanes) sendAway(e *route.Entry, ln *lane, d delivery) {
	if e.Hold != "" { // since it was queued
		l.hold(e, d)
		return
	}
	now := time.Now()
	if now.Sub(d.event.Accepted) > e.Retry.MaxAge {
		l.bury(d, outcome.Outcome{Reason: outcome.Expired})
		return
	}
	l.deferUntil(d, ln.comeBack(now, e))
}

// work attempts what waits in ln, one after the other, until nothing does.
func (l *Lanes) work(ln *lane) {
	for {
		d, ok := ln.next()
		if !ok {
			return
		}
		if l.stop.Err() != nil {
			l.deferUntil(d, time.Now())
			continue
		}
		l.attempt(ln, d)
	}
}

// attempt makes one attempt with the route as it is now.
func (l *Lanes) attempt(ln *lane, d delivery) {
	e := l.opts.Router.Load().Lookup(d.route)
	switch {
	case e == nil:
		l.bury(d, outcome.Outcome{Reason: outcome.RouteGone})
		return
	case e.Hold != "":
		l.hold(e, d)
		return
	}
	var o outcome.Outcome
	if p, err := ln.planFor(e); err != nil {
		l.opts.Log.Error("a route of the table cannot be used", "route", d.route, "err", err)
		o = outcome.Outcome{Reason: outcome.Unsendable, Detail: "the route cannot be used"}
	} else {
		l.opts.Metrics.inFlight.Inc()
		// Shutdown must not abort a request the receiver may already be acting on.
		o = attempt(context.WithoutCancel(l.stop), l.opts.Client, p, d.parcel)
		l.opts.Metrics.inFlight.Dec()
	}
	d.attempts++
	now := time.Now()
	ln.observe(o.Took)
	l.record(d, o, now)

	switch next := Decide(e.Retry, d.attempts, d.event.Accepted, o, now, rand.Float64()); next.Action { //nolint:gosec // jitter needs no secrecy
	case Settle:
		l.opts.Recorder.Pending(d.route, -1)
		l.settle(d.claim)
	case Retry:
		l.deferUntil(d, next.At)
	case GiveUp:
		l.bury(d, o)
	}
}

// record tells everybody how an attempt ended: one wide line, one count, one fact.
func (l *Lanes) record(d delivery, o outcome.Outcome, now time.Time) {
	level := slog.LevelDebug
	if !o.OK() {
		level = slog.LevelInfo
	}
	if l.opts.Log.Enabled(l.stop, level) {
		l.opts.Log.LogAttrs(l.stop, level, "attempt",
			slog.String("route", d.route), slog.String("event", d.event.ID), slog.String("type", d.event.Type),
			slog.String("webhook_id", d.id), slog.Int("attempt", d.attempts), slog.String("reason", string(o.Reason)),
			slog.Int("status", o.Status), slog.String("detail", o.Detail), slog.Duration("took", o.Took))
	}
	l.opts.Metrics.attempt(o)
	l.opts.Recorder.Attempt(d.route, outcome.Attempt{
		Time: now.UTC(), EventID: d.event.ID, EventType: d.event.Type, Number: d.attempts,
	}, o)
}

// hold sends d to the backlog for as long as its route is not to be attempted.
func (l *Lanes) hold(e *route.Entry, d delivery) {
	now := time.Now()
	age := now.Sub(d.event.Accepted)
	maxAge := e.Retry.MaxAge
	if maxAge == 0 {
		maxAge = heldMaxAge
	}
	if age > maxAge {
		l.bury(d, outcome.Outcome{Reason: outcome.Held, Detail: e.Hold})
		return
	}
	l.deferUntil(d, now.Add(min(max(age, minHold), maxHold)))
}

// sweep empties the lanes that have not moved for maxWait.
func (l *Lanes) sweep(now time.Time) {
	router := l.opts.Router.Load()
	if router == nil {
		return
	}
	for id, ln := range l.all() {
		e := router.Lookup(id)
		if e == nil {
			l.forget(id) // once its workers have buried what it was owed
			continue
		}
		for _, d := range ln.stuck(now.Add(-maxWait)) {
			l.sendAway(e, ln, d)
		}
	}
}

func (l *Lanes) deferUntil(d delivery, due time.Time) {
	l.opts.Metrics.deferred.Inc()
	l.keeper.in <- kept{claim: d.claim, deferral: &Deferral{Route: d.route, Attempts: d.attempts, Due: due, Event: d.event}}
}

func (l *Lanes) bury(d delivery, why outcome.Outcome) {
	l.keeper.in <- kept{claim: d.claim, letter: &DeadLetter{
		Route: d.route, Attempts: d.attempts, Why: why, At: time.Now(), Event: d.event,
	}}
}

// settleKept follows when k is on disk. What is deferred is still owed.
func (l *Lanes) settleKept(k kept) {
	if k.deferral != nil {
		l.settle(k.claim)
		return
	}
	l.opts.Metrics.dead.Inc()
	l.opts.Recorder.DeadLetters(k.letter.Route, 1) // first, so that no report misses it altogether
	l.opts.Recorder.Pending(k.letter.Route, -1)
	l.opts.Log.Warn("a delivery was given up", "route", k.letter.Route, "event", k.letter.Event.ID,
		"attempt", k.letter.Attempts, "reason", k.letter.Why.Reason)
	l.settle(k.claim)
}

func (l *Lanes) settle(c *event.Claim) {
	l.window.add(-1)
	c.Done()
}

// lane returns the lane of a route, making it at first use.
func (l *Lanes) lane(id string) *lane {
	l.mu.RLock()
	ln := l.lanes[id]
	l.mu.RUnlock()
	if ln != nil {
		return ln
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ln = l.lanes[id]; ln == nil {
		ln = &lane{}
		l.lanes[id] = ln
	}
	return ln
}

// all returns the lanes as they are now.
func (l *Lanes) all() map[string]*lane {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return maps.Clone(l.lanes)
}

// forget drops the lane of a route that is gone, if it is idle.
func (l *Lanes) forget(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ln := l.lanes[id]; ln != nil && ln.idle() {
		delete(l.lanes, id)
	}
}
