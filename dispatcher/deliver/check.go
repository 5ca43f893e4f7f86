package deliver

import (
	"context"
	"sync"
	"time"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/dispatcher/share"
)

const (
	// maxChecks bounds the conditions that are evaluated at once, each of another
	// namespace: those of one cannot take the machine.
	maxChecks = 2
	// maxViews and maxViewed bound the events that are kept as conditions see
	// them, and the bytes that these have, unless one alone has more: parsed they
	// take about ten times that.
	maxViews, maxViewed = 64, 1 << 20
)

// Checks evaluate the conditions that were left to the lanes, in the order in
// which they are asked to: one at a time of each namespace.
type checks struct {
	turns *share.Pool

	mu     sync.Mutex
	users  int           // that evaluate, or wait to
	views  []*route.View // of the newest events, for other lanes have them too
	viewed int           // bytes that these have
}

func newChecks() checks { return checks{turns: share.New(maxChecks, 1)} }

// enter waits until a condition of the namespace may be evaluated, by whoever
// leaves then. It fails when ctx is done before.
func (c *checks) enter(ctx context.Context, namespace string) (leave func(), err error) {
	c.use(1)
	turn, err := c.turns.Wait(ctx, namespace, 1)
	if err != nil {
		c.use(-1)
		return nil, err
	}
	return func() {
		turn.Release()
		c.use(-1)
	}, nil
}

// use counts n more users, or fewer.
func (c *checks) use(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users += n; c.users == 0 {
		c.views, c.viewed = nil, 0 // an idle dispatcher keeps none
	}
}

// view returns e as conditions see it, the same to all lanes that ask soon
// enough. It is for whoever holds the turn of the namespace of e.
func (c *checks) view(e *event.Event) *route.View {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.views {
		if v.Event() == e {
			return v
		}
	}
	for len(c.views) > 0 && (len(c.views) == maxViews || c.viewed+len(e.Data) > maxViewed) {
		c.viewed -= len(c.views[0].Event().Data)
		c.views[0] = nil
		c.views = c.views[1:]
	}
	v := route.NewView(e)
	c.views, c.viewed = append(c.views, v), c.viewed+len(e.Data)
	return v
}

// check sees to a delivery whose condition nobody has evaluated. It goes back to
// the front of ln, or leaves it because the event is not for the route.
func (l *Lanes) check(ln *lane, d delivery, e *route.Entry) {
	began := time.Now()
	wanted, known := l.qualifies(e, &d)
	d.unchecked = !known // else the lane is closed by now, and what is in it goes to the store
	ln.checked(began, time.Now(), d, wanted)
	if !wanted {
		l.settle(ln, &d)
	}
}

// qualifies reports whether the event of d is for e, as the fanout would; known
// is false when a stop came first.
func (l *Lanes) qualifies(e *route.Entry, d *delivery) (ok, known bool) {
	if e.Condition == "" {
		return true, true // by now
	}
	leave, err := l.checks.enter(l.stop, d.event.Namespace)
	if err != nil {
		return true, false
	}
	defer leave()
	ok, err = e.Qualifies(l.checks.view(d.event))
	if err != nil {
		l.opts.Metrics.conditionErrors.Inc()
		l.opts.Recorder.Fault(e.ID, outcome.ConditionFailed, err, time.Now().UTC())
		l.opts.Logger.Info("an expression could not be evaluated", "route", e.ID, "event", d.event.ID, "type", d.event.Type, "reason", outcome.ConditionFailed, "err", err)
	}
	return ok, true
}

// isDelivery reports whether d, which is to be given up unattempted, is a delivery
// at all; known is false when a stop came first. If nobody can tell any more it is.
func (l *Lanes) isDelivery(ln *lane, d *delivery) (ok, known bool) {
	if !d.unchecked {
		return true, true
	}
	r := l.opts.Router.Load()
	if r == nil || r.Lookup(ln.id) == nil {
		return true, true
	}
	return l.qualifies(r.Lookup(ln.id), d)
}

// confirm sees to the check of d if it is too old for one in its turn, and
// reports what isDelivery does.
func (l *Lanes) confirm(ln *lane, d *delivery, maxAge time.Duration) (ok, known bool) {
	if time.Since(d.event.Accepted) <= maxAge {
		return true, true
	}
	ok, known = l.isDelivery(ln, d)
	d.unchecked = d.unchecked && !known
	return ok, known
}

// expired gives up d, which came out of the store too old. It waits for a check,
// so it is for a fetch, which holds up its own lane and namespace alone. What a
// stop does not let be checked stays in the store.
func (l *Lanes) expired(ln *lane, d delivery, why outcome.Outcome) {
	switch ok, known := l.isDelivery(ln, &d); {
	case !known:
	case ok:
		l.bury(ln, d, why)
	default:
		l.settle(ln, &d)
	}
}

// judge sees to a delivery with a key that is to be given up, and that nobody has
// checked. It came out of the store, and at a stop it stays there.
func (l *Lanes) judge(k kept) {
	defer k.lane.letGo(&k.delivery)
	switch ok, known := l.isDelivery(k.lane, &k.delivery); {
	case !known:
	case ok:
		select {
		case l.prompt.in <- k:
		case <-l.stop.Done():
		}
	default:
		l.onDisk(&k) // as if it were on disk
		l.settle(k.lane, &k.delivery)
	}
}
