package deliver

import (
	"strings"
	"sync/atomic"

	"github.com/postrider/postrider/dispatcher/event"
)

// A pool is a number of places that namespaces share by dynamic thresholds
// (Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory
// packet switches", 1998): a namespace may hold as many as are free. So one
// that takes all it can get has half, n of them share evenly, and a newcomer
// always finds room. It is exact but for takers in the same instant.
type pool struct {
	size int64
	used atomic.Int64
}

// takes reports whether there are n places, and so many more than its size.
func (p *pool) takes(n, more int) bool { return p.used.Load()+int64(n) <= p.size+int64(more) }

// A portion is what one namespace holds of a pool.
type portion struct {
	pool *pool
	held atomic.Int64
}

// take takes n places if the namespace may have them.
func (p *portion) take(n int) bool {
	if !p.mayTake(n) {
		return false
	}
	p.force(n)
	return true
}

// mayTake reports whether the namespace may have n more places.
func (p *portion) mayTake(n int) bool {
	return p.held.Load()+int64(n) <= p.pool.size-p.pool.used.Load()
}

// force takes n places, come what may; a negative n gives them back.
func (p *portion) force(n int) {
	p.held.Add(int64(n))
	p.pool.used.Add(int64(n))
}

// over reports whether the namespace holds more than it may have now.
func (p *portion) over() bool { return p.held.Load() > p.pool.size-p.pool.used.Load() }

// The sizes of the pools. An attempt under way that hangs costs 30 to 50 KB.
const (
	// maxAttempts bounds the attempts under way, but for one of each lane...
	maxAttempts = 4096
	// ...of which those to slow lanes may be maxSlowAttempts.
	maxSlowAttempts = 2048
	// maxFirst bounds the lanes that have one attempt under way.
	maxFirst = 2048

	// What follows bounds the bytes of the events that receivers that hang can
	// keep in memory. It is less than the gates of the store let in, so only what
	// moves can close them.

	// maxUnderWay bounds the events that attempts are made of...
	maxUnderWay = 16 << 20
	// ...but for one of each namespace: large ones must find room even where
	// many namespaces share.
	maxLone = 6 << 20
	// ...and so much in the smallest of processes: the largest event.
	minLone = event.MaxBody + event.MaxBody/8
	// maxAside bounds what waits in slow lanes, or came out of the queues in
	// the store...
	maxAside = 32 << 20
	// ...but for the only delivery of a slow lane, if it is no larger than
	// maxSpareEach. These may exceed it by maxSpare.
	maxSpare, maxSpareEach = 2 << 20, 4 << 10

	// maxChains bounds the chains of all lanes, some 300 bytes each, but for
	// slots and what the store kept from before the start.
	maxChains = 1 << 17
)

// MaxHeld is how many bytes of events receivers that hang can keep in memory.
const MaxHeld = maxUnderWay + maxLone + maxAside + maxSpare

// MinRoom is the least part of these bounds that leaves room for the largest events.
const MinRoom = 1.0 / 8

// pools are what all namespaces share.
type pools struct {
	attempts, slow, first pool // of attempts
	underWay, lone, aside pool // of bytes
	chains, fetches       pool
	spare                 int // bytes beyond the size of aside
}

// newPools makes pools of so much of their sizes; 0 = all.
func newPools(room float64) *pools {
	if room == 0 {
		room = 1
	}
	of := func(size int) int64 { return int64(max(room, MinRoom) * float64(size)) }
	p := &pools{}
	p.attempts.size, p.slow.size, p.first.size = of(maxAttempts), of(maxSlowAttempts), of(maxFirst)
	p.underWay.size, p.aside.size = of(maxUnderWay), of(maxAside)
	p.lone.size = max(of(maxLone), minLone)
	p.chains.size = of(maxChains)
	p.fetches.size = maxFetches
	p.spare = int(of(maxSpare))
	return p
}

// A tenant is a namespace and its portions.
type tenant struct {
	attempts, slow, first portion
	underWay, lone, aside portion
	chains, fetches       portion
	spareBytes            int     // see pools
	lanes                 int     // of this namespace; guarded by Lanes.mu
	asking                []*lane // for a fetch; guarded by fetches.mu
}

func newTenant(p *pools) *tenant {
	t := &tenant{spareBytes: p.spare}
	t.attempts.pool, t.slow.pool, t.first.pool = &p.attempts, &p.slow, &p.first
	t.underWay.pool, t.lone.pool, t.aside.pool = &p.underWay, &p.lone, &p.aside
	t.chains.pool, t.fetches.pool = &p.chains, &p.fetches
	return t
}

// room takes n bytes for an event that attempts are made of, and tells from
// what, nil when the namespace has to wait for them.
func (t *tenant) room(n int) *portion {
	switch {
	case t.underWay.take(n):
		return &t.underWay
	case t.underWay.held.Load() == 0 && t.lone.held.Load() == 0 && t.lone.pool.takes(n, 0):
		t.lone.force(n)
		return &t.lone
	default:
		return nil
	}
}

// spare takes n bytes for the only delivery of a slow lane, if it is small.
func (t *tenant) spare(n int) bool {
	if n > maxSpareEach || !t.aside.pool.takes(n, t.spareBytes) {
		return false
	}
	t.aside.force(n)
	return true
}

// namespaceOf returns the namespace of a route, and the name of its webhook.
func namespaceOf(route string) (namespace, name string) {
	namespace, name, _ = strings.Cut(route, "/")
	return namespace, name
}
