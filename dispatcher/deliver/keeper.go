package deliver

import (
	"context"
	"log/slog"
	"slices"
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
	// keepAbstain is how long nothing is tried after a write that failed during
	// a stop. A try may take seconds, and there may be many to make.
	keepAbstain = 30 * time.Second
	// Writes begin gather apart: so those of one route, or those that are due
	// together, come into one pack, and the disk, which producers wait for, has
	// fewer syncs. What waits meanwhile is safe: the packs that it came in are not
	// settled yet.
	gather = 500 * time.Millisecond
)

// What becomes of a delivery that is kept.
const (
	enqueued = iota // it waits in the queue of its route
	deferred        // until it is due
	buried          // it was given up
	fates           // that are written
	dropped         // it is settled as it is: another copy of it is in the store, or it is no delivery
)

// A kept is a delivery on its way to the backlog.
type kept struct {
	delivery
	lane *lane
	fate int             // see enqueued
	at   time.Time       // when it is due, or was given up
	why  outcome.Outcome // it was given up

	isCopy  bool // of a delivery that stays where it is
	retried bool // a write failed before the one that succeeded
}

func (k *kept) deferral() Deferral {
	return Deferral{
		Route: k.lane.id, Key: k.key, Unchecked: k.unchecked,
		Attempts: k.attempts, Due: k.at, Seq: k.seq, Event: k.event,
	}
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
	linger  time.Duration // how long the first of a burst waits for more
	began   time.Time     // the last write
	settle  func([]kept)  // called with what is on disk
	left    bool          // something was left: see run

	abstain time.Time // until when nothing is tried
}

func newKeeper(b Backlog, log *slog.Logger, linger time.Duration, settle func([]kept)) *keeper {
	return &keeper{backlog: b, log: log, in: make(chan kept, keepBound), end: make(chan struct{}), linger: linger, settle: settle}
}

// run writes until end is closed, and then what has come by then. When ctx is
// done nothing waits for more any longer, and what cannot be written is left:
// its pack is not settled and comes again. So is then what has a key, for it may
// belong behind that.
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
		k.began = time.Now()
		k.keep(ctx, batch)
		clear(batch) // for the garbage collector
	}
}

// collect adds to batch what comes until it is time for the next write.
func (k *keeper) collect(ctx context.Context, batch []kept) []kept {
	bytes := 0
	for i := range batch {
		bytes += batch[i].event.Size()
	}
	add := func(next kept) {
		batch = append(batch, next)
		bytes += next.event.Size()
	}
	if wait := max(gather-time.Since(k.began), k.linger); wait > 0 && ctx.Err() == nil {
		late := time.NewTimer(wait)
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
		if k.left {
			ks = slices.DeleteFunc(ks, func(d kept) bool { return d.key != 0 })
		}
		if len(ks) == 0 {
			continue
		}
		tries, ok := k.try(ctx, func() error { return k.write(ctx, fate, ks) })
		if !ok {
			k.left = true
			continue
		}
		for i := range ks {
			ks[i].retried = tries > 1
		}
		k.settle(ks)
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

// try repeats write until it succeeds, or ctx is done. From then on it tries
// once, and not at all for a while after a try that failed.
func (k *keeper) try(ctx context.Context, write func() error) (tries int, ok bool) {
	for ctx.Err() == nil || time.Now().After(k.abstain) {
		tries++
		err := write()
		if err == nil {
			return tries, true
		}
		k.log.Warn("the backlog cannot be written", "err", err)
		t := time.NewTimer(keepPause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			k.abstain = time.Now().Add(keepAbstain)
			return tries, false
		}
	}
	return tries, false
}
