package queue

import (
	"context"
	"errors"
	"time"

	"github.com/postrider/postrider/dispatcher/event"
)

// apart is how far the time at which an event was accepted and the time of the
// message that holds it may differ: by the wait for the append, and by the
// clocks of two machines. Only what is within it is read to be compared exactly.
const apart = time.Minute

// errPast ends a reading that has passed the range it looks for.
var errPast = errors.New("past the range")

func (q *Queue) pastEvents() shelf { return shelf{q.side, streamEvents, subjectAnyEvents} }

// Find returns the event with that key from the message seq (see
// [event.Stored]), or [event.ErrNotFound] when it is not there any more.
func (q *Queue) Find(ctx context.Context, seq uint64, key event.Key) (*event.Event, error) {
	it, ok, err := q.pastEvents().get(ctx, seq)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, event.ErrNotFound
	}
	events, err := decodeEvents(it.data)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		if e.Key() == key {
			return e, nil
		}
	}
	return nil, event.ErrNotFound
}

// History visits the events of a namespace that were accepted from the one time
// on and before the other, in the order of the store, as far as they are still
// in it when it is called and behind the message after (0 = all). They have no
// claim: nothing is to be settled. It goes on until visit returns an error,
// which it returns, and reads ahead a few megabytes. Seen is the newest message
// that it is done with, whether there was anything to visit in it or not, 0 when
// there is none: from there to go on when ctx has ended it.
func (q *Queue) History(ctx context.Context, namespace string, from, to time.Time, after uint64, visit func(event.Stored) error) (seen uint64, err error) {
	shelf := q.pastEvents()
	end, err := shelf.end(ctx)
	if err != nil || after >= end || !from.Before(to) {
		return 0, err
	}
	start, err := since(ctx, shelf, from)
	if err != nil || start == 0 {
		return 0, err
	}
	err = shelf.each(ctx, request{Seq: max(start, after+1)}, end, func(it item) error {
		if it.at.After(to.Add(apart)) {
			return errPast
		}
		events, err := decodeEvents(it.data)
		if err != nil { // the consumer meets it too, and sets it aside
			q.opts.Log.Error("stored events are left out", "seq", it.seq, "err", err)
		}
		for _, e := range events {
			if e.Namespace != namespace || e.Accepted.Before(from) || !e.Accepted.Before(to) {
				continue
			}
			if err := visit(event.Stored{Event: e, Seq: it.seq}); err != nil {
				return err
			}
		}
		seen = it.seq
		return ctx.Err()
	})
	if errors.Is(err, errPast) {
		return seen, nil
	}
	return seen, err
}

// since returns the sequence of the first message that may hold what was
// accepted from a time on, 0 when there is none.
func since(ctx context.Context, shelf shelf, from time.Time) (uint64, error) {
	earliest := from.Add(-apart).UTC()
	if earliest.Before(time.Unix(0, 0)) { // JetStream counts from there
		return 1, nil
	}
	if earliest.After(time.Now()) { // and not for ever
		return 0, nil
	}
	items, err := shelf.read(ctx, request{Since: &earliest, Messages: 1})
	if err != nil || len(items) == 0 {
		return 0, err
	}
	return items[0].seq, nil
}
