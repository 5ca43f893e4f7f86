package deliver

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxOpen bounds the deliveries that moving lanes hold, queued and under
	// way. One event may exceed it by as many routes as it matches. How many
	// bytes they keep is the store's to bound: deliveries of one event share
	// its data.
	maxOpen = 16384

	// laneBound is how many deliveries may wait in a moving lane. While more
	// than half of the window is taken it is twice the fair share, if that is
	// less: so lanes that are all busy are slowed down together by the gate,
	// and lanes that are busier than the others go to the store.
	laneBound = 256
	// slowBound is how many may wait in a slow lane.
	slowBound = 16

	// A lane in which nothing moves for stuckAfter, or which would need longer
	// than slowAfter for what it holds, is slow. When all lanes are busy, each
	// delivery takes its time because of us, not of its receiver: then the
	// measure is what a delivery takes on average, within limits.
	minStuck, maxStuck = 250 * time.Millisecond, time.Second
	minSlow, maxSlow   = time.Second, 4 * time.Second
)

// A window counts the deliveries in moving lanes. Its gate holds the feeders
// back while it is full: what is in it moves, so that is not for long.
type window struct {
	open atomic.Int64
	left atomic.Int64 // deliveries that have left it, ever

	blocked atomic.Bool // somebody waits
	mu      sync.Mutex
	room    chan struct{} // closed when open falls below maxOpen

	pressure atomic.Pointer[pressure]
}

// pressure is what the window, as it has been of late, means for each lane.
type pressure struct {
	fair       int           // how many may wait in a lane while the window is more than half full
	stuckAfter time.Duration // see minStuck
	slowAfter  time.Duration // see minSlow
}

// newPressure judges a window that holds open deliveries, of which left have
// left in the time between, over so many busy lanes.
func newPressure(open, left int64, between time.Duration, busy int) *pressure {
	var mean time.Duration // of a delivery in the window
	if left > 0 {
		mean = time.Duration(float64(open) / float64(left) * float64(between))
	}
	return &pressure{
		fair:       min(max(2*maxOpen/max(busy, 1), slowBound), laneBound),
		stuckAfter: min(max(mean, minStuck), maxStuck),
		slowAfter:  min(max(4*mean, minSlow), maxSlow),
	}
}

func (w *window) init() { w.pressure.Store(newPressure(0, 0, 0, 0)) }

// bound is how many deliveries may wait in a moving lane.
func (w *window) bound() int {
	if w.open.Load() <= maxOpen/2 {
		return laneBound
	}
	return w.pressure.Load().fair
}

// enter counts one more delivery, exit one that is done with.
func (w *window) enter() { w.open.Add(1) }

func (w *window) exit() {
	w.left.Add(1)
	w.move(-1)
}

// move counts n more deliveries, whose lane is a moving one now, or n fewer.
func (w *window) move(n int) {
	if w.open.Add(int64(n)) < maxOpen && w.blocked.Load() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.blocked.Swap(false) {
			close(w.room)
		}
	}
}

// wait returns once there is room, or with the error of ctx.
func (w *window) wait(ctx context.Context) error {
	for w.open.Load() >= maxOpen {
		w.mu.Lock()
		if !w.blocked.Load() {
			w.room = make(chan struct{})
			w.blocked.Store(true)
		}
		room := w.room
		w.mu.Unlock()
		if w.open.Load() < maxOpen { // it fell before anybody could know that we wait
			break
		}
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}
