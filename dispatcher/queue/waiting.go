package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
)

// maxWaitingPack bounds a pack of one route, in bytes, unless one delivery
// alone exceeds it: so much of a backlog is in memory while it drains.
const maxWaitingPack = deliver.MaxDequeueBytes

// An owed is a delivery on its way into the store.
type owed struct {
	*deliver.Deferral
	due time.Time // its slot, if it has a time
}

func (o owed) size() int    { return o.Event.Size() + len(o.Route) + 24 }
func (o owed) rest() []byte { return appendDeferral(nil, o.Deferral) }
func (o owed) names() []any { return []any{"route", o.Route, "event", o.Event.ID} }

// Enqueue implements [deliver.Backlog].
func (q *Queue) Enqueue(_ context.Context, ds ...deliver.Deferral) error {
	records := make([]owed, len(ds))
	for i := range ds {
		records[i] = owed{Deferral: &ds[i]}
	}
	return q.enqueues.commit(records...)
}

// A waitingPack is a pack of one queue that still grows.
type waitingPack struct {
	queue deliver.QueueID
	count int
	data  []byte
}

// full reports whether r needs another pack. A delivery that has a key is alone:
// its pack is to be settled before the next is attempted.
func (p *waitingPack) full(r owed) bool {
	return r.Key != 0 || p.count == deliver.MaxDequeue || len(p.data)+r.size() > maxWaitingPack
}

// flushWaiting stores what each queue is owed, in order and as few packs as may be.
func (q *Queue) flushWaiting(records []owed) error {
	for _, r := range records {
		if !isRoute(r.Route) {
			return errNoRoute(r.Route)
		}
	}
	packs := packByQueue(records)
	msgs := make([]*nats.Msg, len(packs))
	for i, p := range packs {
		msgs[i] = nats.NewMsg(subjectOfPack(p.queue, p.count))
		msgs[i].Data = p.data
		if p.queue.Key != 0 {
			q.fence(msgs[i], streamWaiting)
		}
	}
	sequences, err := q.publishAll(msgs)
	if err != nil {
		q.counted.doubt()
		return err
	}
	q.written.Store(max(q.written.Load(), sequences[len(sequences)-1])) // nobody else stores it
	for i, p := range packs {
		q.books.waiting.add(sequences[i], tallies{p.queue: {p.count, len(p.data)}})
	}
	return nil
}

func packByQueue(records []owed) (packs []*waitingPack) {
	growing := map[deliver.QueueID]*waitingPack{}
	for _, r := range records {
		id := r.Queue()
		p := growing[id]
		if p == nil || p.full(r) {
			p = &waitingPack{queue: id}
			packs, growing[id] = append(packs, p), p
		}
		p.count++
		p.data = appendDeferral(p.data, r.Deferral)
	}
	return packs
}

// Dequeue implements [deliver.Backlog]. It waits while too much is dequeued
// and not settled.
func (q *Queue) Dequeue(ctx context.Context, from deliver.QueueID) ([]deliver.Deferral, []*event.Claim, error) {
	if err := q.held.waiting.room(ctx); err != nil {
		return nil, nil, err
	}
	if from.Key != 0 {
		if err := q.removals.calm(ctx); err != nil {
			return nil, nil, err
		}
	}
	for {
		pack, err := q.next(ctx, from)
		if err != nil {
			return nil, nil, fmt.Errorf("taking from the queue of %s: %w", from.Route, err)
		}
		if pack == nil {
			return nil, nil, nil
		}
		ds, err := decodeDeferrals(pack.data)
		if err == nil && len(ds) > 0 {
			return ds, q.handOut(pack, ds), nil
		}
		if err := q.setAside(unreadable{pack.data, errors.Join(errCorrupt, err)}); err != nil {
			if lease := q.letGo(pack); lease != nil {
				_ = lease.NakWithDelay(fetchPause) // else it comes again when its time is over
			}
			return nil, nil, err
		}
		q.removals.remove(streamWaiting, pack.seq, func() { q.settled(pack) })
	}
}

// A frontPack is the next pack of a queue. Nobody else gets it until it is let go.
type frontPack struct {
	queue deliver.QueueID
	seq   uint64
	count int // of deliveries, as its subject says
	data  []byte
	bytes int // of data
}

func (p *frontPack) tallies() tallies { return tallies{p.queue: {p.count, p.bytes}} }

// next takes the next pack of a queue, nil when there is none that nobody has.
func (q *Queue) next(ctx context.Context, from deliver.QueueID) (*frontPack, error) {
	if q.alone(from) {
		return q.fronts.next(ctx, q, from)
	}
	return q.drains.next(ctx, q, from)
}

// alone reports whether nobody else reads a queue.
func (q *Queue) alone(id deliver.QueueID) bool { return q.opts.Exclusive || id.Key != 0 }

// letGo ends what next began, and returns the message that it came in where
// somebody else could get it.
func (q *Queue) letGo(pack *frontPack) *nats.Msg {
	if q.alone(pack.queue) {
		defer q.fronts.leave(pack.queue)
	} else {
		defer q.drains.leave(pack.queue)
	}
	return q.held.waiting.letGo(pack.seq)
}

// handOut makes the claims on the deliveries of a pack.
func (q *Queue) handOut(pack *frontPack, ds []deliver.Deferral) []*event.Claim {
	q.books.waiting.handOut(pack.tallies(), 1)
	pack.data = nil // the claims keep the pack
	return q.held.waiting.claims(len(ds), func(i int) *event.Event { return ds[i].Event }, func() {
		q.removals.remove(streamWaiting, pack.seq, func() {
			q.books.waiting.handOut(pack.tallies(), -1)
			q.settled(pack)
		})
	})
}

// settled follows when a pack is deleted. The ack only frees its place in the
// consumer.
func (q *Queue) settled(pack *frontPack) {
	q.books.waiting.remove(pack.seq, pack.tallies())
	if lease := q.letGo(pack); lease != nil {
		_ = lease.Ack()
	}
}

// Oldest implements [deliver.Backlog].
func (q *Queue) Oldest(ctx context.Context, route string) (oldest deliver.QueueID, at time.Time, err error) {
	queues := []string{subjectsOfQueue(deliver.QueueID{Route: route}), subjectsOfKeys(route)}
	if !q.serves() {
		queues = queues[:1]
	}
	for _, subjects := range queues {
		msg, err := q.firstWaiting(ctx, subjects)
		if err != nil {
			return deliver.QueueID{}, time.Time{}, fmt.Errorf("looking at the queues of %s: %w", route, err)
		}
		if msg != nil && (at.IsZero() || msg.Time.Before(at)) {
			oldest, _, _ = packOfSubject(msg.Subject)
			at = msg.Time
		}
	}
	return oldest, at, nil
}

// firstWaiting is the first of what waits under these subjects and was not
// dequeued here, nil when there is none.
func (q *Queue) firstWaiting(ctx context.Context, subjects string) (*jetstream.RawStreamMsg, error) {
	for seq := uint64(1); ; {
		msg, err := q.waiting.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subjects))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return nil, nil
		case err != nil:
			return nil, err
		case !q.held.waiting.holds(msg.Sequence):
			return msg, nil
		}
		seq = msg.Sequence + 1
	}
}
