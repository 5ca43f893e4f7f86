package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/postrider/postrider/dispatcher/event"
)

const (
	// publishTimeout ends an append whose answer does not come.
	publishTimeout = 10 * time.Second
	// remoteTimeout ends one try of it when the servers are elsewhere: while
	// they choose a new leader, answers get lost.
	remoteTimeout = 2 * time.Second
	// retryPause lies between two tries.
	retryPause = 100 * time.Millisecond
	// flushTimeout bounds the wait for what was sent last.
	flushTimeout = 2 * time.Second

	// A batch is synced once, so it is bounded by what JetStream takes as one,
	// and in bytes by what it may hold in memory.
	maxBatch, maxBatchBytes = 1000, 8 << 20
)

// publishAll returns once JetStream has acknowledged every message, with the
// sequences that they got, which are 0 for those that an earlier try of the
// same call has stored. With an error it returns those of the first messages that
// are known to be stored. After one that is neither [event.ErrFull] nor about the
// messages the queue is unhealthy until a later append succeeds.
func (q *Queue) publishAll(msgs []*nats.Msg) ([]uint64, error) {
	for _, msg := range msgs { // rather than when some of them are stored
		if len(msg.Data) > q.maxMessage {
			return nil, errTooLarge
		}
	}
	if q.remote() {
		identify(msgs)
	}
	sequences := make([]uint64, 0, len(msgs))
	for len(msgs) > 0 {
		n := batch(msgs)
		some, err := q.publish(msgs[:n])
		if err != nil {
			if !errors.Is(err, event.ErrFull) && !refused(err) {
				text := err.Error()
				q.broken.Store(&text)
			}
			return sequences, fmt.Errorf("storing: %w", err)
		}
		sequences, msgs = append(sequences, some...), msgs[n:]
	}
	if q.broken.Load() != nil {
		q.broken.Store(nil)
	}
	return sequences, nil
}

// remote reports whether the servers are elsewhere.
func (q *Queue) remote() bool { return q.opts.Alive == nil }

// identify gives each message an id by which JetStream knows it when it is sent
// again. A parked pack needs none, for only its schedule makes it count, and a
// schedule replaces the one of its subject.
func identify(msgs []*nats.Msg) {
	for _, msg := range msgs {
		if msg.Subject != subjectParked && !strings.HasPrefix(msg.Subject, subjectAt) {
			msg.Header.Set(jetstream.MsgIDHeader, nuid.Next())
		}
	}
}

// batch is how many of msgs go together.
func batch(msgs []*nats.Msg) int {
	bytes := 0
	for i, msg := range msgs {
		bytes += len(msg.Data)
		if i > 0 && (i == maxBatch || bytes > maxBatchBytes) {
			return i
		}
	}
	return len(msgs)
}

// publish stores msgs, all or none. It tries again while servers elsewhere are
// between two leaders.
func (q *Queue) publish(msgs []*nats.Msg) ([]uint64, error) {
	for _, msg := range msgs {
		q.pace.wait(q.works, len(msg.Data))
	}
	deadline := time.Now().Add(publishTimeout)
	patience := publishTimeout
	if q.remote() {
		patience = remoteTimeout
	}
	for again := false; ; again = true {
		sequences, err := q.tryPublish(msgs, patience)
		switch {
		case err == nil:
			return sequences, nil
		case again && hasCode(err, codeBatchDuplicate):
			return make([]uint64, len(msgs)), nil // the try before was heard
		case context.Cause(q.works) != nil:
			return nil, context.Cause(q.works)
		case hasCode(err, codeWrongLast): // see fences
			q.disown(errDisowned)
			return nil, errDisowned
		case !q.remote() || !Passing(err) || time.Until(deadline) < retryPause:
			return nil, classify(err)
		}
		wait(q.works, retryPause)
	}
}

func (q *Queue) tryPublish(msgs []*nats.Msg, patience time.Duration) ([]uint64, error) {
	ctx, cancel := context.WithTimeout(q.works, patience)
	defer cancel()
	if len(msgs) == 1 {
		ack, err := q.js.PublishMsg(ctx, msgs[0], jetstream.WithRetryAttempts(0))
		if err != nil {
			return nil, err
		}
		return []uint64{ack.Sequence}, nil
	}
	return q.tryBatch(ctx, msgs)
}

// tryBatch publishes msgs as one atomic batch (NATS ADR-50), which costs one
// sync. The answer comes to the last message.
func (q *Queue) tryBatch(ctx context.Context, msgs []*nats.Msg) ([]uint64, error) {
	id := nuid.Next()
	for i, msg := range msgs {
		msg.Header.Set("Nats-Batch-Id", id)
		msg.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
	}
	last := msgs[len(msgs)-1]
	last.Header.Set("Nats-Batch-Commit", "1")
	for _, msg := range msgs[:len(msgs)-1] {
		if err := q.nc.PublishMsg(msg); err != nil {
			return nil, err
		}
	}
	var ack struct {
		Sequence uint64 `json:"seq"`
		Count    int    `json:"count"`
	}
	switch err := ask(ctx, q.nc, last, &ack); {
	case err != nil:
		return nil, err
	case ack.Count != len(msgs):
		return nil, fmt.Errorf("%d of %d messages were stored", ack.Count, len(msgs))
	}
	sequences := make([]uint64, len(msgs))
	for i := range sequences {
		sequences[i] = ack.Sequence - uint64(len(msgs)-1-i)
	}
	return sequences, nil
}

// Codes of JetStream's errors, of which nats.go names only some.
const (
	codeUnavailable           = 10008
	codeInsufficientResources = 10023
	codeStorageExceeded       = 10047
	codeWrongLast             = 10071
	codeWrongLastUnderWay     = 10164 // another append that expects it is
	codeBatchIncomplete       = 10176
	codeBatchDuplicate        = 10201

	textMaxBytes = "maximum bytes exceeded" // its code, 10077, is shared by many causes
)

func hasCode(err error, codes ...jetstream.ErrorCode) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && slices.Contains(codes, api.ErrorCode)
}

// Passing reports whether err is of the kind that a change of leader brings.
func Passing(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) ||
		errors.Is(err, nats.ErrDisconnected) || errors.Is(err, nats.ErrReconnectBufExceeded) ||
		errors.Is(err, errBehind) || hasCode(err, codeUnavailable, codeBatchIncomplete, codeWrongLastUnderWay)
}

// classify tells a store without room from other failures.
func classify(err error) error {
	api, ok := errors.AsType[*jetstream.APIError](err)
	if ok && (hasCode(api, codeInsufficientResources, codeStorageExceeded) || api.Description == textMaxBytes) {
		return fmt.Errorf("%w: %s", event.ErrFull, api.Description)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s", publishTimeout)
	}
	return err
}
