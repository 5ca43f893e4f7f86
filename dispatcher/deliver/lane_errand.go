package deliver

import (
	"math/rand/v2"
	"time"

	"github.com/postrider/postrider/dispatcher/outcome"
)

const (
	// lowWater is how few deliveries wait in a lane when it takes the next
	// ones out of its queue in the store.
	lowWater = 16
	// inspectEvery is how often the queue of a closed lane is looked at for what
	// has become too old.
	inspectEvery = time.Minute
	// inspectPause lies between two looks while something is too old: by then
	// what was found before is out of the queue.
	inspectPause = time.Second
	// inspectChainPause is likewise, where each look finds what one key has.
	inspectChainPause = 50 * time.Millisecond
)

// inspect sees to the store's queue of a closed lane: at once when the route is
// gone, else from time to time, for some of it may have become too old.
func (ln *lane) inspect(now time.Time, fx *effects) {
	if ln.waiting == 0 && !ln.order.waits() || ln.fetching || ln.router == nil || ln.in.halted.Load() {
		return
	}
	switch {
	case now.Before(ln.fetchAfter):
		ln.ring(ln.fetchAfter, now)
	case ln.lost():
		ln.fetching, fx.fetch = true, true
	case ln.inspectAt.IsZero():
		ln.inspectAt = now.Add(rand.N(inspectEvery)) //nolint:gosec // so that not all are looked at together
		ln.ring(ln.inspectAt, now)
	case now.Before(ln.inspectAt):
		ln.ring(ln.inspectAt, now)
	default:
		ln.inspectAt = now.Add(inspectEvery)
		ln.fetching, fx.fetch = true, true
	}
}

// wantsMore reports whether the next deliveries are to be taken out of the
// store. Room for them is then reserved.
func (ln *lane) wantsMore(now time.Time) bool {
	if ln.waiting == 0 && !ln.order.isReady() || ln.fetching {
		return false
	}
	switch {
	case ln.breaker.state != outcome.BreakerClosed:
		if !ln.probeFree() {
			return false
		}
	case ln.slow:
		if ln.queue.len() > 0 || ln.workers >= ln.limit() {
			return false
		}
	case ln.queue.len() >= lowWater:
		return false
	}
	until := ln.throttle.until
	if ln.fetchAfter.After(until) {
		until = ln.fetchAfter
	}
	if until.After(now) {
		ln.ring(until, now)
		return false
	}
	ln.reserved = ln.tenant.aside.take(haulRoom)
	return ln.reserved
}

// An errand is what somebody goes to the store's queue for.
type errand int

const (
	toAttempt errand = iota // what waits there
	toChains                // what waits in queues of keys
	toExpire                // what has waited for too long
	toBury                  // all of it: the route is gone
)

// wants tells what the lane wants from the store's queue by now, or from the
// queues of which chains. Before it had asked for something to attempt, or for
// something else: that may have changed.
func (ln *lane) wants() (errand, []errandTo) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.sync()
	ln.seen = ln.landings
	switch {
	case ln.reserved: // it has room, and gives back what it cannot attempt
		if heads := ln.headsWanted(); len(heads) > 0 {
			return toChains, heads
		}
		return toAttempt, nil
	case ln.lost():
		if ln.waiting == 0 && ln.order.waits() {
			return toChains, ln.order.takeTails(maxHeads)
		}
		return toBury, nil
	default:
		return toExpire, nil
	}
}

// haulRoom is how many bytes one Dequeue may bring, unless it brings one large
// delivery.
const haulRoom = MaxDequeueBytes + MaxDequeue*overhead

// A haul is what came of an errand.
type haul struct {
	taken     int        // out of the queue
	exhausted bool       // nothing was left
	overdue   bool       // the front was too old: what is behind it may be as well
	attempt   []delivery // those of them that the lane is to attempt
	chains    []catch    // out of their queues, which taken does not count
	err       error
}

// fetched takes over what came out of the store's queue.
func (ln *lane) fetched(now time.Time, h haul) (fx effects) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.sync()
	ln.fetching = false
	if ln.reserved {
		ln.reserved = false
		ln.tenant.aside.force(-haulRoom)
	}
	for _, d := range h.attempt {
		d.own, d.queued = true, now
		ln.holdOwn(&d)
		ln.queue.push(d)
	}
	ln.caught(now, h.chains)
	ln.waiting = max(ln.waiting-h.taken, 0)
	switch {
	case h.err != nil:
		ln.fetchAfter = now.Add(fetchPause)
	case h.exhausted && ln.landings == ln.seen:
		ln.waiting = 0
	case h.overdue && len(h.chains) > 0:
		ln.inspectAt = now.Add(inspectChainPause)
	case h.overdue:
		ln.inspectAt = now.Add(inspectPause)
	}
	ln.follow(now, &fx, true)
	return fx
}

// sentence is how old a delivery may be, and why an older one dies.
func (ln *lane) sentence() (time.Duration, outcome.Outcome) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	return ln.limitOfAge()
}

func (ln *lane) limitOfAge() (time.Duration, outcome.Outcome) {
	age, why := closedMaxAge, outcome.Outcome{Reason: outcome.Expired}
	if ln.entry != nil {
		if ln.entry.Retry.MaxAge > 0 {
			age = ln.entry.Retry.MaxAge
		}
		if ln.entry.Hold != "" {
			why = outcome.Outcome{Reason: outcome.Held, Detail: ln.entry.Hold}
		}
	}
	return age, why
}

// stored notes that n more deliveries wait in the store's queue.
func (ln *lane) stored(n int, now time.Time) (fx effects) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.sync()
	ln.waiting += n
	ln.landings++
	if ln.closed(now) {
		ln.inspect(now, &fx) // who closed it empties it: this may be who writes what is taken out
	} else {
		ln.carryOn(now, &fx, true) // although a stop may just have closed it, for the same reason
	}
	return fx
}

// landed is how often something was put into the lane's queue in the store.
func (ln *lane) landed() uint32 {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	return ln.landings
}

// correct takes over how many deliveries wait in the store's queue, without
// those that were taken out of it, as counted since it had so many landings. The
// count may lack what landed since, and what somebody takes out right now.
func (ln *lane) correct(n int, landings uint32, now time.Time) (fx effects) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.sync()
	if ln.fetching || ln.landings != landings {
		n = max(n, ln.waiting)
	}
	ln.waiting = n
	ln.follow(now, &fx, true)
	return fx
}
