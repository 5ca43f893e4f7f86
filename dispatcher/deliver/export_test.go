package deliver

import (
	"net/url"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
)

// The sizes of the pools of bytes, and what an event adds to that of its data.
const (
	MaxUnderWay = maxUnderWay
	MaxLone     = maxLone
	MaxAside    = maxAside
	Overhead    = overhead
)

// Held is how many bytes receivers that hang can keep in that much room, and Lone
// what a single event finds there in any case.
func Held(room float64) (all, lone int64) {
	p := newPools(room)
	return p.underWay.size + p.lone.size + p.aside.size + int64(p.spare), p.lone.size
}

// RetryAfter is exported for its test.
var RetryAfter = retryAfter

// HostName is exported for its test.
var HostName = hostName

// Hosts are exported for their test.
type Hosts struct{ hs hosts }

// NewHosts makes Hosts with a bound of attempts at once.
func NewHosts(concurrency int) *Hosts {
	return &Hosts{hosts{concurrency: concurrency, by: map[string]*host{}}}
}

func (h *Hosts) Of(tb testing.TB, s string) *host {
	tb.Helper()
	u, err := url.Parse(s)
	if err != nil {
		tb.Fatal(err)
	}
	return h.hs.of(u)
}

func (h *Hosts) Leave(of *host) { h.hs.leave(of) }
func (h *Hosts) Forget()        { h.hs.forget() }
func (h *Hosts) Count() int     { return len(h.hs.by) }

// Breaker is exported for its test, without jitter.
type Breaker struct{ b breaker }

func (b *Breaker) Shut(now time.Time) bool     { return b.b.shut(now) }
func (b *Breaker) Probes() bool                { return b.b.probes() }
func (b *Breaker) State() outcome.BreakerState { return b.b.state }
func (b *Breaker) Until() time.Time            { return b.b.until }
func (b *Breaker) End(p route.Breaker, ok, probe bool, now time.Time) {
	b.b.end(p, ok, probe, now, 0.5)
}

// Throttle is exported for its test, without jitter.
type Throttle struct {
	t     throttle
	begun uint64
}

func (t *Throttle) Begin() uint64               { t.begun++; return t.begun }
func (t *Throttle) Concurrency(allowed int) int { return t.t.concurrency(allowed) }
func (t *Throttle) Until() time.Time            { return t.t.until }
func (t *Throttle) Restart()                    { t.t.restart() }
func (t *Throttle) End(nth uint64, o outcome.Outcome, allowed int, now time.Time) {
	t.t.end(o, nth, t.begun, allowed, now, 0.2, 0)
}

// Portion is exported for its test.
type Portion = portion

// NewPortions makes a pool of the size, shared by n namespaces.
func NewPortions(size int64, n int) []*Portion {
	p := &pool{size: size}
	all := make([]*Portion, n)
	for i := range all {
		all[i] = &portion{pool: p}
	}
	return all
}

func (p *portion) Take(n int) bool { return p.take(n) }
func (p *portion) Force(n int)     { p.force(n) }
func (p *portion) Over() bool      { return p.over() }
func (p *portion) Held() int       { return int(p.held.Load()) }

// Pressure is exported for its test.
func Pressure(open, left int64, between time.Duration, busy int) (fair int, stuck, slow time.Duration) {
	p := newPressure(open, left, between, busy)
	return p.fair, p.stuckAfter, p.slowAfter
}

// Burst tells the rate and the burst of a limiter.
func Burst(r route.Rate) (perSecond float64, burst int) {
	l := newLimiter(r)
	if l == nil {
		return 0, 0
	}
	return float64(l.Limit()), l.Burst()
}

// Fifo is exported for its test: it holds deliveries by their number of attempts.
type Fifo struct{ q fifo }

func (f *Fifo) Push(n int) { f.q.push(delivery{attempts: n}) }
func (f *Fifo) Pop() int   { d := f.q.pop(); return d.attempts }
func (f *Fifo) Len() int   { return f.q.len() }
func (f *Fifo) Sift(goes func(n int) bool) (gone []int) {
	for _, d := range f.q.sift(func(d *delivery) bool { return goes(d.attempts) }) {
		gone = append(gone, d.attempts)
	}
	return gone
}

// Held tells what is counted in the window and in each pool.
func (l *Lanes) Held() map[string]int64 {
	return map[string]int64{
		"window": l.window.open.Load(), "attempts": l.pools.attempts.used.Load(), "slow": l.pools.slow.used.Load(),
		"first": l.pools.first.used.Load(), "aside": l.pools.aside.used.Load(),
		"under way": l.pools.underWay.used.Load(), "lone": l.pools.lone.used.Load(),
		"fetches": l.pools.fetches.used.Load(),
	}
}

// Count is how many lanes there are.
func (l *Lanes) Count() int { return len(l.all()) }

// Attempter makes attempts for a benchmark: of one event to one route, without
// a lane.
func (l *Lanes) Attempter(d Deferral) (func() outcome.Outcome, error) {
	e := l.opts.Router.Load().Lookup(d.Route)
	p, err := newPlan(e, l.opts.Credentials)
	if err != nil {
		return nil, err
	}
	a := attempt{entry: e, plan: p, delivery: delivery{parcel: newParcel(d.Event)}}
	return func() outcome.Outcome {
		o, _, _ := l.try(l.stop, &a)
		return o
	}, nil
}

// Crew is exported for its test.
type Crew struct{ c crew }

// A Parked is a worker that waits.
type Parked chan *lane

func (c *Crew) Send() bool { return c.c.send(&lane{}) }
func (c *Crew) Trim()      { c.c.trim() }
func (c *Crew) Disband()   { c.c.disband() }

func (c *Crew) Park() Parked {
	p := make(Parked, 1)
	c.c.park(p)
	return p
}

// State tells whether the worker still waits, and else whether it has work.
func (p Parked) State() (waits, works bool) {
	select {
	case ln := <-p:
		return false, ln != nil
	default:
		return true, false
	}
}

// BoundChains has all lanes together have few chains, and then slots.
func (l *Lanes) BoundChains(n int64) { l.pools.chains.size = n }

// SlotOf is exported for its test.
var SlotOf = slotOf

// Chains is how many chains there are.
func (l *Lanes) Chains() (n int) {
	for _, ln := range l.all() {
		ln.mu.Lock()
		if ln.order != nil {
			n += len(ln.order.chains)
		}
		ln.mu.Unlock()
	}
	return n
}

// Halted reports whether no attempt may begin any more.
func (l *Lanes) Halted() bool { return l.halted.Load() }

// Scrub is exported for its test.
func Scrub(rt *route.Route, text string, limit int, isCut bool) string {
	s := secretsOf(rt)
	return s.scrub([]byte(text)[:min(len(text), s.window(limit))], limit, isCut)
}
