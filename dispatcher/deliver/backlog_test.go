package deliver_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/route"
)

// backlog keeps in memory what a store keeps on disk, and fails while it is
// told to.
type backlog struct {
	mu      sync.Mutex
	failing bool
	takes   time.Duration      // a write that fails
	tries   int                // to write
	ds      []deliver.Deferral // that were ever put off
	parked  []*parked          // those of them that are
	ls      []deliver.DeadLetter
	queues  map[deliver.QueueID][]*pack
	writes  int // packs that were ever enqueued
	largest int // bytes of the events of one Enqueue
	reading int // Dequeues under way
	most    int // of them at once
	slow    chan struct{}
}

// A pack is what one Enqueue brought for one route.
type pack struct {
	ds    []deliver.Deferral
	at    time.Time
	taken bool
}

// A parked is a delivery that is put off.
type parked struct {
	deliver.Deferral
	taken bool
}

var errDisk = errors.New("the disk is gone")

func (b *backlog) write(keep func()) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tries++
	if b.failing {
		b.mu.Unlock()
		<-time.After(b.takes)
		b.mu.Lock()
		return errDisk
	}
	keep()
	return nil
}

func (b *backlog) Defer(_ context.Context, ds ...deliver.Deferral) error {
	return b.write(func() {
		b.ds = append(b.ds, ds...)
		for _, d := range ds {
			b.parked = append(b.parked, &parked{Deferral: d})
		}
	})
}

func (b *backlog) Bury(_ context.Context, ls ...deliver.DeadLetter) error {
	return b.write(func() { b.ls = append(b.ls, ls...) })
}

func (b *backlog) Enqueue(_ context.Context, ds ...deliver.Deferral) error {
	return b.write(func() {
		if b.queues == nil {
			b.queues = map[deliver.QueueID][]*pack{}
		}
		open := map[deliver.QueueID]*pack{}
		size := 0
		for _, d := range ds {
			size += d.Event.Size()
			b.largest = max(b.largest, size)
			p := open[d.Queue()]
			if p == nil || len(p.ds) == deliver.MaxDequeue || d.Key != 0 {
				p = &pack{at: time.Now()}
				b.queues[d.Queue()] = append(b.queues[d.Queue()], p)
				open[d.Queue()] = p
				b.writes++
			}
			p.ds = append(p.ds, d)
		}
	})
}

func (b *backlog) Dequeue(ctx context.Context, id deliver.QueueID) ([]deliver.Deferral, []*event.Claim, error) {
	b.mu.Lock()
	b.reading++
	b.most = max(b.most, b.reading)
	slow := b.slow
	b.mu.Unlock()
	if slow != nil {
		select {
		case <-slow:
		case <-ctx.Done():
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading--
	if b.failing {
		return nil, nil, errDisk
	}
	for _, p := range b.queues[id] {
		if p.taken {
			continue
		}
		p.taken = true
		claim := event.NewClaim(func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.queues[id] = slices.DeleteFunc(b.queues[id], func(q *pack) bool { return q == p })
		})
		claim.Add(len(p.ds) - 1)
		return p.ds, slices.Repeat([]*event.Claim{claim}, len(p.ds)), nil
	}
	return nil, nil, nil
}

func (b *backlog) Waiting(context.Context) (map[deliver.QueueID]int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failing {
		return nil, errDisk
	}
	counts := map[deliver.QueueID]int{}
	for id, packs := range b.queues {
		for _, p := range packs {
			if !p.taken {
				counts[id] += len(p.ds)
			}
		}
	}
	return counts, nil
}

func (b *backlog) Deferred(context.Context) (map[deliver.QueueID]int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failing {
		return nil, errDisk
	}
	counts := map[deliver.QueueID]int{}
	for _, p := range b.parked {
		if !p.taken {
			counts[p.Queue()]++
		}
	}
	return counts, nil
}

// takeDue takes what has come due.
func (b *backlog) takeDue(now time.Time) (due []*parked) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.parked {
		if !p.taken && !now.Before(p.Due) {
			p.taken = true
			due = append(due, p)
		}
	}
	return due
}

func (b *backlog) unpark(p *parked) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.parked = slices.DeleteFunc(b.parked, func(q *parked) bool { return q == p })
}

// restart forgets who has what.
func (b *backlog) restart() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.parked {
		p.taken = false
	}
	for _, packs := range b.queues {
		for _, p := range packs {
			p.taken = false
		}
	}
}

func (b *backlog) Oldest(_ context.Context, id string) (oldest deliver.QueueID, at time.Time, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failing {
		return oldest, at, errDisk
	}
	for q, packs := range b.queues {
		if q.Route == id && len(packs) > 0 && (at.IsZero() || packs[0].at.Before(at)) {
			oldest, at = q, packs[0].at
		}
	}
	return oldest, at, nil
}

func (b *backlog) fail(yes bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failing = yes
}

func (b *backlog) tried() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tries
}

// written counts the packs that were ever enqueued.
func (b *backlog) written() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.writes
}

// slowDown has each Dequeue wait until the channel is closed.
func (b *backlog) slowDown(until chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slow = until
}

// readAtOnce is how many Dequeues were under way at once, at most.
func (b *backlog) readAtOnce() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.most
}

func (b *backlog) kept() (deferred []deliver.Deferral, dead []deliver.DeadLetter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.ds), slices.Clone(b.ls)
}

// waiting are the deliveries in the queue of a route, or in that of a key of it.
func (b *backlog) waiting(id string, of ...route.Key) []deliver.Deferral {
	b.mu.Lock()
	defer b.mu.Unlock()
	from := deliver.QueueID{Route: id}
	for _, from.Key = range of {
	}
	var ds []deliver.Deferral
	for _, p := range b.queues[from] {
		ds = append(ds, p.ds...)
	}
	return ds
}
