package deliver

import (
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
)

// maxWait is how long a delivery waits in a slow lane before it goes to the
// store, so that the pack that it came in does not stay open for it.
const maxWait = 2 * time.Second

// A delivery is one event owed to one route, in memory.
type delivery struct {
	*parcel
	attempts int    // made so far
	seq      uint64 // see event.Stored
	claim    *event.Claim
	queued   time.Time // since when it waits in its lane
	key      route.Key // of its chain, 0 = none
	// own tells that it came out of the queue of its route, in a pack that
	// holds nothing for others, or has a key and came out of the store.
	own       bool
	unchecked bool // see route.Match
}

// A lane is the way to one receiver: what waits in memory, and the workers that
// attempt it. It is a state machine under one mutex. Each of its transitions
// returns the [effects] that are to be carried out without the mutex. An idle
// lane has no goroutine.
type lane struct {
	id     string // of its route
	in     *Lanes
	tenant *tenant

	mu sync.Mutex

	// The table, as it was when the lane last looked.
	router *route.Router
	entry  *route.Entry // nil = the route is gone
	plan   *plan        // of entry; nil before its first attempt
	epoch  string
	url    string
	gone   bool // the receiver said so (410), of this epoch and URL

	queue fifo
	fresh int // deliveries that it holds, queued and under way, but for own ones
	bytes int // of fresh
	own   int // see delivery.own
	slow  bool
	speed speed

	workers int  // attempts under way, or about to begin
	coming  int  // of these, those that have not asked for a delivery yet
	first   bool // one worker has a place in tenant.first
	extra   int  // and so many have one in tenant.attempts
	begun   uint64
	starved bool // its last worker found no room for the event of the first delivery

	breaker  breaker
	throttle throttle
	limiter  *rate.Limiter // nil = no limit
	interval time.Duration // between two attempts at its rate

	host       *host // nil = no bounds
	hostPlaces int   // granted and not used yet
	awaitsHost bool

	waiting    int    // deliveries in its queue in the store, about
	landings   uint32 // of those, ever: what was read in the store before one may lack it
	seen       uint32 // of those, when somebody last went there
	fetching   bool   // somebody is at that queue
	reserved   bool   // room in tenant.aside for what comes from there
	fetchAfter time.Time
	inspectAt  time.Time // see inspectEvery

	alarm   *time.Timer
	alarmAt time.Time // zero = not set
	watched bool      // by the sweep
	testing bool
	asked   int // attempts under way that are no deliveries, see [Lanes.AskAbout]

	order *order // of what has a key; nil before the first

	allowance allowance // of the attempt log
	metrics   *laneMetrics
}

// effects are what is to be done after a transition.
type effects struct {
	workers int        // to be started
	evicted []delivery // to the store, or to be given up when the route is gone
	gone    bool       // the route is
	fetch   bool       // from the queue in the store
	vacated *host      // a place that was not used
	outbox  bool       // of order is to be carried out
}

// put takes d over unless there is no room for it, or nothing may be attempted.
func (ln *lane) put(now time.Time, d delivery) (taken bool, fx effects) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.sync()
	if taken = ln.admits(now, d.weight()); taken {
		ln.queue.push(d)
		ln.hold(&d)
	}
	fx.gone = ln.lost()
	ln.follow(now, &fx, true)
	return taken, fx
}

// admits makes room for a fresh delivery of so many bytes, if there is any.
func (ln *lane) admits(now time.Time, weight int) bool { return ln.opens(now) && ln.room(weight) }

// opens reports whether one more delivery may be attempted, as far as that does
// not depend on room.
func (ln *lane) opens(now time.Time) bool {
	return !ln.closed(now) && (ln.breaker.state == outcome.BreakerClosed || ln.probeFree())
}

// room makes room for a fresh delivery of so many bytes, if there is any.
func (ln *lane) room(weight int) bool {
	if !ln.slow {
		if ln.fresh >= ln.in.window.bound()+ln.workers {
			return false
		}
		ln.in.window.enter()
		return true
	}
	if ln.fresh >= slowBound+ln.workers {
		return false
	}
	return ln.tenant.aside.take(weight) || ln.fresh+ln.own == 0 && ln.tenant.spare(weight)
}

// probeFree reports whether a breaker that is not closed waits for a delivery
// to probe with.
func (ln *lane) probeFree() bool {
	return ln.breaker.state == outcome.BreakerOpen && ln.queue.len() == 0
}

// closed reports whether nothing may be attempted for now, whatever waits.
func (ln *lane) closed(now time.Time) bool {
	return ln.entry == nil || ln.lost() || ln.entry.Hold != "" || ln.gone || ln.breaker.shut(now) || ln.in.halted.Load()
}

// follow draws the consequences of whatever has changed: it empties a closed
// lane, hires workers for an open one, and sees to its queue in the store.
func (ln *lane) follow(now time.Time, fx *effects, hiring bool) {
	switch {
	case ln.closed(now):
		if ln.queue.len() > 0 {
			ln.evict(now, fx, func(*delivery) bool { return true })
		}
		ln.spillHeadless()
		if ln.breaker.shut(now) {
			ln.ring(ln.breaker.until, now)
		}
		ln.inspect(now, fx)
		ln.watch(now)
	default:
		ln.carryOn(now, fx, hiring)
	}
	fx.outbox = ln.order != nil && len(ln.order.outbox) > 0
}

// carryOn hires workers for an open lane, and sees to its queue in the store.
func (ln *lane) carryOn(now time.Time, fx *effects, hiring bool) {
	for hiring && ln.hire(now) {
		fx.workers++
	}
	if ln.wantsMore(now) {
		ln.fetching, fx.fetch = true, true
	}
	ln.watch(now)
}

// watch has a busy lane swept.
func (ln *lane) watch(now time.Time) {
	if !ln.watched && ln.busy(now) {
		ln.watched = true
		ln.in.watch(ln)
	}
}

// evict takes those deliveries out of the lane that goes wants.
func (ln *lane) evict(now time.Time, fx *effects, goes func(*delivery) bool) {
	fx.gone = ln.lost()
	for _, d := range ln.queue.sift(goes) {
		ln.release(&d)
		if d.key != 0 {
			ln.unseat(now, d)
		} else {
			fx.evicted = append(fx.evicted, d)
		}
	}
}

// hire reserves a worker if one more attempt may begin. The worker has to be
// started, and then asks for its delivery.
func (ln *lane) hire(now time.Time) bool {
	if ln.coming >= ln.queue.len() || ln.workers >= ln.limit() {
		return false
	}
	if ln.awaitsHost && ln.hostPlaces == 0 || ln.rests(now) || !ln.occupy() {
		return false // the host, the alarm or the sweep comes back to it
	}
	if ln.workers == 0 && !ln.starved {
		ln.speed.moved = now
	}
	ln.workers++
	ln.coming++
	ln.in.workers.Add(1)
	return true
}

// limit is how many attempts may be under way at once.
func (ln *lane) limit() int {
	if ln.entry == nil || ln.breaker.state != outcome.BreakerClosed {
		return 1
	}
	return ln.throttle.concurrency(ln.entry.Concurrency)
}

// rests reports whether the lane waits for a token, for as long as its receiver
// has asked for, or until it may attempt what has a key. Then the alarm is set.
func (ln *lane) rests(now time.Time) bool {
	until := nextToken(ln.limiter, now)
	if ln.throttle.until.After(until) {
		until = ln.throttle.until
	}
	if ln.queue.len() > 0 && ln.queue.cell(0).key != 0 && !ln.in.leads() && until.Before(now.Add(leadPause)) {
		until = now.Add(leadPause)
	}
	if !until.After(now) {
		return false
	}
	ln.ring(until, now)
	return true
}

// next gives a worker the delivery that waits longest: to attempt it, or to check
// it first. Without one the worker has ended. hired tells that it is its first.
func (ln *lane) next(now time.Time, hired bool) (a attempt, ok bool, fx effects) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if hired {
		ln.coming--
	}
	ln.sync()
	ok = ln.queue.len() > 0 && !ln.closed(now) && ln.workers <= ln.limit() && !ln.exceeds()
	if ok && ln.queue.cell(0).unchecked {
		a = attempt{delivery: ln.queue.pop(), entry: ln.entry}
	} else if ok = ok && !ln.rests(now) && ln.enter(now); ok {
		a = ln.begin(now)
	} else {
		ln.workers--
		ln.vacate()
	}
	ln.follow(now, &fx, ok)
	if ln.coming == 0 && ln.hostPlaces > 0 {
		ln.hostPlaces--
		fx.vacated = ln.host
	}
	return a, ok, fx
}

// checked takes back a delivery that was checked: it is the next to be attempted,
// or leaves the lane because the event is not for the route.
func (ln *lane) checked(began, now time.Time, d delivery, stays bool) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.speed.observe(now.Sub(began), now)
	if stays {
		ln.queue.pushFront(d)
		return
	}
	ln.release(&d)
	if d.key != 0 {
		ln.ended(&d, Settle)
	}
}

// enter takes what the attempt of the first delivery needs besides a worker.
func (ln *lane) enter(now time.Time) bool {
	first := ln.queue.cell(0).parcel
	if ln.starved = !first.enter(ln.tenant, ln.entry); ln.starved {
		return false // the sweep comes back to it
	}
	if !ln.enterHost(now) {
		first.leave(ln.entry)
		return false
	}
	return true
}

func (ln *lane) enterHost(now time.Time) bool {
	switch {
	case ln.host == nil:
		return true
	case ln.hostPlaces > 0:
		ln.hostPlaces--
		return true
	case ln.host.enter(ln, now):
		return true
	default:
		ln.awaitsHost = true
		return false
	}
}

// granted takes the place that the lane waited for at h.
func (ln *lane) granted(now time.Time, h *host) (fx effects) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.sync()
	if h != ln.host {
		fx.vacated = h
		return fx
	}
	ln.awaitsHost = false
	ln.hostPlaces++
	ln.follow(now, &fx, true)
	if ln.coming == 0 {
		ln.hostPlaces--
		fx.vacated = h
	}
	return fx
}

// begin takes the first delivery for an attempt.
func (ln *lane) begin(now time.Time) attempt {
	if ln.limiter != nil {
		ln.limiter.AllowN(now, 1)
	}
	ln.begun++
	a := attempt{delivery: ln.queue.pop(), entry: ln.entry, host: ln.host, nth: ln.begun}
	if before := ln.breaker.state; before != outcome.BreakerClosed {
		a.probe = ln.breaker.probes()
		ln.in.opts.Recorder.Breaker(ln.id, ln.breaker.state)
	}
	a.plan, a.unusable = ln.ready()
	if ln.in.opts.Log != nil {
		a.recorded, a.skipped = ln.allowance.take(now)
	}
	a.metrics = ln.series()
	return a
}

// series returns the metrics of the webhook, which are there from its first attempt on.
func (ln *lane) series() *laneMetrics {
	if ln.metrics == nil {
		ln.metrics = ln.in.opts.Metrics.lane()
	}
	return ln.metrics
}

// ready returns the plan of the route, made anew when the table has changed
// since the last attempt.
func (ln *lane) ready() (*plan, error) {
	if ln.plan == nil {
		p, err := newPlan(ln.entry, ln.in.opts.Credentials)
		if err != nil {
			return nil, err
		}
		ln.plan = p
	}
	return ln.plan, nil
}

// end notes how an attempt ended, and what becomes of the delivery. The worker
// asks for the next one then, and that draws the consequences.
func (ln *lane) end(now time.Time, a *attempt, o outcome.Outcome, action Action) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	a.leave(a.entry)
	ln.release(&a.delivery)
	if a.key != 0 {
		ln.ended(&a.delivery, action)
	}
	ln.speed.observe(o.Took, now)
	if a.entry.Epoch != ln.epoch || a.entry.URL != ln.url {
		return // it says nothing of the receiver as it is now
	}
	dice := 0.0
	if !o.OK() {
		dice = rand.Float64() //nolint:gosec // jitter needs no secrecy
	}
	e := a.entry
	ln.throttle.end(o, a.nth, ln.begun, e.Concurrency, now, e.Retry.Jitter, dice)
	b := ln.breaker
	b.end(e.Breaker, o.OK(), a.probe, now, dice)
	ln.setBreaker(b)
	if o.Reason == outcome.ReceiverGone {
		ln.gone = true
	}
}

// setBreaker puts b in the place of the breaker, and tells of a change.
func (ln *lane) setBreaker(b breaker) {
	before := ln.breaker.state
	ln.breaker = b
	if b.state == before {
		return
	}
	if b.state == outcome.BreakerClosed {
		ln.throttle.restart() // what has piled up is not to hit the receiver at once
	}
	ln.in.opts.Recorder.Breaker(ln.id, b.state)
}

// ring sets the alarm for at, unless it is set for earlier.
func (ln *lane) ring(at, now time.Time) {
	if ln.in.halted.Load() || !ln.alarmAt.IsZero() && !ln.alarmAt.After(at) {
		return
	}
	ln.alarmAt = at
	if ln.alarm == nil {
		ln.alarm = time.AfterFunc(at.Sub(now), func() { ln.in.wake(ln) })
		return
	}
	ln.alarm.Reset(at.Sub(now))
}

// wake is what follows when the alarm rings.
func (ln *lane) wake(now time.Time) (fx effects) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.alarmAt = time.Time{}
	ln.sync()
	ln.follow(now, &fx, true)
	return fx
}

// forgettable reports whether the lane can go: its route is gone, and nothing
// is left of it. Then it has left its host, and takes one anew should it be
// found a last time when its route is back.
func (ln *lane) forgettable() bool {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if !ln.lost() || ln.entry != nil || ln.workers > 0 || ln.queue.len() > 0 || ln.waiting > 0 || ln.fetching || ln.testing || ln.asked > 0 || !ln.order.isEmpty() {
		return false
	}
	if ln.alarm != nil {
		ln.alarm.Stop()
	}
	ln.in.hosts.leave(ln.host)
	ln.host, ln.url = nil, ""
	return true
}
