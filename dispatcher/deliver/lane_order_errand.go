package deliver

import (
	"time"

	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
)

// A catch is what came out of the queue of a chain.
type catch struct {
	from errandTo
	ds   []delivery
	none []delivery // turned out to be no deliveries
	seen bool       // somebody was there
}

// maxHeads bounds the chains whose queues one errand goes to.
const maxHeads = 32

// headsWanted takes the chains whose heads are to come from the store next; none
// when it is the turn of what has no key.
func (ln *lane) headsWanted() []errandTo {
	o := ln.order
	if !o.isReady() {
		return nil
	}
	if o.turn = !o.turn || ln.waiting == 0; !o.turn {
		return nil
	}
	n := ln.limit() - ln.workers - ln.queue.len()
	switch {
	case ln.breaker.state != outcome.BreakerClosed:
		n = 1 // to probe with
	case !ln.slow:
		n += lowWater
	}
	return o.takeReady(min(max(n, 1), maxHeads))
}

// caught takes over what came out of the queues of chains.
func (ln *lane) caught(now time.Time, catches []catch) {
	for i := range catches {
		c := catches[i].from.chain
		c.fetching = false
		for _, d := range catches[i].none {
			ln.order.drawn(c)
			if c.isCopy(&d) {
				c.copied = false
			}
			ln.send(kept{delivery: d, fate: dropped})
		}
		for _, d := range catches[i].ds {
			ln.order.drawn(c)
			ln.place(now, c, d)
		}
		if catches[i].seen && len(catches[i].ds)+len(catches[i].none) == 0 && c.landings == catches[i].from.landings {
			ln.order.drained(c)
		}
		ln.advance(c)
	}
}

// place finds the place in c of d, which came out of its queue.
func (ln *lane) place(now time.Time, c *chain, d delivery) {
	d.own, d.queued = true, now
	maxAge, why := ln.limitOfAge()
	switch {
	case c.isCopy(&d):
		c.copied = false
		ln.send(kept{delivery: d, fate: dropped})
	case ln.lost():
		ln.giveUp(c, d, now, outcome.Outcome{Reason: outcome.RouteGone})
	case now.Sub(d.event.Accepted) > maxAge:
		ln.giveUp(c, d, now, why)
	case c.idle() && !c.hasFront():
		ln.holdOwn(&d)
		ln.lead(c, d)
	default: // its turn comes before that of all others
		ln.holdOwn(&d)
		ln.trail(c, d)
	}
}

// visitFront takes the chain of a key for an errand to the front of its queue,
// unless somebody has what is there.
func (ln *lane) visitFront(k route.Key) (to []errandTo) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	c := ln.chain(k)
	if c.state != noHead || c.hasFront() {
		return nil
	}
	if c.tail == 0 {
		ln.order.doubt(c)
	}
	return append(to, c.visit())
}

// inherits reports whether a chain waits for what was put off before the start.
func (ln *lane) inherits() bool {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	return ln.order != nil && ln.order.inherits()
}

// compare has all chains that inherit compare what they know with the store.
func (ln *lane) compare(now time.Time, counts map[QueueID]int) (fx effects) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.sync()
	for _, c := range ln.order.chains {
		if c.inherited > 0 {
			c.compare(counts[QueueID{ln.id, c.key}])
			ln.advance(c)
		}
	}
	ln.follow(now, &fx, true)
	return fx
}

// recall takes over how many deliveries of a chain the store keeps.
func (ln *lane) recall(k route.Key, tail, deferred int) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	c := ln.chain(k)
	c.tail += tail
	ln.order.waiting += tail
	c.inherited += deferred
	ln.advance(c)
}

// rank has slots wait for the chains of their keys, once all are recalled. Where
// the store has something of a key in both, one of them has only what was done
// with before a crash, and nobody knows which by now. So what comes now goes
// behind both.
func (ln *lane) rank() {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	o := ln.order
	for k, c := range o.chains {
		slot := o.chains[slotOf(k)]
		if c.isLeft = slot != nil && slot != c; c.isLeft {
			c.precedes = true
			slot.behind++
		}
	}
}
