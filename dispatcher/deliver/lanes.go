// Package deliver brings stored events to receivers: a lane per route, an
// attempt, the decision what follows from its outcome, and the settling of what
// is delivered, put off or dead.
package deliver

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postrider/postrider/dispatcher/authorize"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/dispatcher/trace"
)

// Options are what Lanes work with.
type Options struct {
	Router   *route.Current // in force before the first delivery
	Backlog  Backlog
	Client   Client
	Recorder outcome.Recorder

	// Credentials keeps those that change, which no attempt can go without.
	// nil = routes that have such are not attempted with success.
	Credentials *authorize.Keeper

	Metrics *Metrics
	Log     Log           // of attempts; nil = none is kept
	Tracer  *trace.Tracer // nil = off
	Logger  *slog.Logger

	// Leads tells whether what has a key may be attempted now, where others share
	// the backlog and one of them does that; nil = always.
	Leads func() bool

	// Bounds of the attempts to one host and port, over all routes; zero = none.
	HostConcurrency int
	HostRate        route.Rate

	// Room is the part of the usual bounds that attempts and their events keep to,
	// for a process with little memory; zero = all of it, and not less than [MinRoom].
	Room float64
}

// A Client sends deliveries, as [egress.Client] does.
type Client interface {
	Post(ctx context.Context, p *egress.Post) (egress.Response, error)
}

// Lanes are all lanes of a dispatcher. What they are given stays claimed until
// it is delivered, or on disk in the backlog.
type Lanes struct {
	opts   Options
	window window
	pools  *pools
	hosts  hosts

	prompt *keeper // of retries and dead letters
	bulk   *keeper // of what goes to the queues of the routes

	fetches fetches
	spell   spell
	checks  checks

	mu      sync.RWMutex
	lanes   map[string]*lane
	tenants map[string]*tenant

	watchedMu sync.Mutex
	watched   []*lane // those that the sweep looks at

	crew     crew
	workers  sync.WaitGroup // that work for a lane
	detached sync.WaitGroup // what nobody is to wait for: see onDisk and judge
	halted   atomic.Bool
	stop     context.Context    // done when no attempt may begin any more
	halt     context.CancelFunc // ends stop
	// undisturbed is for attempts: a stop must not abort a request that the
	// receiver may already be acting on.
	undisturbed context.Context
}

// NewLanes makes Lanes; [Lanes.Run] makes them work.
func NewLanes(opts Options) *Lanes {
	l := &Lanes{opts: opts, pools: newPools(opts.Room), checks: newChecks(), lanes: map[string]*lane{}, tenants: map[string]*tenant{}}
	l.window.init()
	l.hosts = hosts{concurrency: opts.HostConcurrency, rate: opts.HostRate, granted: l.granted, by: map[string]*host{}}
	l.prompt = newKeeper(opts.Backlog, opts.Logger, 0, l.settleKept)
	l.bulk = newKeeper(opts.Backlog, opts.Logger, gather, l.settleKept)
	l.fetches.fetch, l.fetches.pool = l.fetch, &l.pools.fetches
	l.stop, l.halt = context.WithCancel(context.Background())
	l.undisturbed = context.WithoutCancel(l.stop)
	opts.Metrics.watch(l)
	return l
}

// Run keeps the lanes going until ctx is done. By then nothing more may be
// handed in. It returns when attempts in flight have ended and what waited is
// in the backlog.
func (l *Lanes) Run(ctx context.Context) {
	defer context.AfterFunc(ctx, l.Halt)() // at once: a sweep may be waiting for the backlog
	var prompt, bulk, counting sync.WaitGroup
	prompt.Go(func() { l.prompt.run(l.stop) })
	bulk.Go(func() { l.bulk.run(l.stop) })
	counting.Go(l.count)
	l.sweepUntil(ctx)

	l.Halt()
	counting.Wait()
	l.fetches.end()
	for _, ln := range l.all() {
		l.carryOut(ln, ln.wake(time.Now())) // which empties it
	}
	l.workers.Wait()
	l.crew.disband()
	close(l.prompt.end)
	prompt.Wait()
	l.detached.Wait() // what waited for what is on disk now
	close(l.bulk.end)
	bulk.Wait()
}

// Halt lets no attempt begin any more: what is handed in from now on goes to the
// backlog, with one try to write it there. Call it at the beginning of a stop,
// so that a backlog that cannot be written holds up nobody.
func (l *Lanes) Halt() {
	l.halted.Store(true)
	l.halt()
}

// Wait returns once there is room for more deliveries, or with the error of ctx.
func (l *Lanes) Wait(ctx context.Context) error { return l.window.wait(ctx) }

// Deliver takes over an event for the routes that it matched, and one claim
// for each of them.
func (l *Lanes) Deliver(st event.Stored, to []route.Match) {
	p := newParcel(st.Event)
	now := time.Now()
	for _, m := range to {
		id := m.Entry.ID
		l.opts.Recorder.Pending(id, 1)
		l.put(now, id, delivery{parcel: p, seq: st.Seq, claim: st.Claim, queued: now, key: m.Key, unchecked: m.Unchecked})
	}
}

// Resume takes over a deferral that has come due, and its claim.
func (l *Lanes) Resume(d Deferral, claim *event.Claim) {
	l.opts.Recorder.Stored(d.Route, -1)
	l.opts.Recorder.Pending(d.Route, 1)
	now := time.Now()
	again := newDelivery(d, claim)
	again.queued = now
	if d.Key != 0 {
		ln := l.lane(d.Route)
		l.carryOut(ln, ln.resume(now, again))
		return
	}
	l.put(now, d.Route, again)
}

// newDelivery is what the store kept as d.
func newDelivery(d Deferral, claim *event.Claim) delivery {
	return delivery{
		parcel: newParcel(d.Event), attempts: d.Attempts, seq: d.Seq, claim: claim,
		key: d.Key, unchecked: d.Unchecked,
	}
}

// put hands d to its lane, or to the store when it does not fit.
func (l *Lanes) put(now time.Time, id string, d delivery) {
	ln := l.lane(id)
	if d.key != 0 {
		l.carryOut(ln, ln.putOrdered(now, d))
		return
	}
	taken, fx := ln.put(now, d)
	if !taken {
		fx.evicted = append(fx.evicted, d)
	}
	l.carryOut(ln, fx)
}

// carryOut does what a transition of ln asks for.
func (l *Lanes) carryOut(ln *lane, fx effects) {
	for range fx.workers {
		if !l.crew.send(ln) {
			go l.serve(ln)
		}
	}
	if fx.fetch {
		l.fetches.ask(ln)
	}
	if fx.vacated != nil {
		fx.vacated.leave(time.Now())
	}
	if fx.outbox {
		l.flush(ln)
	}
	for _, d := range fx.evicted {
		if fx.gone {
			l.bury(ln, d, outcome.Outcome{Reason: outcome.RouteGone})
		} else {
			l.enqueue(ln, d)
		}
	}
}

// serve works for ln, and then for whom the crew sends it to.
func (l *Lanes) serve(ln *lane) {
	next := make(chan *lane, 1)
	for ; ln != nil; ln = <-next {
		l.work(ln)
		l.crew.park(next)
	}
}

// work checks and attempts what waits in ln, one after the other, until nothing does.
func (l *Lanes) work(ln *lane) {
	defer l.workers.Done()
	for hired := true; ; hired = false {
		a, ok, fx := ln.next(time.Now(), hired)
		l.carryOut(ln, fx)
		if !ok {
			return
		}
		if a.unchecked {
			l.check(ln, a.delivery, a.entry)
		} else {
			l.attempt(ln, &a)
		}
	}
}

// granted follows when h has a place for an attempt of ln.
func (l *Lanes) granted(h *host, ln *lane) { l.carryOut(ln, ln.granted(time.Now(), h)) }

// wake follows when the alarm of ln rings.
func (l *Lanes) wake(ln *lane) { l.carryOut(ln, ln.wake(time.Now())) }

func (l *Lanes) enqueue(ln *lane, d delivery) {
	l.bulk.in <- kept{delivery: d, lane: ln, fate: enqueued}
}

func (l *Lanes) deferUntil(ln *lane, d delivery, due time.Time) {
	l.prompt.in <- kept{delivery: d, lane: ln, fate: deferred, at: due}
}

func (l *Lanes) bury(ln *lane, d delivery, why outcome.Outcome) {
	l.prompt.in <- kept{delivery: d, lane: ln, fate: buried, at: time.Now(), why: why}
}

// settleKept follows when deliveries are on disk, all with the same fate.
func (l *Lanes) settleKept(ks []kept) {
	waiting := map[*lane]int{}
	for _, k := range ks {
		id := k.lane.id
		switch k.fate {
		case buried: // first counted there, so that no report misses it altogether
			l.opts.Recorder.DeadLetters(id, 1)
			l.opts.Metrics.dead.Inc()
			l.opts.Logger.Warn("a delivery was given up", "route", id, "event", k.event.ID,
				"attempt", k.attempts, "reason", k.why.Reason)
		case deferred:
			l.opts.Recorder.Stored(id, 1)
			l.opts.Metrics.deferred.Inc()
		default:
			l.opts.Recorder.Stored(id, 1)
			l.opts.Metrics.enqueued.Inc()
			if k.key == 0 {
				waiting[k.lane]++
			}
		}
		if k.key != 0 {
			l.onDisk(&k) // first, for it may have to be copied until then
		}
		l.settle(k.lane, &k.delivery)
	}
	now := time.Now()
	for ln, n := range waiting {
		l.carryOut(ln, ln.stored(n, now))
	}
}

// settle ends what the lanes have to do with d: it is delivered, or on disk.
func (l *Lanes) settle(ln *lane, d *delivery) {
	l.opts.Recorder.Pending(ln.id, -1)
	d.claim.Done()
}

// lane returns the lane of a route, making it at first use.
func (l *Lanes) lane(id string) *lane {
	l.mu.RLock()
	ln := l.lanes[id]
	l.mu.RUnlock()
	if ln != nil {
		return ln
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ln = l.lanes[id]; ln == nil {
		namespace, _ := namespaceOf(id)
		t := l.tenants[namespace]
		if t == nil {
			t = newTenant(l.pools)
			l.tenants[namespace] = t
		}
		t.lanes++
		ln = &lane{id: id, in: l, tenant: t}
		l.lanes[id] = ln
	}
	return ln
}

// all returns the lanes as they are now.
func (l *Lanes) all() []*lane {
	l.mu.RLock()
	defer l.mu.RUnlock()
	all := make([]*lane, 0, len(l.lanes))
	for _, ln := range l.lanes {
		all = append(all, ln)
	}
	return all
}

// forget drops the lanes whose routes are gone, and what belonged to them.
func (l *Lanes) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, ln := range l.lanes {
		if !ln.forgettable() {
			continue
		}
		delete(l.lanes, id)
		if ln.tenant.lanes--; ln.tenant.lanes == 0 {
			namespace, _ := namespaceOf(id)
			delete(l.tenants, namespace)
		}
	}
	l.hosts.forget()
}
