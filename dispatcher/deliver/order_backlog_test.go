package deliver_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
)

// write keeps n things, or when it fails or crashes the first few of them.
func (l *life) write(road, n int, keep func(i int)) error {
	l.takes(time.Duration(l.roll(20)) * time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended() {
		return errCrash
	}
	fails := l.failing&road != 0 || l.dice.IntN(20) == 0 || l.Halted() && l.dice.IntN(2) == 0
	if l.strikes() || fails {
		n = l.dice.IntN(n + 1)
	}
	for i := range n {
		keep(i)
	}
	switch {
	case l.ended():
		return errCrash
	case fails:
		return errDisk
	default:
		return nil
	}
}

func (l *life) Defer(_ context.Context, ds ...deliver.Deferral) error {
	p := &parkedPack{}
	return l.write(prompt, len(ds), func(i int) {
		if i == 0 || ds[i].Due.After(p.due) {
			p = &parkedPack{due: ds[i].Due.Add(100 * time.Millisecond)}
			l.parked = append(l.parked, p)
		}
		p.ds = append(p.ds, ds[i])
	})
}

func (l *life) Enqueue(_ context.Context, ds ...deliver.Deferral) error {
	return l.write(bulk, len(ds), func(i int) {
		id := ds[i].Queue()
		l.queues[id] = append(l.queues[id], &stored{Deferral: ds[i]})
	})
}

func (l *life) Bury(_ context.Context, ls ...deliver.DeadLetter) error {
	return l.write(prompt, len(ls), func(i int) {
		e := l.number(ls[i].Event.ID)
		if e.dead = true; !e.wanted {
			l.t.Errorf("%s is dead, which the condition does not want", ls[i].Event.ID)
		}
	})
}

// number is the event with an id.
func (l *life) number(id string) *published {
	var n int
	if _, err := fmt.Sscan(id, &n); err != nil {
		panic(err)
	}
	return l.events[n]
}

func (l *life) Dequeue(_ context.Context, id deliver.QueueID) ([]deliver.Deferral, []*event.Claim, error) {
	l.takes(time.Duration(l.roll(5)) * time.Millisecond)
	defer l.takes([]time.Duration{time.Millisecond, 3 * time.Millisecond, 800 * time.Millisecond}[l.roll(3)])
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failing&reading != 0 || l.ended() || l.strikes() {
		return nil, nil, errDisk
	}
	for _, s := range l.queues[id] {
		if s.taken {
			continue
		}
		s.taken = true
		claim := l.claim(l.lag, func() {
			l.queues[id] = slices.DeleteFunc(l.queues[id], func(q *stored) bool { return q == s })
		})
		return []deliver.Deferral{s.Deferral}, []*event.Claim{claim}, nil
	}
	return nil, nil, nil
}

func (l *life) Waiting(context.Context) (map[deliver.QueueID]int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := map[deliver.QueueID]int{}
	for id, q := range l.queues {
		for _, s := range q {
			if !s.taken {
				counts[id]++
			}
		}
	}
	return counts, l.readable()
}

func (l *life) Deferred(context.Context) (map[deliver.QueueID]int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := map[deliver.QueueID]int{}
	for _, p := range l.parked {
		for i := range p.ds {
			if !p.taken {
				counts[p.ds[i].Queue()]++
			}
		}
	}
	return counts, l.readable()
}

func (l *life) readable() error {
	if l.failing&reading != 0 || l.ended() {
		return errDisk
	}
	return nil
}

func (l *life) Oldest(_ context.Context, _ string) (oldest deliver.QueueID, at time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, q := range l.queues {
		if len(q) > 0 && (at.IsZero() || q[0].Event.Accepted.Before(at)) {
			oldest, at = id, q[0].Event.Accepted
		}
	}
	return oldest, at, l.readable()
}
