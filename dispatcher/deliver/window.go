package deliver

import (
	"context"
	"sync"

	"github.com/postrider/postrider/dispatcher/event"
)

const (
	// maxOpen bounds the weight of the deliveries in memory, queued and under
	// way. A fetch may exceed it by what it brings.
	maxOpen = 16384
	// unit is how many bytes of data weigh as much as a delivery without any:
	// a full window holds at most 64 MiB of them.
	unit = 4096
)

// weight of a delivery of e. Deliveries of one event share its data, so this
// is an upper bound.
func weight(e *event.Event) int { return 1 + len(e.Data)/unit }

// A window weighs the deliveries in memory.
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
