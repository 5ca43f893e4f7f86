package deliver

import (
	"context"
	"errors"
	"fmt"

	"github.com/postrider/postrider/dispatcher/event"
)

// Why [Lanes.Test] made no attempt.
var (
	ErrNoRoute    = errors.New("there is no such webhook in the table in force")
	ErrIncomplete = errors.New("the webhook lacks what an attempt needs") // the wrapping error says which condition tells why
	ErrBusy       = errors.New("another test of this webhook is under way, or too many attempts are: try again in a moment")
)

// Test makes one attempt to deliver e to a route, on the same road as any
// other, and tells what happened. It does not wait its turn: neither the lane
// nor its breaker nor its limits know of it, and a route that is held is tested
// as well. Only the bound of the attempts under way is kept, and there is one
// test of a route at a time. The errors are ErrNoRoute, ErrIncomplete and ErrBusy.
func (l *Lanes) Test(ctx context.Context, id string, e *event.Event) (Record, error) {
	if r := l.opts.Router.Load(); r == nil || r.Lookup(id) == nil {
		return Record{}, ErrNoRoute
	}
	ln := l.lane(id)
	a, err := ln.beginTest()
	if err != nil {
		return Record{}, err
	}
	defer ln.endTest()
	a.delivery = delivery{parcel: newParcel(e)}
	o, end, rec := l.try(ctx, &a)
	a.attempts = 1
	if o.OK() {
		l.opts.Recorder.TestPassed(id, end.UTC())
	}
	l.report(ln, &a, o)
	kept := *rec
	if l.opts.Log != nil {
		l.opts.Log.Keep(rec)
	}
	return kept, nil
}

// beginTest makes an attempt that the lane does not count.
func (ln *lane) beginTest() (a attempt, err error) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.sync()
	switch e := ln.entry; {
	case e == nil:
		return a, ErrNoRoute
	case !e.Complete():
		return a, fmt.Errorf("%w: %s", ErrIncomplete, e.Hold)
	case ln.testing || ln.in.halted.Load():
		return a, ErrBusy
	}
	plan, unusable := ln.ready()
	if !ln.tenant.attempts.take(1) {
		return a, ErrBusy
	}
	ln.testing = true
	ln.in.workers.Add(1)
	return attempt{entry: ln.entry, plan: plan, unusable: unusable, test: true, recorded: true}, nil
}

func (ln *lane) endTest() {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.testing = false
	ln.tenant.attempts.force(-1)
	ln.in.workers.Done()
}
