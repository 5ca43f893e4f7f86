package queue

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	streamEvents   = "POSTRIDER_EVENTS"
	streamWaiting  = "POSTRIDER_WAITING"
	streamParked   = "POSTRIDER_PARKED"
	streamDeferred = "POSTRIDER_DEFERRED"
	streamDead     = "POSTRIDER_DEAD"

	subjectEvents  = "postrider.events"
	subjectWaiting = "postrider.waiting." // and the route and how many deliveries the pack holds
	subjectParked  = "postrider.parked"
	subjectAt      = "postrider.deferred.at."  // and the sequence of the parked pack
	subjectDue     = "postrider.deferred.due." // and the sequence of the parked pack
	// subjectUnreadable keeps what cannot be decoded, for a person to look at.
	subjectUnreadable = "postrider.unreadable"

	consumerFanout = "fanout"
	consumerDue    = "due"

	// ackWait is after what silence JetStream takes a consumer for dead and
	// gives its messages to another. Those that are still open are renewed well
	// before that.
	ackWait = time.Minute
	// maxUnsettled bounds the packs under way. The gate of the consumer
	// bounds the deliveries under way, and comes first.
	maxUnsettled = 1 << 15

	// dedupWindow is how long JetStream knows the ids of what was published, far
	// longer than a publish is tried; minDedupWindow is the least that it allows.
	dedupWindow, minDedupWindow = 2 * time.Minute, 100 * time.Millisecond
)

func (q *Queue) ensureStreams(ctx context.Context) (err error) {
	// Settled events stay for a while behind the consumer (see trim): the
	// window in which an event that comes again is recognised is read from
	// there after a restart, and events are sent again from there. DiscardNew
	// is the last line of defence: what is not settled is never thrown away.
	q.events, err = q.stream(ctx, jetstream.StreamConfig{
		Name: streamEvents, Description: "events that were accepted", Subjects: []string{subjectEvents},
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxBytes: q.opts.MaxBytes,
	})
	if err != nil {
		return err
	}
	// What is owed must not be discarded, and a stream with schedules cannot
	// refuse what is new, so these three have no limit: ingest stops in time
	// instead (see measure). A settled pack is deleted by its sequence.
	q.waiting, err = q.stream(ctx, jetstream.StreamConfig{
		Name: streamWaiting, Description: "deliveries that wait for their turn, a queue per route",
		Subjects: []string{subjectWaiting + ">"}, AllowAtomicPublish: true,
	})
	if err != nil {
		return err
	}
	q.parked, err = q.stream(ctx, jetstream.StreamConfig{
		Name: streamParked, Description: "deliveries that wait for their time",
		Subjects: []string{subjectParked}, AllowAtomicPublish: true,
	})
	if err != nil {
		return err
	}
	q.deferred, err = q.stream(ctx, jetstream.StreamConfig{
		Name: streamDeferred, Description: "the times of what is parked",
		Subjects:  []string{subjectAt + "*", subjectDue + "*"},
		Retention: jetstream.WorkQueuePolicy, AllowMsgSchedules: true, AllowAtomicPublish: true,
	})
	if err != nil {
		return err
	}
	q.dead, err = q.stream(ctx, deadConfig(q.opts))
	if err != nil {
		return err
	}
	if err = q.consumer(ctx, q.events, consumerFanout, subjectEvents); err != nil {
		return err
	}
	return q.consumer(ctx, q.deferred, consumerDue, subjectDue+"*")
}

// stream opens a stream, creating it when it is not there.
func (q *Queue) stream(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	cfg.Storage, cfg.Replicas, cfg.Duplicates = jetstream.FileStorage, max(q.opts.Replicas, 1), dedupWindow
	// Any replica answers a direct read, also one that lags behind: what it has
	// not seen yet would count as settled.
	cfg.AllowDirect = cfg.Replicas == 1
	if !q.remote() { // here nothing is sent again, and at a start the window would be read back
		cfg.Duplicates = minDedupWindow
	}
	s, err := q.js.CreateOrUpdateStream(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("opening the stream %s: %w", cfg.Name, err)
	}
	return s, nil
}

// consumer opens a durable consumer. With an exclusive queue it begins with
// what was delivered but not acknowledged, instead of waiting for that to time out.
func (q *Queue) consumer(ctx context.Context, s jetstream.Stream, name, subject string) error {
	c, err := s.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: name, FilterSubject: subject,
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: q.opts.ackWait, MaxAckPending: maxUnsettled,
	})
	if err != nil {
		return fmt.Errorf("opening the consumer %s: %w", name, err)
	}
	if q.opts.Exclusive {
		if err := q.takeBack(c.CachedInfo()); err != nil {
			return fmt.Errorf("taking back what the consumer %s had given out: %w", name, err)
		}
	}
	return nil
}

// takeBack has what was handed out in another life come again, and nothing
// that was settled. Resetting the consumer would bring all of that again which
// came after the oldest that is not settled. The server takes each message for
// refused: it only looks whether it is under way, and at the place in the
// consumer whether that can be.
func (q *Queue) takeBack(info *jetstream.ConsumerInfo) error {
	if info.NumAckPending == 0 {
		return nil
	}
	prefix := fmt.Sprintf("$JS.ACK.%s.%s.1.", info.Stream, info.Name)
	suffix := fmt.Sprintf(".%d.0.0", info.Delivered.Consumer)
	for seq := info.AckFloor.Stream + 1; seq <= info.Delivered.Stream; seq++ {
		if err := q.nc.Publish(prefix+strconv.FormatUint(seq, 10)+suffix, []byte("-NAK")); err != nil {
			return err
		}
	}
	return nil
}
