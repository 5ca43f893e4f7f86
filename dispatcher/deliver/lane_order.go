package deliver

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
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

// putOrdered takes over a delivery that has a key: as head of its chain, behind
// it in memory, or for the store.
func (ln *lane) putOrdered(now time.Time, d delivery) (fx effects) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.sync()
	c := ln.chainFor(d.key)
	d.key = c.key
	switch {
	case ln.lost():
		ln.giveUp(c, d, now, outcome.Outcome{Reason: outcome.RouteGone})
	case c.free() && ln.admits(now, d.weight()):
		ln.hold(&d)
		ln.lead(c, d)
	case c.leads() && (c.state != noHead || ln.opens(now)) && ln.room(d.weight()):
		ln.hold(&d)
		ln.trail(c, d)
	default:
		ln.spill(c)
		ln.toTail(c, d, false)
	}
	ln.follow(now, &fx, true)
	return fx
}

// resume takes over a delivery with a key that had been put off.
func (ln *lane) resume(now time.Time, d delivery) (fx effects) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.sync()
	c := ln.chain(d.key)
	expected := c.returns(&d)
	d.own = true
	switch age, why := ln.limitOfAge(); {
	case ln.lost():
		ln.giveUp(c, d, now, outcome.Outcome{Reason: outcome.RouteGone})
	case ln.closed(now) && now.Sub(d.event.Accepted) > age && (!d.unchecked || ln.keeps(d.weight())):
		ln.giveUp(c, d, now, why)
	case c.state != present && (expected || c.idle()) && ln.admitsAgain(now, d.weight()):
		ln.holdOwn(&d)
		ln.lead(c, d)
	case expected:
		ln.putBack(now, c, d)
	default: // left over from when it was put off before: others may go first now
		ln.spill(c)
		ln.toTail(c, d, false)
	}
	ln.advance(c)
	ln.follow(now, &fx, true)
	return fx
}

// admitsAgain reports whether there is room for one that was put off.
func (ln *lane) admitsAgain(now time.Time, weight int) bool {
	return ln.opens(now) && ln.keeps(weight)
}

// keeps reports whether there is room for what came out of the store.
func (ln *lane) keeps(weight int) bool {
	return ln.own < laneBound+ln.workers && ln.tenant.aside.mayTake(weight)
}

// chainFor returns the chain of a key, or the slot that it shares. As long as
// one of the two has anything, it is that one, so that no delivery overtakes
// another by a change between them.
func (ln *lane) chainFor(k route.Key) *chain {
	if ln.order == nil {
		ln.order = newOrder()
	}
	o := ln.order
	c := o.chains[k]
	if c != nil && !c.isLeft {
		return c
	}
	if slot := o.chains[slotOf(k)]; slot != nil {
		return slot
	}
	if c != nil {
		c.isLeft = false
		return c
	}
	if len(o.chains)-o.slots >= maxLaneChains || !ln.tenant.chains.mayTake(1) {
		k = slotOf(k)
	}
	return ln.chain(k)
}

// chain returns the chain with just this key.
func (ln *lane) chain(k route.Key) *chain {
	if ln.order == nil {
		ln.order = newOrder()
	}
	o := ln.order
	c := o.chains[k]
	if c != nil {
		return c
	}
	if last := len(o.spare) - 1; last >= 0 {
		c, o.spare = o.spare[last], o.spare[:last]
	} else {
		c = &chain{}
	}
	c.key = k
	c.isLeft = o.chains[slotOf(k)] != nil
	o.chains[k] = c
	if k == slotOf(k) {
		o.slots++
	} else {
		ln.tenant.chains.force(1)
	}
	return c
}

// prune forgets c if there is nothing to know of it.
func (ln *lane) prune(c *chain) {
	o := ln.order
	if !c.empty() || c.trails {
		return
	}
	o.unlist(c)
	delete(o.chains, c.key)
	if c.key == slotOf(c.key) {
		o.slots--
	} else {
		ln.tenant.chains.force(-1)
	}
	if len(o.spare) < spareChains {
		*c = chain{followers: c.followers[:0]}
		o.spare = append(o.spare, c)
	}
}

// lead makes d, which the lane holds, the head of c.
func (ln *lane) lead(c *chain, d delivery) {
	c.state, c.head = present, d
	if !d.own {
		c.copied = false // nothing is in the tail
	}
	ln.queue.push(d)
}

// trail has d, which the lane holds, wait in memory.
func (ln *lane) trail(c *chain, d delivery) {
	at := len(c.followers)
	if d.own {
		at = slices.IndexFunc(append(c.followers, delivery{}), func(f delivery) bool { return !f.own })
	}
	c.followers = slices.Insert(c.followers, at, d)
	ln.order.followers++
	if !c.trails {
		c.trails = true
		ln.order.trailing = append(ln.order.trailing, c)
	}
}

// advance has the next of c follow when its head is done with.
func (ln *lane) advance(c *chain) {
	switch {
	case c.state != noHead:
	case c.blocked():
		ln.spill(c) // behind the one that is put off, which is in the store
	case c.hasFront(), len(c.followers) > 0 && c.tailless():
		next := c.followers[0]
		c.followers = slices.Delete(c.followers, 0, 1)
		ln.order.followers--
		ln.lead(c, next)
	default:
		ln.order.list(c)
		ln.prune(c)
	}
}

// ended follows the attempt of the head of a chain: action is what becomes of it.
func (ln *lane) ended(d *delivery, action Action) {
	c := ln.chain(d.key)
	c.state = noHead
	if action == Settle {
		c.head = delivery{}
		ln.advance(c)
		return
	}
	c.state = leaving
	if action == Retry {
		c.leave(d)
	} else {
		c.burying++
	}
}

// onDisk notes that it is on disk what has become of k.
func (ln *lane) onDisk(now time.Time, k *kept) (fx effects) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.sync()
	c := ln.chain(k.key)
	switch k.fate {
	case enqueued:
		ln.order.landed(c, k.retried)
	case deferred:
		c.left(&k.delivery)
	case buried:
		c.burying--
	}
	if c.state == leaving && !c.pending() {
		c.state, c.head = noHead, delivery{}
	}
	ln.advance(c)
	ln.follow(now, &fx, true)
	return fx
}

// unseat takes care of the head of a chain that the lane has given away.
func (ln *lane) unseat(now time.Time, d delivery) {
	c := ln.chain(d.key)
	switch {
	case ln.lost():
		c.state = leaving
		ln.giveUp(c, d, now, outcome.Outcome{Reason: outcome.RouteGone})
		return
	case d.own || !c.copied:
		c.state, c.head = noHead, delivery{}
		ln.putBack(now, c, d)
	default: // its copy takes its place
		c.state, c.head, c.copied = noHead, delivery{}, false
		ln.send(kept{delivery: d, fate: dropped})
	}
	ln.advance(c)
}

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
	maxAge, why := ln.limitOfAge()
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
			d.own, d.queued = true, now
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
		if catches[i].seen && len(catches[i].ds)+len(catches[i].none) == 0 && c.landings == catches[i].from.landings {
			ln.order.drained(c)
		}
		ln.advance(c)
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
	c.isLeft = false // nobody knows by now what came first
	c.tail += tail
	ln.order.waiting += tail
	c.inherited += deferred
	ln.advance(c)
}
