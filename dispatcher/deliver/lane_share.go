package deliver

import "time"

// occupy takes a place for one more attempt: every lane has one, and more as
// far as its namespace has its share.
func (ln *lane) occupy() bool {
	t := ln.tenant
	if ln.workers == 0 && t.first.take(1) {
		ln.first = true
		return true
	}
	if !t.attempts.take(1) {
		return false
	}
	if ln.slow && !t.slow.take(1) {
		t.attempts.force(-1)
		return false
	}
	ln.extra++
	return true
}

func (ln *lane) vacate() {
	t := ln.tenant
	if ln.extra == 0 {
		ln.first = false
		t.first.force(-1)
		return
	}
	ln.extra--
	t.attempts.force(-1)
	if ln.slow {
		t.slow.force(-1)
	}
}

// exceeds reports whether the lane has more attempts under way than its
// namespace may have by now.
func (ln *lane) exceeds() bool {
	return ln.workers > 1 && ln.extra > 0 && (ln.tenant.attempts.over() || ln.slow && ln.tenant.slow.over())
}

// hold counts d, a fresh delivery for which room was made.
func (ln *lane) hold(d *delivery) {
	ln.fresh++
	ln.bytes += d.weight()
	if !ln.slow && ln.drain() > ln.in.window.pressure.Load().slowAfter {
		ln.setSlow(true)
	}
}

// holdOwn counts d, which came out of the store.
func (ln *lane) holdOwn(d *delivery) {
	ln.own++
	ln.tenant.aside.force(d.weight())
}

// release uncounts d, which leaves the lane.
func (ln *lane) release(d *delivery) {
	switch {
	case d.own:
		ln.own--
		ln.tenant.aside.force(-d.weight())
	case ln.slow:
		ln.fresh--
		ln.bytes -= d.weight()
		ln.tenant.aside.force(-d.weight())
	default:
		ln.fresh--
		ln.bytes -= d.weight()
		ln.in.window.exit()
	}
}

// setSlow moves the lane to the slow ones, or back.
func (ln *lane) setSlow(slow bool) {
	if ln.slow == slow {
		return
	}
	ln.slow = slow
	sign := 1
	if !slow {
		sign = -1
	}
	ln.in.window.move(-sign * ln.fresh)
	ln.tenant.aside.force(sign * ln.bytes)
	ln.tenant.slow.force(sign * ln.extra)
}

// drain is how long the lane would need for what it holds.
func (ln *lane) drain() time.Duration {
	each := max(ln.speed.pace/time.Duration(ln.limit()), ln.interval)
	return time.Duration(ln.queue.len()+ln.workers) * each
}

// speed is how fast attempts end.
type speed struct {
	pace  time.Duration // of one attempt: a moving average
	moved time.Time     // when the last one ended, or the first one began
}

func (s *speed) observe(took time.Duration, now time.Time) {
	s.moved = now
	if s.pace == 0 {
		s.pace = took
		return
	}
	s.pace += (took - s.pace) / 8
}

// sweep looks at the lane as the time passes: it may have become slow, or moves
// again. It reports whether the lane is to be swept again.
func (ln *lane) sweep(now time.Time, p *pressure) (again bool, fx effects) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.sync()
	drain := ln.drain()
	switch {
	case drain > p.slowAfter, ln.stuck(now, p.stuckAfter):
		ln.setSlow(true)
	case drain < p.slowAfter/2:
		ln.setSlow(false)
	}
	if ln.slow && ln.queue.len() > 0 {
		ln.evictSlow(now, &fx)
	}
	ln.spillLong(now.Add(-maxWait), ln.slow && (ln.fresh > slowBound+ln.workers || ln.tenant.aside.over()))
	ln.follow(now, &fx, true)
	ln.watched = ln.busy(now)
	return ln.watched, fx
}

// evictSlow takes out of a slow lane what it may not keep: what exceeds its
// bound, what waits for long, and all of it while the namespace holds more than
// its share. What came out of the store stays.
func (ln *lane) evictSlow(now time.Time, fx *effects) {
	kept, long, over := 0, now.Add(-maxWait), ln.tenant.aside.over()
	ln.evict(now, fx, func(d *delivery) bool {
		if d.own {
			return false
		}
		kept++
		return over || kept > slowBound || d.queued.Before(long)
	})
}

// stuck reports whether no attempt has ended for so long although more could
// begin then. A lane that was emptied because of it stays stuck.
func (ln *lane) stuck(now time.Time, after time.Duration) bool {
	if now.Sub(ln.speed.moved) <= after {
		return false
	}
	return ln.queue.len() > 0 || ln.order.hasFollowers() || ln.workers > 0 && (ln.slow || ln.workers >= ln.limit())
}

// busy reports whether the lane needs to be swept.
func (ln *lane) busy(now time.Time) bool {
	return ln.queue.len() > 0 || ln.workers > 0 || ln.order.hasFollowers() ||
		(ln.waiting > 0 || ln.order.isReady()) && !ln.closed(now)
}
