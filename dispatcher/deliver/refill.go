package deliver

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
)

const (
	// fetchPause is how long a lane leaves its queue alone after an error.
	fetchPause = time.Second
	// countEvery is how often the lanes ask the store how much waits there:
	// other dispatchers, and redrives, put deliveries there too.
	countEvery = 10 * time.Second
	// closedMaxAge is when a delivery dies whose route, being incomplete, has
	// no maximum age of its own.
	closedMaxAge = 72 * time.Hour
)

// A spell of errors is logged once, when it begins, and once when it ends.
type spell struct {
	mu  sync.Mutex
	bad bool
}

func (s *spell) note(log *slog.Logger, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil && !s.bad:
		log.Warn("the queues of the store cannot be read, trying again", "err", err)
	case err == nil && s.bad:
		log.Info("the queues of the store can be read again")
	}
	s.bad = err != nil
}

// fetch goes to the queue of ln in the store: for the next few deliveries to
// attempt, or to give up those for which there will be no attempt.
func (l *Lanes) fetch(ln *lane) {
	var h haul
	switch what, chains := ln.wants(); what {
	case toAttempt:
		h = l.dequeueYoung(ln)
	case toChains:
		h = l.visit(ln, chains)
	case toExpire:
		h = l.expire(ln)
	case toBury:
		h = l.buryAll(ln)
	}
	l.carryOut(ln, ln.fetched(time.Now(), h))
}

func (l *Lanes) dequeueYoung(ln *lane) haul {
	ds, err := l.dequeue(ln, 0)
	h := haul{taken: len(ds), exhausted: len(ds) == 0, err: err}
	maxAge, _ := ln.sentence()
	for _, d := range ds {
		if time.Since(d.event.Accepted) > maxAge {
			l.expired(ln, d, outcome.Outcome{Reason: outcome.Expired})
		} else {
			h.attempt = append(h.attempt, d)
		}
	}
	return h
}

func (l *Lanes) buryAll(ln *lane) haul {
	ds, err := l.dequeue(ln, 0)
	for _, d := range ds {
		l.bury(ln, d, outcome.Outcome{Reason: outcome.RouteGone})
	}
	return haul{taken: len(ds), exhausted: len(ds) == 0, err: err}
}

func (l *Lanes) dequeue(ln *lane, key route.Key) ([]delivery, error) {
	kept, claims, err := l.opts.Backlog.Dequeue(l.stop, QueueID{Route: ln.id, Key: key})
	if l.stop.Err() == nil {
		l.spell.note(l.opts.Logger, err)
	}
	if err != nil {
		return nil, err
	}
	ds := make([]delivery, len(kept))
	for i, d := range kept {
		ds[i] = newDelivery(d, claims[i])
	}
	l.opts.Recorder.Stored(ln.id, -len(ds))
	l.opts.Recorder.Pending(ln.id, len(ds))
	return ds, nil
}

// expire gives up what has waited for too long in the queue of a lane that may
// not attempt it. Behind the first that is young enough all others are.
func (l *Lanes) expire(ln *lane) haul {
	maxAge, why := ln.sentence()
	from, oldest, err := l.opts.Backlog.Oldest(l.stop, ln.id)
	if l.stop.Err() == nil {
		l.spell.note(l.opts.Logger, err)
	}
	if err != nil || oldest.IsZero() || time.Since(oldest) <= maxAge {
		return haul{err: err}
	}
	if from.Key != 0 {
		h := l.visit(ln, ln.visitFront(from.Key))
		h.overdue = true
		return h
	}
	ds, err := l.dequeue(ln, 0)
	for _, d := range ds {
		if time.Since(d.event.Accepted) > maxAge {
			l.expired(ln, d, why)
		} else {
			l.enqueue(ln, d)
		}
	}
	return haul{taken: len(ds), overdue: true, err: err}
}

// recount takes over from the store how many deliveries wait there.
func (l *Lanes) recount(ctx context.Context) {
	landings := map[*lane]uint32{}
	for _, ln := range l.all() {
		landings[ln] = ln.landed()
	}
	counts, err := l.opts.Backlog.Waiting(ctx)
	if ctx.Err() != nil {
		return
	}
	l.spell.note(l.opts.Logger, err)
	if err != nil {
		return
	}
	for id := range counts {
		if id.Key == 0 { // what has a key is counted by the lane
			l.lane(id.Route)
		}
	}
	now := time.Now()
	for _, ln := range l.all() {
		l.carryOut(ln, ln.correct(counts[QueueID{Route: ln.id}], landings[ln], now))
	}
}

// Enqueue puts deliveries at the end of the queues of their routes: they are on
// disk when it returns nil. What it is given was accepted at another time, and
// begins anew: its age counts from now, and nothing orders it.
func (l *Lanes) Enqueue(ctx context.Context, ds ...Deferral) error {
	now := time.Now()
	anew := make([]Deferral, len(ds))
	renewed := map[*event.Event]*event.Event{}
	counts := map[string]int{}
	for i, d := range ds {
		if renewed[d.Event] == nil {
			renewed[d.Event] = renew(d.Event, now)
		}
		d.Event, d.Key = renewed[d.Event], 0
		anew[i] = d
		counts[d.Route]++
	}
	if err := l.opts.Backlog.Enqueue(ctx, anew...); err != nil {
		return err
	}
	for id, n := range counts {
		l.opts.Recorder.Stored(id, n)
		ln := l.lane(id)
		l.carryOut(ln, ln.stored(n, now))
	}
	return nil
}

// renew is e as if it were accepted now. What receivers see stays as it was:
// an event without a time of its own is sent with that of its acceptance.
func renew(e *event.Event, now time.Time) *event.Event {
	anew := *e
	if anew.Time.IsZero() {
		anew.Time = e.Accepted
	}
	anew.Accepted = now
	return &anew
}
