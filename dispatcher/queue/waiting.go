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

func (o owed) size() int { return o.Event.Size() + len(o.Route) + 16 }

// Enqueue implements [deliver.Backlog].
func (q *Queue) Enqueue(_ context.Context, ds ...deliver.Deferral) error {
	records := make([]owed, len(ds))
	for i := range ds {
		records[i] = owed{Deferral: &ds[i]}
	}
	return q.enqueues.commit(records...)
}

// A waitingPack is a pack of one route that still grows.
type waitingPack struct {
	route string
	count int
	data  []byte
}

// flushWaiting stores what each route is owed, in order and as few packs as may be.
func (q *Queue) flushWaiting(records []owed) error {
	var packs []*waitingPack
	growing := map[string]*waitingPack{}
	for _, r := range records {
		p := growing[r.Route]
		if p == nil || p.count == deliver.MaxDequeue || len(p.data)+r.size() > maxWaitingPack {
			p = &waitingPack{route: r.Route}
			packs, growing[r.Route] = append(packs, p), p
		}
		p.count++
		p.data = appendDeferral(p.data, r.Deferral)
	}
	msgs := make([]*nats.Msg, len(packs))
	for i, p := range packs {
		msgs[i] = nats.NewMsg(subjectOfPack(p.route, p.count))
		msgs[i].Data = p.data
	}
	sequences, err := q.publishAll(msgs)
	if err != nil {
		return err
	}
	for i, p := range packs {
		q.books.waiting.add(sequences[i], tallies{p.route: {p.count, len(p.data)}})
	}
	return nil
}

// Dequeue implements [deliver.Backlog]. It waits while too much is dequeued
// and not settled.
func (q *Queue) Dequeue(ctx context.Context, from deliver.QueueID) ([]deliver.Deferral, []*event.Claim, error) {
	if err := q.held.waiting.room(ctx); err != nil {
		return nil, nil, err
	}
	route := from.Route
	for {
		pack, err := q.drains.next(ctx, q, route)
		if err != nil {
			return nil, nil, fmt.Errorf("taking from the queue of %s: %w", route, err)
		}
		if pack == nil {
			return nil, nil, nil
		}
		ds, err := decodeDeferrals(pack.data)
		if err == nil && len(ds) > 0 {
			return ds, q.handOut(route, pack, ds), nil
		}
		if err := q.setAside(unreadable{pack.data, errors.Join(errCorrupt, err)}); err != nil {
			q.held.waiting.letGo(pack.seq)
			q.drains.restart(q, route)
			return nil, nil, err
		}
		q.settleWaiting(pack.seq, tallies{route: {pack.count, len(pack.data)}})
	}
}

// handOut makes the claims on the deliveries of a pack that is held.
func (q *Queue) handOut(route string, pack *frontPack, ds []deliver.Deferral) []*event.Claim {
	t := tallies{route: {pack.count, len(pack.data)}}
	q.books.waiting.handOut(t, 1)
	return q.held.waiting.claims(len(ds), func(i int) *event.Event { return ds[i].Event }, func() {
		q.removals.remove(streamWaiting, pack.seq, func() {
			q.books.waiting.handOut(t, -1)
			q.letGoWaiting(pack.seq, t)
		})
	})
}

func (q *Queue) settleWaiting(seq uint64, t tallies) {
	q.removals.remove(streamWaiting, seq, func() { q.letGoWaiting(seq, t) })
}

// letGoWaiting follows when a pack is deleted. The ack only frees its place in
// the consumer.
func (q *Queue) letGoWaiting(seq uint64, t tallies) {
	q.books.waiting.remove(seq, t)
	if lease := q.held.waiting.letGo(seq); lease != nil {
		_ = lease.Ack()
	}
}

// Oldest implements [deliver.Backlog].
func (q *Queue) Oldest(ctx context.Context, route string) (deliver.QueueID, time.Time, error) {
	msg, err := q.waiting.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(subjectsOfWaiting(route)))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return deliver.QueueID{}, time.Time{}, nil
	}
	if err != nil {
		return deliver.QueueID{}, time.Time{}, fmt.Errorf("looking at the queue of %s: %w", route, err)
	}
	return deliver.QueueID{Route: route}, msg.Time, nil
}
