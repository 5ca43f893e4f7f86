package deliver

import (
	"context"
	"sync"
)

// maxOpen bounds the deliveries in memory, queued and under way. A fetch may
// exceed it by what it brings. How many bytes they keep is the store's to bound:
// deliveries of one event share its data.
const maxOpen = 16384

// A window counts the deliveries in memory.
type window struct {
	mu      sync.Mutex
	open    int
	changed chan struct{} // closed when open falls below maxOpen; nil when nobody waits
}

func (w *window) add(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open += n
	if w.open < maxOpen && w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// pressed reports whether three eighths of the window are taken.
func (w *window) pressed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open > maxOpen*3/8
}

// wait returns once there is room, or with the error of ctx.
func (w *window) wait(ctx context.Context) error {
	for {
		w.mu.Lock()
		if w.open < maxOpen {
			w.mu.Unlock()
			return ctx.Err()
		}
		if w.changed == nil {
			w.changed = make(chan struct{})
		}
		changed := w.changed
		w.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
