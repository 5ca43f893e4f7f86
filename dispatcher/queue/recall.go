package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// recallBytes is how much is read, at least, before events are accepted:
	// what producers sent just before a crash is what they send again.
	recallBytes = 128 << 20
	// recallScan is how many packs are asked for at once.
	recallScan = 32
)

// errRecalled ends a scan that has reached its end.
var errRecalled = errors.New("all is recalled")

// A span is sequences of a stream, both ends included.
type span struct{ first, last uint64 }

// recallNewest reads which of the newest events were stored within the window,
// so that they are recognised across a restart. It returns what is left to
// recall behind the scenes.
func (q *Queue) recallNewest(ctx context.Context) (older span, err error) {
	info, err := q.events.Info(ctx)
	if err != nil {
		return span{}, fmt.Errorf("measuring the store: %w", err)
	}
	state := info.State
	if state.Msgs == 0 {
		return span{}, nil
	}
	first, err := q.sequenceAt(ctx, time.Now().Add(-seenWindow))
	if err != nil || first == 0 {
		return span{}, err
	}
	average := state.Bytes/state.Msgs + 1
	from := first
	if packs := recallBytes/average + 1; state.LastSeq-first >= packs {
		from = state.LastSeq - packs
		older = span{first, from - 1}
	}
	return older, q.recall(ctx, span{from, state.LastSeq})
}

// recall reads which events are in the packs of s.
func (q *Queue) recall(ctx context.Context, s span) error {
	err := q.scan(ctx, q.events, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: s.first,
	}, recallScan, func(msg *nats.Msg) error {
		if sequenceOf(msg) > s.last {
			return errRecalled
		}
		events, _ := decodeEvents(msg.Data) // what cannot be read the consumer meets too, and says so
		for _, e := range events {
			q.seen.recall(e.Key())
		}
		return nil
	})
	if errors.Is(err, errRecalled) {
		return nil
	}
	return err
}
