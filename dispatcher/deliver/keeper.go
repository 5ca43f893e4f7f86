package deliver

import (
	"context"
	"log/slog"
	"time"

	"github.com/postrider/postrider/dispatcher/event"
)

const (
	// keepBound is how many deliveries may wait to be written to the backlog
	// before whoever brings more waits too.
	keepBound = 4096
	// keepBatch bounds one write.
	keepBatch = 1024
	// keepPause lies between two tries to write.
	keepPause = time.Second
)

// A kept is a delivery on its way to the backlog: one of the two is set.
type kept struct {
	deferral *Deferral
	letter   *DeadLetter
	claim    *event.Claim
}

// A keeper writes what cannot be delivered now to the backlog, many at a time,
// so that neither fanout nor a lane waits for the disk. Only when it is on disk
// is its claim settled.
type keeper struct {
	backlog Backlog
	log     *slog.Logger
	in      chan kept
	settle  func(kept) // called for each after it is on disk
}

// run writes until in is closed. When ctx is done, what cannot be written at
// the first try is left: its pack is not settled and comes again.
func (k *keeper) run(ctx context.Context) {
	for first := range k.in {
		batch := []kept{first}
		for len(batch) < keepBatch && len(k.in) > 0 {
			batch = append(batch, <-k.in)
		}
		k.keep(ctx, batch)
	}
}

func (k *keeper) keep(ctx context.Context, batch []kept) {
	var ds []Deferral
	var ls []DeadLetter
	for _, b := range batch {
		if b.deferral != nil {
			ds = append(ds, *b.deferral)
		} else {
			ls = append(ls, *b.letter)
		}
	}
	deferred := len(ds) == 0 || k.try(ctx, func() error { return k.backlog.Defer(ctx, ds...) })
	buried := len(ls) == 0 || k.try(ctx, func() error { return k.backlog.Bury(ctx, ls...) })
	for _, b := range batch {
		if b.deferral != nil && deferred || b.letter != nil && buried {
			k.settle(b)
		}
	}
}

// try repeats write until it succeeds, or ctx is done.
func (k *keeper) try(ctx context.Context, write func() error) bool {
	for {
		err := write()
		if err == nil {
			return true
		}
		k.log.Warn("the backlog cannot be written, trying again", "err", err)
		t := time.NewTimer(keepPause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return false
		}
	}
}
