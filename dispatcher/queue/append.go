package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/postrider/postrider/dispatcher/event"
)

// arrivals are the events of one call of Append, of which those marked are stored.
type arrivals struct {
	events []event.Event
	mine   []bool
	bytes  int
}

func (a arrivals) size() int { return a.bytes }

// Append returns nil once every event is on disk. An event that is there
// already, by namespace, source and id, is not stored again; one that somebody
// else is storing is waited for. It returns [event.ErrFull] when there is no
// room, and [event.ErrNamespaceFull] when there is none for the namespace of
// the events, which is one.
func (q *Queue) Append(_ context.Context, events []event.Event) error {
	probe, err := q.admit(events)
	if err != nil {
		return err
	}
	if probe {
		defer q.probing.Store(false)
	}
	var few [4]event.Key
	keys := few[:0]
	for i := range events {
		keys = append(keys, events[i].Key())
	}
	a := arrivals{events: events, mine: make([]bool, len(events))}
	f := &flight{}
	others := q.seen.board(f, keys, a.mine, time.Now())
	for i := range events {
		if a.mine[i] {
			a.bytes += events[i].Size()
		}
	}
	if a.bytes > 0 {
		err = q.appendsOf(events[0].Namespace).commit(a)
	}
	q.seen.land(f, keys, a.mine, err)
	for _, other := range others {
		<-other.landed
		err = errors.Join(err, other.err)
	}
	return err
}

// admit returns why events are refused, or nil. While the store is broken only
// one call at a time, which it names as the probe, finds out whether it still is.
func (q *Queue) admit(events []event.Event) (probe bool, err error) {
	if q.full.Load() != nil {
		return false, event.ErrFull
	}
	if crowded := q.crowded.Load(); crowded != nil && len(events) > 0 && (*crowded)[events[0].Namespace] {
		return false, event.ErrNamespaceFull
	}
	why := q.broken.Load()
	if why == nil {
		return false, nil
	}
	if context.Cause(q.works) != nil || !q.probing.CompareAndSwap(false, true) {
		return false, fmt.Errorf("the store cannot be written: %s", *why)
	}
	return true, nil
}

// appendsOf is what stores the events of a namespace.
func (q *Queue) appendsOf(namespace string) *committer[arrivals] {
	if q.opts.Ordered != nil && q.opts.Ordered(namespace) {
		return q.ordered
	}
	return q.appends
}

// flushEvents stores the events of all calls as one pack.
func (q *Queue) flushEvents(subject string, calls []arrivals) error {
	bytes := 0
	for _, a := range calls {
		bytes += a.bytes
	}
	pack := make([]byte, 0, bytes)
	for _, a := range calls {
		for i := range a.events {
			if a.mine[i] {
				pack = a.events[i].Append(pack)
			}
		}
	}
	msg := nats.NewMsg(subject)
	msg.Data = pack
	if q.opts.Exclusive {
		q.fresh.put(msg)
	}
	_, err := q.publishAll([]*nats.Msg{msg})
	if errors.Is(err, event.ErrFull) && q.makeRoom() {
		_, err = q.publishAll([]*nats.Msg{msg})
	}
	if err != nil {
		q.fresh.take(msg) // should it be stored nevertheless, it is read from there
	}
	return err
}
