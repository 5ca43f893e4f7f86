package deliver

import (
	"slices"
	"time"

	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
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
	if c.precedes {
		slot := o.chains[slotOf(c.key)]
		slot.behind--
		defer ln.advance(slot)
	}
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
