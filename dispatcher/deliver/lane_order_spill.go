package deliver

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/postrider/postrider/dispatcher/outcome"
)

const (
	// putBackPause is about how long a delivery is put off that comes back to a
	// lane without room...
	putBackPause = 15 * time.Second
	// ...and to a closed one: a tenth of its age, within limits, so that what
	// waits for days is written only so often.
	minClosedPause, maxClosedPause = time.Minute, 10 * time.Minute
	// probeSpread lies between the deliveries that come back to a lane when its
	// breaker lets one of them through.
	probeSpread = 10 * time.Second
)

// putBack gives d, which no chain can hold, back to the store: to the queue when
// nothing else is there, else until the lane may take it. Behind younger ones it
// must not be.
func (ln *lane) putBack(now time.Time, c *chain, d delivery) {
	if c.idle() && c.tailless() || !d.own {
		ln.toTail(c, d, false)
		ln.spill(c)
		return
	}
	c.leave(&d)
	ln.send(kept{delivery: d, fate: deferred, at: ln.backAt(now, &d)})
}

// backAt is when the lane may take d.
func (ln *lane) backAt(now time.Time, d *delivery) time.Time {
	pause := putBackPause
	switch {
	case ln.in.halted.Load():
		return now
	case ln.breaker.shut(now):
		return ln.breaker.until.Add(rand.N(probeSpread)) //nolint:gosec // jitter needs no secrecy
	case ln.closed(now):
		pause = min(max(now.Sub(d.event.Accepted)/10, minClosedPause), maxClosedPause)
	}
	return now.Add(pause/2 + rand.N(pause)) //nolint:gosec // likewise
}

// spill moves the followers of c to its tail.
func (ln *lane) spill(c *chain) {
	if c.atRisk() {
		c.copied, c.original = true, c.head.identity()
		c.head.claim.Add(1)
		ln.toTail(c, c.head, true)
	}
	before := len(c.followers)
	c.followers = slices.DeleteFunc(c.followers, func(d delivery) bool {
		if d.own {
			return false // it is in the store, before all others
		}
		ln.release(&d)
		ln.toTail(c, d, false)
		return true
	})
	ln.order.followers -= before - len(c.followers)
}

// toTail sends d, which the lane does not hold, to the queue of c in the store.
func (ln *lane) toTail(c *chain, d delivery, isCopy bool) {
	c.onWay++
	ln.send(kept{delivery: d, fate: enqueued, isCopy: isCopy})
}

// giveUp buries d, which the lane does not hold. It holds what is to be checked
// before: that came out of the store, too old for a closed lane.
func (ln *lane) giveUp(c *chain, d delivery, now time.Time, why outcome.Outcome) {
	if d.unchecked = d.unchecked && !ln.lost(); d.unchecked {
		ln.holdOwn(&d)
	}
	c.burying++
	ln.send(kept{delivery: d, fate: buried, at: now, why: why})
}

// letGo no longer holds d, which is checked.
func (ln *lane) letGo(d *delivery) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.release(d)
}

func (ln *lane) send(k kept) {
	k.lane = ln
	ln.order.outbox = append(ln.order.outbox, k)
}

// takeOutbox takes what has to be carried out.
func (ln *lane) takeOutbox() []kept {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	out := ln.order.outbox
	ln.order.outbox = nil
	return out
}

// spillLong moves followers to the store that have waited for long, or all of
// them, so that the packs that they came in do not stay open for them.
func (ln *lane) spillLong(long time.Time, all bool) {
	if ln.order == nil {
		return
	}
	o := ln.order
	o.trailing = slices.DeleteFunc(o.trailing, func(c *chain) bool {
		if len(c.followers) > 0 && (all || c.followers[0].queued.Before(long)) {
			ln.spill(c)
		}
		if c.trails = len(c.followers) > 0; c.trails {
			return false
		}
		ln.prune(c)
		return true
	})
}

// spillHeadless moves the followers to the store that wait for no attempt.
func (ln *lane) spillHeadless() {
	if !ln.order.hasFollowers() {
		return
	}
	for _, c := range ln.order.trailing {
		if c.state == noHead {
			ln.spill(c)
		}
	}
}
