package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// orphanAge is how old a parked pack without a schedule is when it counts as
	// left behind, if another dispatcher may just be about to schedule it. That
	// takes a few publishes; who needs half as long parks anew, see tooLate.
	orphanAge = 10 * publishTimeout
	// sweepDelay lets what is more urgent after a start go first.
	sweepDelay = 5 * time.Second
	// orphanEvery is how often they are looked for in a store that is shared: any
	// of the dispatchers may die at any time, and a pack that is sent again
	// because its answer got lost leaves one too. Until then they are counted as
	// owed.
	orphanEvery = 2 * time.Minute
)

// sweepTail removes what the last dispatcher was parking when it died, so that
// nothing of that is counted: packs without a schedule at the end of the stream.
// It looks at a few thousand sequences at most; sweepOrphans finds the rest.
func (q *Queue) sweepTail(ctx context.Context) error {
	if !q.opts.Exclusive {
		return nil
	}
	info, err := q.parked.Info(ctx)
	if err != nil {
		return fmt.Errorf("measuring the store: %w", err)
	}
	const most = 4096
	last := info.State.LastSeq
	for seq := last; seq >= info.State.FirstSeq && last-seq < most && info.State.Msgs > 0; seq-- {
		switch _, err := q.parked.GetMsg(ctx, seq); {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			continue // settled
		case err != nil:
			return fmt.Errorf("reading a parked pack: %w", err)
		}
		if orphan, err := q.sweepOrphan(ctx, seq); err != nil || !orphan {
			return err
		}
	}
	return nil
}

// sweepOld is for what was parked before the start.
func (q *Queue) sweepOld(ctx context.Context) error { return q.sweepOrphans(ctx, q.before) }

// sweepOrphans removes the parked packs, no later than last, that have no
// schedule: a crash has left them. What is in them was not acknowledged as
// deferred, so it comes again from where it came.
func (q *Queue) sweepOrphans(ctx context.Context, last uint64) error {
	suspects := map[uint64]bool{}
	cfg := jetstream.ConsumerConfig{HeadersOnly: true, FilterSubject: subjectParked}
	err := q.scan(ctx, q.parked, cfg, headerScan, func(msg *nats.Msg) error {
		if meta, err := msg.Metadata(); err == nil && meta.Sequence.Stream <= last && q.isLeft(msg, meta) {
			suspects[meta.Sequence.Stream] = true
		}
		return nil
	})
	if err != nil || len(suspects) == 0 {
		return err
	}
	info, err := q.deferred.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return fmt.Errorf("looking for parked packs without a schedule: %w", err)
	}
	if err := q.sees(streamDeferred, info.State.LastSeq); err != nil {
		return fmt.Errorf("looking for parked packs without a schedule: %w", err)
	}
	for subject := range info.State.Subjects {
		if seq, ok := parkedOf(subject); ok {
			delete(suspects, seq)
		}
	}
	swept := 0
	for seq := range suspects {
		was, err := q.sweepOrphan(ctx, seq)
		if err != nil {
			return err
		}
		if was {
			swept++
		}
	}
	if swept > 0 {
		q.opts.Log.Info("parked packs without a schedule are removed; a crash had left them", "packs", swept)
	}
	return nil
}

// isLeft reports whether nobody can be about to schedule a pack: he has died long
// ago, or is behind a fence.
func (q *Queue) isLeft(msg *nats.Msg, meta *nats.MsgMetadata) bool {
	fenced := meta.Sequence.Stream < q.fenceIn(streamParked) && strings.Contains(msg.Header.Get(headerOwed), "#")
	return q.opts.Exclusive || fenced || time.Since(meta.Timestamp) >= q.opts.orphanAge
}

// tooLate returns an error when packs that were parked since begun may have
// been taken for left behind before they had a schedule: this process may have
// been stopped in between, for longer than its clock shows.
func (q *Queue) tooLate(begun time.Time) error {
	now := time.Now()
	if q.opts.Exclusive || max(now.Sub(begun), now.Round(0).Sub(begun.Round(0))) < q.opts.orphanAge/2 {
		return nil
	}
	return errors.New("scheduling what is parked took too long, for another dispatcher may have removed it")
}

// sweepOrphan looks once more, for a pack may have come due while the schedules
// were listed, and removes it. It reports whether it was one.
func (q *Queue) sweepOrphan(ctx context.Context, seq uint64) (bool, error) {
	number := strconv.FormatUint(seq, 10)
	for _, subject := range []string{subjectAt + number, subjectDue + number, subjectDueOrdered + number} {
		switch _, err := q.deferred.GetLastMsgForSubject(ctx, subject); {
		case err == nil:
			return false, nil
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return false, fmt.Errorf("looking for a schedule: %w", err)
		}
	}
	pack, err := q.parked.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading a parked pack: %w", err)
	}
	if err := q.deleteMessage(streamParked, seq); err != nil {
		return false, fmt.Errorf("removing a parked pack without a schedule: %w", err)
	}
	q.books.parked.remove(seq, parseTallies(pack.Header.Get(headerOwed)))
	return true, nil
}
