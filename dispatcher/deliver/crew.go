package deliver

import "sync"

// A crew keeps workers that have nothing to do for a moment. A new goroutine
// would have to grow its stack anew with each delivery of a lane that is not busy.
type crew struct {
	mu     sync.Mutex
	parked []chan *lane // that each waits at, in the order in which they came
	spare  int          // those that nobody has needed since the last trim
	over   bool         // nobody is to wait any more
}

// send gives ln to the worker that was parked last, if there is one.
func (c *crew) send(ln *lane) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := len(c.parked) - 1
	if last < 0 {
		return false
	}
	c.parked[last] <- ln // it has room for one
	c.parked[last] = nil
	c.parked = c.parked[:last]
	c.spare = min(c.spare, last)
	return true
}

// park has the next lane sent to where a worker waits, or none when that is closed.
func (c *crew) park(at chan *lane) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		close(at)
		return
	}
	c.parked = append(c.parked, at)
}

// trim ends the workers that nobody has needed since the last trim.
func (c *crew) trim() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range c.parked[:c.spare] {
		close(at)
	}
	n := copy(c.parked, c.parked[c.spare:])
	clear(c.parked[n:])
	c.parked = c.parked[:n]
	c.spare = n
}

// disband ends all workers that are parked, or will be.
func (c *crew) disband() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	for _, at := range c.parked {
		close(at)
	}
	c.parked, c.spare = nil, 0
}
