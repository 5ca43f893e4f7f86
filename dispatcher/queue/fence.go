package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// fences are the sequences of the messages that an owner has put into the
// streams, by the name of the stream. It stores nothing ordered there unless its
// own is the last.
type fences map[string]uint64

// errBehind says that whoever has answered for a stream does not know all of it.
var errBehind = errors.New("the server that answered lags behind its stream")

// setFences makes the server refuse from now on what an earlier owner still
// tries to store, however late it comes.
func (q *Queue) setFences(ctx context.Context) error {
	f := fences{}
	for _, s := range []jetstream.Stream{q.waiting, q.parked, q.deferred} {
		if !q.Leads() {
			return errors.New("the lease on what is ordered has not been renewed in time")
		}
		stream := s.CachedInfo().Config.Name
		seq, err := q.setFence(ctx, s, stream)
		if err != nil {
			return fmt.Errorf("setting a fence in %s: %w", stream, err)
		}
		f[stream] = seq
	}
	q.written.Store(f[streamWaiting])
	q.fences.Store(&f)
	return nil
}

func (q *Queue) setFence(ctx context.Context, s jetstream.Stream, stream string) (uint64, error) {
	old, err := s.GetLastMsgForSubject(ctx, subjectFence+stream)
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, err
	}
	ack, err := q.js.Publish(ctx, subjectFence+stream, nil)
	if err != nil {
		return 0, err
	}
	if old != nil {
		err = q.deleteMessage(stream, old.Sequence)
	}
	return ack.Sequence, err
}

// sees returns nil unless what was read of a stream up to last lacks the fence there:
// the server that answered may lag, and what is older than the fence is not known then.
func (q *Queue) sees(stream string, last uint64) error {
	if last < q.fenceIn(stream) {
		return errBehind
	}
	return nil
}

// fenceIn is the sequence of the own fence in a stream, 0 when there is none.
func (q *Queue) fenceIn(stream string) uint64 {
	if f := q.fences.Load(); f != nil {
		return (*f)[stream]
	}
	return 0
}

// fence has the server refuse msg, and all of its batch, when another dispatcher
// has become the owner of what is ordered.
func (q *Queue) fence(msg *nats.Msg, stream string) {
	if seq := q.fenceIn(stream); seq > 0 {
		msg.Header.Set("Nats-Expected-Last-Subject-Sequence", strconv.FormatUint(seq, 10))
		msg.Header.Set("Nats-Expected-Last-Subject-Sequence-Subject", subjectFence+stream)
	}
}
