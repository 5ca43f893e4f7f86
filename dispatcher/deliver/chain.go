package deliver

import (
	"slices"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/route"
)

const (
	// maxFollowers is how many deliveries of a chain wait in memory.
	maxFollowers = 16
	// maxLaneChains bounds the chains of a lane. Beyond it, and where the
	// namespace has its share of maxChains, keys share chainSlots chains: that
	// costs them speed, and no order.
	maxLaneChains = 16384
	chainSlots    = 1024
	// slotMark is in the key of a slot. A key of a route that looks like one shares it.
	slotMark route.Key = 0x6b65_792d_736c_6f74 &^ (chainSlots - 1)
	// maxPhantoms is how many counts in a row, countEvery apart, have to miss a
	// delivery that was put off before it blocks its key no longer: what comes
	// due is on its way for a moment.
	maxPhantoms = 6
	// spareChains is how many chains a lane keeps to use them again.
	spareChains = 16
)

// A chain is what a lane knows of the deliveries with one key. They go one after
// the other: its head waits in the lane or is under way, behind it wait those in
// the store, its tail, and behind these its followers, in memory. There is no
// chain where nothing waits.
//
// So that a crash harms no order, the tail and what is put off contain the
// oldest delivery that is not done with, or nothing. Where the oldest is only
// in memory when the tail begins, the tail begins with a copy of it.
type chain struct {
	key   route.Key
	state headState
	head  delivery // unless there is none

	// followers are what waits in memory. The first of them may have come from
	// the tail: they wait before it.
	followers []delivery

	tail     int    // deliveries in its queue in the store, by our books
	unsure   bool   // there may be more: a write has failed, and maybe in part
	onWay    int    // deliveries on their way there
	landings uint32 // of those, ever

	// The tail begins with a copy of the head, or of a head that is done with.
	copied   bool
	original identity

	away      []away // deliveries that are put off
	inherited int    // likewise, before the start; we do not know which
	phantoms  int    // how often, in a row, the store had fewer
	burying   int    // deliveries that were given up, and are not on disk

	// What is new belongs into the slot of its key: it has only what came out of
	// the store once more, or precedes.
	isLeft   bool
	precedes bool // its slot waits for it: see lane.rank
	behind   int  // chains, where it is a slot: those that precede it

	fetching bool // somebody is at its queue
	listed   bool // among order.ready
	trails   bool // among order.trailing
}

// An identity tells one delivery of a chain from another.
type identity struct {
	seq uint64
	key event.Key
}

func (d *delivery) identity() identity { return identity{d.seq, d.event.Key()} }

// An away is a delivery that is put off.
type away struct {
	identity
	onDisk bool
	back   bool // it came back before we knew that it was on disk
}

// What the head of a chain does.
type headState uint8

const (
	noHead  headState = iota
	present           // it waits in the lane, or is under way
	leaving           // it is decided what becomes of it, but that is not on disk yet
)

// tailless reports whether nothing waits in the store, or will do so.
func (c *chain) tailless() bool {
	return c.tail+c.onWay == 0 && !c.unsure && !c.fetching && !c.hasFront()
}

// hasFront reports whether followers wait before the tail: they are its front.
func (c *chain) hasFront() bool { return len(c.followers) > 0 && c.followers[0].own }

// blocked reports whether one that was put off or given up goes before all
// that wait, or what chains have that precede it.
func (c *chain) blocked() bool {
	return c.inherited+c.burying+c.behind > 0 || slices.ContainsFunc(c.away, func(a away) bool { return !a.back })
}

// stored reports whether one that was put off, and goes before all that wait, is
// on disk.
func (c *chain) stored() bool {
	return c.inherited > 0 || slices.ContainsFunc(c.away, func(a away) bool { return a.onDisk })
}

// pending reports whether it is not on disk yet what becomes of one.
func (c *chain) pending() bool {
	return c.burying > 0 || slices.ContainsFunc(c.away, func(a away) bool { return !a.onDisk })
}

// leave notes that a delivery is put off.
func (c *chain) leave(d *delivery) { c.away = append(c.away, away{identity: d.identity()}) }

// left notes that this is on disk.
func (c *chain) left(d *delivery) {
	i := slices.IndexFunc(c.away, func(a away) bool { return !a.onDisk && a.identity == d.identity() })
	if c.away[i].onDisk = true; c.away[i].back {
		c.away = slices.Delete(c.away, i, i+1)
	}
}

// returns notes that a delivery that was put off is back, and reports whether
// it was known to be away. A write that was tried again may leave more of it.
func (c *chain) returns(d *delivery) bool {
	is := d.identity()
	if i := slices.IndexFunc(c.away, func(a away) bool { return a.onDisk && a.identity == is }); i >= 0 {
		c.away = slices.Delete(c.away, i, i+1)
		return true
	}
	if i := slices.IndexFunc(c.away, func(a away) bool { return !a.back && a.identity == is }); i >= 0 {
		c.away[i].back = true
		return true
	}
	if c.inherited > 0 {
		c.inherited--
		c.phantoms = 0
		return true
	}
	return false
}

// compare takes over that the store keeps n deliveries that are put off, when it
// has had fewer than we know of for long: a crash may leave some in its counts
// that never come back, and it removes them later.
func (c *chain) compare(n int) {
	for _, a := range c.away {
		if a.onDisk {
			n--
		}
	}
	if c.phantoms++; c.inherited <= n {
		c.phantoms = 0
	}
	if c.phantoms == maxPhantoms {
		c.inherited = max(n, 0)
	}
}

// idle reports whether the next may become the head.
func (c *chain) idle() bool { return c.state == noHead && !c.blocked() && !c.fetching }

// free reports whether a delivery that comes now is the next.
func (c *chain) free() bool { return c.idle() && len(c.followers) == 0 && c.tailless() }

// leads reports whether a delivery that comes now may wait in memory behind
// those that are there.
func (c *chain) leads() bool {
	return len(c.followers) < maxFollowers && !c.stored() && (c.state != noHead || !c.blocked() && !c.free())
}

// empty reports whether there is nothing to know of it.
func (c *chain) empty() bool { return c.free() && len(c.away) == 0 }

// atRisk reports whether a crash would lose sight of the head, if younger ones
// were in the store then.
func (c *chain) atRisk() bool {
	return c.state != noHead && !c.head.own && !c.copied && !c.stored()
}

// isCopy reports whether d, from the tail, is only the copy of what is done with.
func (c *chain) isCopy(d *delivery) bool {
	return c.copied && c.original == d.identity()
}

// slotOf is the key of the slot of a key.
func slotOf(k route.Key) route.Key { return slotMark | k%chainSlots }

// errandTo is a chain whose queue somebody goes to.
type errandTo struct {
	*chain
	landings uint32 // of the chain, before
}

func (c *chain) visit() errandTo {
	c.fetching = true
	return errandTo{chain: c, landings: c.landings}
}
