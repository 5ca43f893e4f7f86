package queue

import (
	"slices"
	"sync"
)

// maxOpen bounds how many packs a place names as open. Beyond it the place is
// before the next of them, so that all from there on come again.
const maxOpen = 4096

// A place is how far the ordered events are settled: all packs of them up to a
// sequence, but for those that are open.
type place struct {
	UpTo uint64   `json:"upTo"`
	Open []uint64 `json:"open,omitempty"` // ascending, none later than UpTo
}

// settled is the last sequence before which nothing is open.
func (p place) settled() uint64 {
	if len(p.Open) > 0 {
		return p.Open[0] - 1
	}
	return p.UpTo
}

// owes reports whether a pack was not settled.
func (p place) owes(seq uint64) bool {
	_, open := slices.BinarySearch(p.Open, seq)
	return open || seq > p.UpTo
}

// A progress follows which packs are handed out, in their order, and which of
// them are settled, in any.
type progress struct {
	mu   sync.Mutex
	upTo uint64   // handed out, or not owed
	open []uint64 // ascending
}

// begin notes that a pack is handed out.
func (p *progress) begin(seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.upTo = seq
	p.open = append(p.open, seq)
}

func (p *progress) settle(seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i, open := slices.BinarySearch(p.open, seq); open {
		p.open = slices.Delete(p.open, i, i+1)
	}
}

// place is where it is now. What was open before and has not come again yet is
// open still.
func (p *progress) place(before place) place {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := place{UpTo: max(p.upTo, before.UpTo), Open: slices.Clone(p.open)}
	i, _ := slices.BinarySearch(before.Open, p.upTo+1)
	now.Open = append(now.Open, before.Open[i:]...)
	if len(now.Open) > maxOpen {
		now.UpTo = now.Open[maxOpen] - 1
		now.Open = now.Open[:maxOpen]
	}
	return now
}
