package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/test/bench/figures"
	"github.com/postrider/postrider/test/bench/ledger"
	"github.com/postrider/postrider/test/bench/role"
)

const (
	deferredRoutes, deferredFanout = 100, 10
	// restPause lies between the last of the work and the kill. Deferrals are
	// collected for half a second before they are written, and the store writes
	// ten times a second which packs are settled: a kill before that brings them
	// again, which is a repetition and not a retry that came early.
	restPause = time.Second
	// restMargin is how long before they are due the dispatcher is killed at the
	// latest.
	restMargin = restPause + time.Second
)

// deferred lets receivers refuse deliveries until a moment, restarts the
// dispatcher meanwhile, and looks at how they come then. Every second event is
// refused, the others are delivered: a receiver that asks for patience with all
// would be left alone for a while, and that is another matter.
func (b *Bench) deferred(ctx context.Context) (err error) {
	// One more group of routes takes everything, to see when events pass again.
	s, err := b.newStage(ctx, "deferred", ledger.Layout{
		Routes: deferredRoutes + deferredFanout, Fanout: deferredFanout, Receivers: deferredRoutes + deferredFanout,
	}, func(r *route.Route) {
		r.Retry.Backoff[0] = time.Millisecond // what the receiver asks for is more, so that it alone counts
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()

	// Of all groups but one, every second event is refused.
	groups := s.book.Groups()
	events := 2 * b.Size.Deferred / deferredFanout * groups / (groups - 1)
	due := time.Now().Add(b.Size.Hold).Truncate(time.Second).Add(time.Second) // Retry-After knows whole seconds
	if err := s.conduct(role.Conduct{RefuseUntil: due, Spared: deferredRoutes}); err != nil {
		return err
	}
	posting := b.Size.Hold / 2
	if _, _, err := s.post(role.Load{Rate: float64(events) / posting.Seconds(), Duration: posting + time.Second, Events: events}); err != nil {
		return err
	}
	calm, err := s.settle(ctx, due.Add(-restMargin))
	if err != nil {
		return err
	}

	s.dispatcher.Kill()
	restart, err := s.restart(ctx)
	if err != nil {
		return err
	}
	rss, err := s.dispatcher.RSS()
	if err != nil {
		return err
	}
	waited := time.Until(due) > 0
	select {
	case <-time.After(time.Until(due)):
	case <-ctx.Done():
		return ctx.Err()
	}
	s.book.Mark()
	before := s.book.Delivered()
	all := ledger.Range{First: 0, End: s.next}
	s.await(ctx, s.book.Balance(all, nil).Owed, s.book.Delivered)
	first, last := s.book.Span()
	fired := s.book.Delivered() - before
	cpu, err := quiet(s.dispatcher.Process)
	if err != nil {
		return err
	}

	balance := s.book.Balance(all, nil)
	f := &figures.Deferred{Pending: calm.pending, RestartMs: figures.Number(restart.Seconds() * 1000), Early: s.book.Early(), Lost: balance.Missing}
	if last.After(first) {
		f.FiredPerS = figures.Number(float64(fired) / last.Sub(first).Seconds())
	}
	b.Figures.Deferred = f
	t := &b.Table
	t.Part(fmt.Sprintf("DEFERRED: %d deliveries wait, all due at one moment, kill -9 meanwhile", b.Size.Deferred))
	t.Row("pending at the kill", f.Pending)
	t.Row("RSS with them, before the kill, in MB", figures.Number(megabytes(calm.rss)))
	t.Row("RSS with them, after the restart, in MB", figures.Number(megabytes(rss)))
	t.Row("disk with them, in MB", figures.Number(megabytes(calm.disk)))
	t.Row("restart until a new event arrives, in ms", f.RestartMs)
	if !waited {
		t.Row("THE RESTART ENDED AFTER THEY WERE DUE: what follows says little")
	}
	t.Row("fired when due", fired)
	t.Row("fired per second, first to last", f.FiredPerS)
	t.Row("first after the due time, in ms", figures.Number(first.Sub(due).Seconds()*1000))
	t.Row("last after the due time, in ms", figures.Number(last.Sub(due).Seconds()*1000))
	t.Row("dispatcher, CPU µs per fired delivery, restart included", figures.Number(microseconds(cpu/time.Duration(max(fired, 1)))))
	t.Row("early", f.Early)
	t.Row("lost", f.Lost)
	t.Row("duplicates", balance.Duplicates)
	return s.book.Err()
}

// rest is a dispatcher that has nothing to do but to wait.
type rest struct {
	pending   int // deliveries, as it says itself
	rss, disk int64
}

// settle waits until the dispatcher has put away what was refused, and no
// longer than deadline.
func (s *stage) settle(ctx context.Context, deadline time.Time) (rest, error) {
	owed := s.book.Balance(ledger.Range{First: 0, End: s.next}, nil).Owed
	for s.book.Answered() < owed && time.Now().Before(deadline) && ctx.Err() == nil {
		time.Sleep(quietSlice)
	}
	if _, err := quiet(s.dispatcher.Process); err != nil {
		return rest{}, err
	}
	select {
	case <-time.After(restPause):
	case <-ctx.Done():
		return rest{}, ctx.Err()
	}
	var r rest
	known, err := s.dispatcher.owed()
	if err != nil {
		return rest{}, err
	}
	for _, n := range known {
		r.pending += n
	}
	if r.rss, err = s.dispatcher.RSS(); err != nil {
		return rest{}, err
	}
	r.disk, err = diskUsage(s.dir)
	return r, err
}

// restart starts the dispatcher again and returns how long it takes until a
// new event has come to its receivers. It belongs to the last group.
func (s *stage) restart(ctx context.Context) (time.Duration, error) {
	groups := s.book.Groups()
	s.next += groups - 1 - s.next%groups
	before := s.book.Delivered()
	began := time.Now()
	if err := s.dispatcher.start(); err != nil {
		return 0, err
	}
	t, probe, err := s.post(role.Load{Events: 1, Duration: stallPatience, Window: s.bench.Size.Window})
	if err != nil {
		return 0, err
	}
	arrived := func() int { return len(s.book.Latencies(probe, nil)) }
	s.await(ctx, t.Accepted*int(s.book.Fanout), arrived)
	if arrived() == 0 {
		return 0, fmt.Errorf("no event arrives after the restart; %d deliveries did", s.book.Delivered()-before)
	}
	return time.Since(began), nil
}
