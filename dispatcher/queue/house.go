package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/postrider/postrider/dispatcher/event"
)

// tick is how often the queue looks after itself.
const tick = time.Second

// keepHouse measures the store, trims what is settled and renews what is open.
func (q *Queue) keepHouse(ctx context.Context) {
	defer close(q.idle)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var marks []mark
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			err := q.measure(ctx)
			if err == nil {
				marks, err = q.trim(ctx, marks, now)
			}
			if err = errors.Join(err, q.open.renew(now)); err != nil && ctx.Err() == nil {
				q.opts.Log.Warn("looking after the store failed", "err", err)
			}
		}
	}
}

// measure decides whether events are accepted: not in the last tenth of the
// room, and not while the disk is nearly full, so that what was accepted can
// still be deferred and buried.
func (q *Queue) measure(ctx context.Context) error {
	used, err := q.used(ctx)
	if err != nil {
		return err
	}
	why := ""
	if limit := q.opts.MaxBytes - q.opts.MaxBytes/10; used >= limit {
		why = fmt.Sprintf("the store holds %d of %d bytes", used, q.opts.MaxBytes)
	} else if q.opts.Free != nil {
		free, err := q.opts.Free()
		if err != nil {
			return err
		}
		if free < q.opts.MinFree {
			why = fmt.Sprintf("the disk has %d bytes left, %d are kept free", free, q.opts.MinFree)
		}
	}
	if why == "" {
		q.full.Store(nil)
		return nil
	}
	if old := q.full.Swap(&why); old == nil {
		q.opts.Log.Warn("events are refused until there is room", "reason", why)
	}
	return nil
}

func (q *Queue) used(ctx context.Context) (int64, error) {
	var sum uint64
	for _, s := range []jetstream.Stream{q.events, q.parked, q.deferred, q.dead} {
		st, err := s.Info(ctx)
		if err != nil {
			return 0, fmt.Errorf("measuring the store: %w", err)
		}
		sum += st.State.Bytes
	}
	return int64(sum), nil
}

// A mark says which message was the last one at a time.
type mark struct {
	at  time.Time
	seq uint64
}

// trim removes settled events: those older than the window in which repeated
// events are recognised or, when more than half the room is taken, all of them.
// marks are the ends of the stream at earlier ticks, oldest first.
func (q *Queue) trim(ctx context.Context, marks []mark, now time.Time) ([]mark, error) {
	consumer, err := q.fanout.Info(ctx)
	if err != nil {
		return marks, fmt.Errorf("measuring the store: %w", err)
	}
	state := q.events.CachedInfo().State // of the measure just before
	marks = append(marks, mark{now, state.LastSeq})

	settled := consumer.AckFloor.Stream
	upTo := uint64(0)
	for len(marks) > 0 && now.Sub(marks[0].at) > seenWindow {
		upTo, marks = marks[0].seq, marks[1:]
	}
	if state.Bytes > uint64(q.opts.MaxBytes/2) {
		upTo = settled
	}
	upTo = min(upTo, settled)
	if upTo < state.FirstSeq || state.Msgs == 0 {
		return marks, nil
	}
	if err := q.events.Purge(ctx, jetstream.WithPurgeSequence(upTo+1)); err != nil {
		return marks, fmt.Errorf("trimming the store: %w", err)
	}
	return marks, nil
}

// recall reads which events were stored within the window, so that they are
// recognised across a restart.
func (q *Queue) recall(ctx context.Context) error {
	since := time.Now().Add(-seenWindow)
	return scan(ctx, q.events, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
	}, func(msg jetstream.Msg) {
		events, err := decodeEvents(msg.Data())
		if err != nil {
			return // the consumer will meet it too, and say so
		}
		for _, e := range events {
			q.seen.add(e.Key(), time.Now())
		}
	})
}

// scan hands what s holds at this moment to visit.
func scan(ctx context.Context, s jetstream.Stream, cfg jetstream.OrderedConsumerConfig, visit func(jetstream.Msg)) error {
	c, err := s.OrderedConsumer(ctx, cfg)
	if err != nil {
		return fmt.Errorf("reading the store: %w", err)
	}
	info, err := c.Info(ctx)
	if err != nil {
		return fmt.Errorf("reading the store: %w", err)
	}
	left := info.NumPending
	if left == 0 {
		return nil
	}
	msgs, err := c.Messages()
	if err != nil {
		return fmt.Errorf("reading the store: %w", err)
	}
	defer msgs.Stop()
	for ; left > 0; left-- {
		msg, err := msgs.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("reading the store: %w", err)
		}
		visit(msg)
	}
	return nil
}

// Healthy returns nil unless the last append failed for another reason than
// want of room. An embedded server does not recover from a failed write by
// itself: it wants room on its disk, and a restart.
func (q *Queue) Healthy() error {
	if text := q.broken.Load(); text != nil {
		return errors.New("the store cannot be written (" + *text + "); make room on its disk and restart the dispatcher")
	}
	if q.nc.IsClosed() {
		return errors.New("the connection to the store is closed")
	}
	return nil
}

// Full returns nil while events are accepted, and why they are not otherwise.
func (q *Queue) Full() error {
	if why := q.full.Load(); why != nil {
		return fmt.Errorf("%w: %s", event.ErrFull, *why)
	}
	return nil
}
