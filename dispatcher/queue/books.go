package queue

import (
	"maps"
	"strings"
	"sync"

	"github.com/postrider/postrider/dispatcher/deliver"
)

// books count what is owed, so that counts cost no reading.
type books struct{ waiting, parked book }

// A book counts the deliveries of one stream. It begins as a blank page and
// learns what was there before from a census.
type book struct {
	mu     sync.Mutex
	stored page
	out    owing   // of stored, what was handed out and is not settled
	census *census // nil when none is under way

	// Of the last census, for packs that are noted after it: the last sequence
	// that it counted, and what was settled before it would have been.
	counted uint64
	gone    map[uint64]bool
}

// An owing says how many deliveries of each queue there are.
type owing map[deliver.QueueID]int

func (o owing) change(id deliver.QueueID, n int) {
	if n += o[id]; n == 0 {
		delete(o, id)
	} else {
		o[id] = n
	}
}

// A page says how many deliveries a stream holds, and how many bytes they take,
// by namespace.
type page struct {
	queues owing
	bytes  map[string]int64
}

// change adds t, or takes it away (sign -1), which may come first: what is
// stored can be settled before whoever stored it has noted that.
func (p *page) change(t tallies, sign int) {
	if p.queues == nil {
		p.queues, p.bytes = owing{}, map[string]int64{}
	}
	for id, n := range t {
		p.queues.change(id, sign*n.count)
		namespace, _, _ := strings.Cut(id.Route, "/")
		if p.bytes[namespace] += int64(sign * n.bytes); p.bytes[namespace] == 0 {
			delete(p.bytes, namespace)
		}
	}
}

// A census counts what a stream holds while packs come and go.
type census struct {
	page  page
	at    uint64          // what is no later has been counted
	known map[uint64]bool // stored since it began, and noted then
	gone  map[uint64]bool // settled before it was counted
}

// add notes that a pack was stored. A census may have met it before.
func (b *book) add(seq uint64, t tallies) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if seq > b.counted && !b.gone[seq] {
		b.stored.change(t, 1)
	}
	switch c := b.census; {
	case c == nil || seq <= c.at:
	case c.gone[seq]:
		delete(c.gone, seq)
	default:
		c.known[seq] = true
		c.page.change(t, 1)
	}
}

// remove notes that a pack is no longer stored.
func (b *book) remove(seq uint64, t tallies) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stored.change(t, -1)
	switch c := b.census; {
	case c == nil:
	case seq <= c.at || c.known[seq]:
		c.page.change(t, -1)
	default:
		c.gone[seq] = true
	}
}

// handOut notes that deliveries of a stored pack are in memory as well (sign 1),
// or no longer (sign -1).
func (b *book) handOut(t tallies, sign int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.out == nil {
		b.out = owing{}
	}
	for id, n := range t {
		b.out.change(id, sign*n.count)
	}
}

// begin begins a census.
func (b *book) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.census = &census{known: map[uint64]bool{}, gone: map[uint64]bool{}}
}

// count counts a stored pack, and every sequence before it as seen.
func (b *book) count(seq uint64, t tallies) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.census
	c.at = seq
	if !c.known[seq] && !c.gone[seq] {
		c.page.change(t, 1)
	}
}

// finish puts what the census has counted in force, if it could count all.
func (b *book) finish(complete bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if complete {
		b.stored, b.counted, b.gone = b.census.page, b.census.at, b.census.gone
	}
	b.census = nil
}

// owed is what is stored and not handed out.
func (b *book) owed() owing {
	b.mu.Lock()
	defer b.mu.Unlock()
	return without(b.stored.queues, b.out)
}

// without is what is stored but not handed out.
func without(stored, out owing) owing {
	left := make(owing, len(stored))
	for id, n := range stored {
		if n -= out[id]; n > 0 {
			left[id] = n
		}
	}
	return left
}

// handedOut is what is handed out.
func (b *book) handedOut() owing {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.out)
}

// addBytes adds what the deliveries of each namespace take to into.
func (b *book) addBytes(into map[string]int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for namespace, n := range b.stored.bytes {
		into[namespace] += n
	}
}
