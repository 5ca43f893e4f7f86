package deliver

import (
	"slices"

	"github.com/postrider/postrider/dispatcher/route"
)

// An order is what a lane knows of its deliveries that have a key. A lane has
// none before the first.
type order struct {
	chains map[route.Key]*chain
	slots  int // of them
	spare  []*chain

	ready     []*chain // those whose head is to come from the store
	trailing  []*chain // at least those with followers
	followers int
	waiting   int // in all tails
	unsure    int // chains

	// outbox is what leaves the lane for the store, or is settled. What goes to
	// one queue has to be written in its order, so it is carried out by one at a time.
	outbox  []kept
	carrier chan struct{} // holds one while somebody does

	turn bool // of the chains, else that of what has no key
}

func newOrder() *order {
	return &order{chains: map[route.Key]*chain{}, carrier: make(chan struct{}, 1)}
}

// waits reports whether something may be in a tail.
func (o *order) waits() bool { return o != nil && o.waiting+o.unsure > 0 }

// isReady reports whether a head is to come from the store.
func (o *order) isReady() bool { return o != nil && len(o.ready) > 0 }

// hasFollowers reports whether deliveries wait in memory behind heads.
func (o *order) hasFollowers() bool { return o != nil && o.followers > 0 }

// isEmpty reports whether there is nothing to know.
func (o *order) isEmpty() bool { return o == nil || len(o.chains) == 0 && len(o.outbox) == 0 }

// inherits reports whether a chain waits for what was put off before the start.
func (o *order) inherits() bool {
	for _, c := range o.chains {
		if c.inherited > 0 {
			return true
		}
	}
	return false
}

// list has the head of c come from the store, if that is to be so.
func (o *order) list(c *chain) {
	if !c.listed && c.idle() && !c.hasFront() && (c.tail > 0 || c.unsure) {
		c.listed = true
		o.ready = append(o.ready, c)
	}
}

// unlist undoes list: a closed lane may have given up what was there.
func (o *order) unlist(c *chain) {
	if c.listed {
		c.listed = false
		i := slices.Index(o.ready, c)
		o.ready = slices.Delete(o.ready, i, i+1)
	}
}

// takeReady takes up to n chains whose heads are to come from the store.
func (o *order) takeReady(n int) (from []errandTo) {
	taken := 0
	for _, c := range o.ready {
		if len(from) == n {
			break
		}
		taken++
		c.listed = false
		if c.idle() { // else something came back meanwhile
			from = append(from, c.visit())
		}
	}
	rest := copy(o.ready, o.ready[taken:])
	clear(o.ready[rest:])
	o.ready = o.ready[:rest]
	return from
}

// takeTails takes up to n chains that have a tail, whatever else they have.
func (o *order) takeTails(n int) (from []errandTo) {
	for _, c := range o.chains {
		if len(from) == n {
			break
		}
		if c.tail > 0 || c.unsure {
			from = append(from, c.visit())
		}
	}
	return from
}

// landed notes that one more is in the tail of c. A write that was tried again
// may have left more.
func (o *order) landed(c *chain, retried bool) {
	c.onWay--
	c.landings++
	c.tail++
	o.waiting++
	if retried {
		o.doubt(c)
	}
}

// doubt has the tail of c count as empty only when the store says so.
func (o *order) doubt(c *chain) {
	if !c.unsure {
		c.unsure = true
		o.unsure++
	}
}

// drawn notes that one was taken out of the tail of c.
func (o *order) drawn(c *chain) {
	if c.tail > 0 {
		c.tail--
		o.waiting--
	}
}

// drained notes that nothing is in the tail of c.
func (o *order) drained(c *chain) {
	o.waiting -= c.tail
	c.tail, c.copied = 0, false
	if c.unsure {
		c.unsure = false
		o.unsure--
	}
}
