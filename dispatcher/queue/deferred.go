package queue

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
)

// A pack of deferrals is parked in a stream of its own, and a schedule refers to
// it by its sequence. When many schedules come due at once, JetStream loads all
// of them into memory: they have to be small.

// Defer implements [deliver.Backlog].
func (q *Queue) Defer(_ context.Context, ds ...deliver.Deferral) error {
	records := make([]record, len(ds))
	now := time.Now()
	for i, d := range ds {
		records[i] = record{body: appendDeferral(nil, d), due: slot(now, d.Due)}
	}
	return q.deferrals.commit(records...)
}

// slot rounds due up, so that deliveries that come due together share one
// stored message and one timer: to the largest power of two times 100 ms that
// is no more than a 25th of the delay. Only few widths, so that slots coincide.
func slot(now, due time.Time) time.Time {
	width := 100 * time.Millisecond
	for 2*width <= min(due.Sub(now)/25, time.Minute) {
		width *= 2
	}
	return due.Truncate(width).Add(width)
}

// flushDeferrals parks one pack per slot and maxPack, and then schedules each.
// A crash in between leaves packs without a schedule; what is in them was not
// acknowledged as deferred, so sweep may remove them.
func (q *Queue) flushDeferrals(records []record) error {
	var packs []*nats.Msg
	var dues []time.Time
	open := map[time.Time]*nats.Msg{} // the pack of a slot that still grows
	for _, r := range records {
		pack := open[r.due]
		if pack == nil {
			pack = nats.NewMsg(subjectParked)
			packs, dues, open[r.due] = append(packs, pack), append(dues, r.due), pack
		}
		pack.Data = append(pack.Data, r.body...)
		if len(pack.Data) >= maxPack {
			delete(open, r.due)
		}
	}
	parked, err := q.publishAll(packs)
	if err != nil {
		return err
	}
	schedules := make([]*nats.Msg, len(parked))
	for i, seq := range parked {
		schedules[i] = schedule(dues[i], seq)
	}
	_, err = q.publishAll(schedules)
	return err
}

func schedule(due time.Time, parked uint64) *nats.Msg {
	msg := nats.NewMsg(subjectAt + nuid.Next())
	// jetstream.WithScheduleAt would cut the time to whole seconds.
	msg.Header.Set("Nats-Schedule", "@at "+due.UTC().Format(time.RFC3339Nano))
	msg.Header.Set("Nats-Schedule-Target", subjectDue)
	msg.Data = binary.AppendUvarint(nil, parked)
	return msg
}

// Due hands every deferral that has come due to handle, until ctx is done.
func (q *Queue) Due(ctx context.Context, gate func(context.Context) error, handle func(deliver.Deferral, *event.Claim)) {
	q.consume(ctx, q.due, gate, func(msg jetstream.Msg) error {
		seq, n := binary.Uvarint(msg.Data())
		if n <= 0 {
			return unreadable{msg.Data(), errCorrupt}
		}
		pack, err := q.parked.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return msg.Ack() // all of it was settled before a crash
		}
		if err != nil {
			return fmt.Errorf("reading a parked pack: %w", err)
		}
		ds, err := decodeDeferrals(pack.Data)
		if err != nil {
			return unreadable{pack.Data, err}
		}
		claim := q.open.claim(msg, len(pack.Data), func() { q.unpark(seq, msg) })
		defer claim.Done()
		claim.Add(len(ds))
		for _, d := range ds {
			handle(d, claim)
		}
		return nil
	})
}

// unpark removes a settled pack, and then what told that it is due. If either
// fails the pack comes again, which receivers recognise by its ids.
func (q *Queue) unpark(seq uint64, due jetstream.Msg) {
	ctx, cancel := context.WithTimeout(context.Background(), publishTimeout)
	defer cancel()
	if err := q.parked.DeleteMsg(ctx, seq); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		q.opts.Log.Warn("a settled pack cannot be removed and will come again", "err", err)
		return
	}
	acknowledge(due)
}

// Owed counts what the store keeps for each route: deferred deliveries and dead
// letters. Call it before anything is deferred.
func (q *Queue) Owed(ctx context.Context) (deferred, dead map[string]int, err error) {
	scheduled := map[uint64]bool{}
	err = each(ctx, q.deferred, subjectDeferred, func(msg *jetstream.RawStreamMsg) error {
		seq, _ := binary.Uvarint(msg.Data)
		scheduled[seq] = true
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("counting deferred deliveries: %w", err)
	}
	deferred = map[string]int{}
	err = each(ctx, q.parked, subjectParked, func(msg *jetstream.RawStreamMsg) error {
		if !scheduled[msg.Sequence] {
			return q.sweep(ctx, msg.Sequence)
		}
		ds, _ := decodeDeferrals(msg.Data) // what cannot be read is set aside when it comes due
		for _, d := range ds {
			deferred[d.Route]++
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("counting deferred deliveries: %w", err)
	}

	dead = map[string]int{}
	info, err := q.dead.Info(ctx, jetstream.WithSubjectFilter(subjectDead+">"))
	if err != nil {
		return nil, nil, fmt.Errorf("counting dead letters: %w", err)
	}
	for subject, n := range info.State.Subjects {
		dead[routeOfDead(subject)] = int(n)
	}
	return deferred, dead, nil
}

// sweep removes a parked pack without a schedule, which a crash has left.
// Another dispatcher may just be about to schedule it, if there is one.
func (q *Queue) sweep(ctx context.Context, seq uint64) error {
	if !q.opts.Exclusive {
		return nil
	}
	return q.parked.DeleteMsg(ctx, seq)
}

// each visits what s holds under the subject, one message after the other: a
// work queue has no second consumer.
func each(ctx context.Context, s jetstream.Stream, subject string, visit func(*jetstream.RawStreamMsg) error) error {
	info, err := s.Info(ctx)
	if err != nil {
		return err
	}
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		msg, err := s.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := visit(msg); err != nil {
			return err
		}
		seq = msg.Sequence
	}
	return nil
}
