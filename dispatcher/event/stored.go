package event

import "sync/atomic"

// A Claim keeps a stored message unacknowledged until every delivery that came
// from it is settled. Whoever makes deliveries adds them; whoever settles one
// says Done; the last Done releases the message.
//
// A new Claim counts one for the maker, so that it cannot be released while
// deliveries are still being added: the maker ends with a Done of its own.
type Claim struct {
	open    atomic.Int64
	release func()
}

// NewClaim makes a Claim that calls release, once, when all is settled.
func NewClaim(release func()) *Claim {
	c := &Claim{release: release}
	c.open.Store(1)
	return c
}

// Add announces n more deliveries.
func (c *Claim) Add(n int) { c.open.Add(int64(n)) }

// Done settles one.
func (c *Claim) Done() {
	switch left := c.open.Add(-1); {
	case left == 0:
		c.release()
	case left < 0:
		panic("event: a claim was settled more often than it was made")
	}
}

// Stored is an event that lies in the store, and the claim on it.
type Stored struct {
	Event *Event
	Seq   uint64 // of the message in the store that holds it, by which it can be found again
	Claim *Claim
}
