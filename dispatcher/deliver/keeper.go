package deliver

import (
	"context"
	"log/slog"
	"time"

	"github.com/postrider/postrider/dispatcher/outcome"
)

const (
	// keepBound is how many deliveries may wait to be written to the backlog
	// before whoever brings more waits too.
	keepBound = 4096
	// keepBatch bounds one write, and keepBytes what its events have, unless it
	// is one delivery: those of one event share its data in memory, and each has
	// a copy of it in what is written.
	keepBatch, keepBytes = 1024, 4 << 20
	// keepPause lies between two tries to write.
	keepPause = time.Second
	// gather is how long deliveries for the queues of routes are collected, so
	// that those of one route are written together.
	gather = 500 * time.Millisecond
)

// What becomes of a delivery that is kept.
const (
	enqueued = iota // it waits in the queue of its route
	deferred        // until it is due
	buried          // it was given up
	fates
)

// A kept is a delivery on its way to the backlog.
type kept struct {
	delivery
	lane *lane
	fate int             // see enqueued
	at   time.Time       // when it is due, or was given up
	why  outcome.Outcome // it was given up
}

func (k *kept) deferral() Deferral {
	return Deferral{Route: k.lane.id, Attempts: k.attempts, Due: k.at, Seq: k.seq, Event: k.event}
}

func (k *kept) letter() DeadLetter {
	return DeadLetter{Route: k.lane.id, Attempts: k.attempts, Why: k.why, At: k.at, Seq: k.seq, Event: k.event}
}

// A keeper writes what cannot be delivered now to the backlog, many at a time,
// so that neither fanout nor a lane waits for the disk. Only when it is on disk
// is its claim settled.
type keeper struct {
	backlog Backlog
	log     *slog.Logger
	in      chan kept
	end     chan struct{} // closed when nothing more comes
	linger  time.Duration // how long a write waits for more
	settle  func([]kept)  // called with what is on disk
}

func newKeeper(b Backlog, log *slog.Logger, linger time.Duration, settle func([]kept)) *keeper {
	return &keeper{backlog: b, log: log, in: make(chan kept, keepBound), end: make(chan struct{}), linger: linger, settle: settle}
}

// run writes until end is closed, and then what has come by then. When ctx is
// done nothing waits for more any longer, and what cannot be written at the
// first try is left: its pack is not settled and comes again.
func (k *keeper) run(ctx context.Context) {
	batch := make([]kept, 0, keepBatch)
	for {
		select {
		case first := <-k.in:
			batch = append(batch[:0], first)
		case <-k.end:
			if len(k.in) == 0 {
				return
			}
			batch = batch[:0]
		}
		batch = k.collect(ctx, batch)
		k.keep(ctx, batch)
		clear(batch) // for the garbage collector
	}
}

// collect adds to batch what comes while it lingers.
func (k *keeper) collect(ctx context.Context, batch []kept) []kept {
	bytes := 0
	for i := range batch {
		bytes += batch[i].event.Size()
	}
	add := func(next kept) {
		batch = append(batch, next)
		bytes += next.event.Size()
	}
	if k.linger > 0 && ctx.Err() == nil {
		late := time.NewTimer(k.linger)
		defer late.Stop()
		for len(batch) < keepBatch && bytes < keepBytes {
			select {
			case next := <-k.in:
				add(next)
				continue
			case <-late.C:
			case <-ctx.Done():
			}
			break
		}
	}
	for len(batch) < keepBatch && bytes < keepBytes && len(k.in) > 0 {
		add(<-k.in)
	}
	return batch
}

// keep writes a batch, with one write for each fate.
func (k *keeper) keep(ctx context.Context, batch []kept) {
	var by [fates][]kept
	for _, b := range batch {
		by[b.fate] = append(by[b.fate], b)
	}
	for fate, ks := range by {
		if len(ks) > 0 && k.try(ctx, func() error { return k.write(ctx, fate, ks) }) {
			k.settle(ks)
		}
	}
}

func (k *keeper) write(ctx context.Context, f int, ks []kept) error {
	switch f {
	case buried:
		return k.backlog.Bury(ctx, letters(ks)...)
	case deferred:
		return k.backlog.Defer(ctx, deferrals(ks)...)
	default:
		return k.backlog.Enqueue(ctx, deferrals(ks)...)
	}
}

func deferrals(ks []kept) []Deferral {
	ds := make([]Deferral, len(ks))
	for i := range ks {
		ds[i] = ks[i].deferral()
	}
	return ds
}

func letters(ks []kept) []DeadLetter {
	ls := make([]DeadLetter, len(ks))
	for i := range ks {
		ls[i] = ks[i].letter()
	}
	return ls
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
