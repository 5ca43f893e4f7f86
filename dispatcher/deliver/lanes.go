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
	Metrics  *Metrics
	Log      Log           // of attempts; nil = none is kept
	Tracer   *trace.Tracer // nil = off
	Logger   *slog.Logger

	// Bounds of the attempts to one host and port, over all routes; zero = none.
	HostConcurrency int
	HostRate        route.Rate
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

	mu      sync.RWMutex
	lanes   map[string]*lane
	tenants map[string]*tenant

	watchedMu sync.Mutex
	watched   []*lane // those that the sweep looks at

	crew    crew
	workers sync.WaitGroup // that work for a lane
	halted  atomic.Bool
	stop    context.Context    // done when no attempt may begin any more
	halt    context.CancelFunc // ends stop
	// undisturbed is for attempts: a stop must not abort a request that the
	// receiver may already be acting on.
	undisturbed context.Context
}

// NewLanes makes Lanes; [Lanes.Run] makes them work.
func NewLanes(opts Options) *Lanes {
	l := &Lanes{opts: opts, pools: newPools(), lanes: map[string]*lane{}, tenants: map[string]*tenant{}}
	l.window.init()
	l.hosts = hosts{concurrency: opts.HostConcurrency, rate: opts.HostRate, granted: l.granted, by: map[string]*host{}}
	l.prompt = newKeeper(opts.Backlog, opts.Logger, 0, l.settleKept)
	l.bulk = newKeeper(opts.Backlog, opts.Logger, gather, l.settleKept)
	l.fetches.fetch = l.fetch
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
	var keeping, counting sync.WaitGroup
	for _, k := range []*keeper{l.prompt, l.bulk} {
		keeping.Go(func() { k.run(l.stop) })
	}
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
	close(l.bulk.end)
	keeping.Wait()
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
		l.put(now, id, delivery{parcel: p, seq: st.Seq, claim: st.Claim, queued: now})
	}
}

// Resume takes over a deferral that has come due, and its claim.
func (l *Lanes) Resume(d Deferral, claim *event.Claim) {
	l.opts.Recorder.Stored(d.Route, -1)
	l.opts.Recorder.Pending(d.Route, 1)
	now := time.Now()
	l.put(now, d.Route, delivery{parcel: newParcel(d.Event), attempts: d.Attempts, seq: d.Seq, claim: claim, queued: now})
}

// put hands d to its lane, or to the store when it does not fit.
func (l *Lanes) put(now time.Time, id string, d delivery) {
	ln := l.lane(id)
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

// work attempts what waits in ln, one after the other, until nothing does.
func (l *Lanes) work(ln *lane) {
	defer l.workers.Done()
	for hired := true; ; hired = false {
		a, ok, fx := ln.next(time.Now(), hired)
		l.carryOut(ln, fx)
		if !ok {
			return
		}
		l.attempt(ln, &a)
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
			waiting[k.lane]++
		}
		l.opts.Recorder.Pending(id, -1)
		k.claim.Done()
	}
	now := time.Now()
	for ln, n := range waiting {
		l.carryOut(ln, ln.stored(n, now))
	}
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
	used := map[*host]struct{}{}
	for id, ln := range l.lanes {
		forgettable, h := ln.forgettable()
		if !forgettable {
			used[h] = struct{}{}
			continue
		}
		delete(l.lanes, id)
		l.opts.Metrics.forget(id)
		if ln.tenant.lanes--; ln.tenant.lanes == 0 {
			namespace, _ := namespaceOf(id)
			delete(l.tenants, namespace)
		}
	}
	l.hosts.retain(used)
}
