package role

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/postrider/postrider/test/bench/ledger"
)

// A pace says which event is posted next, and when it was due.
type pace interface {
	// next waits until it is time. It returns false when the load has ended.
	next() (n int, due time.Time, ok bool)
	// gone says that event n was not accepted, so that nothing of it will arrive.
	gone()
	// end is the first event that was never posted, once the load has ended.
	end() int
}

// closed is a closed loop: an event is due when there is room for it.
type closed struct {
	book     *ledger.Ledger
	window   int // deliveries
	first    int
	limit    int
	deadline time.Time
	before   int // deliveries answered before the load
	lost     atomic.Int64

	mu sync.Mutex // whoever holds it waits for room, the others for him
	n  int
}

// roomPause is how long lies between two looks for room: short against the
// time in which a window of deliveries is worked off.
const roomPause = 200 * time.Microsecond

func newClosed(book *ledger.Ledger, o Load, limit int, now time.Time) *closed {
	return &closed{
		book: book, window: max(o.Window, int(book.Fanout)), first: o.First, limit: limit,
		deadline: now.Add(o.Duration), before: book.Answered(), n: o.First,
	}
}

func (p *closed) next() (int, time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for p.n < p.limit && now.Before(p.deadline) {
		if p.open() <= p.window {
			p.n++
			return p.n - 1, now, true
		}
		time.Sleep(roomPause)
		now = time.Now()
	}
	return 0, time.Time{}, false
}

// open is how many deliveries would be under way with the next event.
func (p *closed) open() int {
	posted := p.n + 1 - p.first - int(p.lost.Load())
	return posted*int(p.book.Fanout) - (p.book.Answered() - p.before)
}

func (p *closed) gone() { p.lost.Add(1) }

func (p *closed) end() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

// open is an open loop: events are due at a fixed rate, and one that is posted
// late, because no connection was free, was due all the same. Its latency
// counts from then (no coordinated omission).
type open struct {
	began    time.Time
	interval float64 // ns between two events
	first    int
	count    int
	taken    atomic.Int64
}

func newOpen(o Load, limit int, now time.Time) *open {
	count := min(int(o.Rate*o.Duration.Seconds()), limit-o.First)
	return &open{began: now, interval: float64(time.Second) / o.Rate, first: o.First, count: count}
}

func (p *open) next() (int, time.Time, bool) {
	i := int(p.taken.Add(1)) - 1
	if i >= p.count {
		return 0, time.Time{}, false
	}
	due := p.began.Add(time.Duration(float64(i) * p.interval))
	if wait := time.Until(due); wait > 0 {
		// A connection was free in time. That the timer goes off up to a
		// millisecond late is our doing, not that of who is measured.
		time.Sleep(wait)
		due = time.Now()
	}
	return p.first + i, due, true
}

func (p *open) gone() {}

func (p *open) end() int { return p.first + p.count }
