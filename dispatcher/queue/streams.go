package queue

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	streamEvents   = "POSTRIDER_EVENTS"
	streamWaiting  = "POSTRIDER_WAITING"
	streamParked   = "POSTRIDER_PARKED"
	streamDeferred = "POSTRIDER_DEFERRED"
	streamDead     = "POSTRIDER_DEAD"
	streamOwner    = "POSTRIDER_OWNER" // only where dispatchers share the store

	subjectEvents = "postrider.events"
	// subjectOrderedEvents is for the events of namespaces that order any, where
	// dispatchers share the store.
	subjectOrderedEvents = "postrider.ordered-events"
	subjectAnyEvents     = "postrider.*"        // of the stream of events
	subjectWaiting       = "postrider.waiting." // and the route and how many deliveries the pack holds
	subjectOrdered       = "postrider.ordered." // and the route and the key of the delivery
	subjectParked        = "postrider.parked"
	subjectAt            = "postrider.deferred.at."  // and the sequence of the parked pack
	subjectDue           = "postrider.deferred.due." // and the sequence of the parked pack
	// subjectDueOrdered is for what has keys, where dispatchers share the store.
	subjectDueOrdered = "postrider.deferred.ordered." // and the sequence of the parked pack
	subjectFence      = "postrider.fence."            // and the stream that it is in, see fences
	subjectDeed       = "postrider.owner"             // see deed
	// subjectUnreadable keeps what cannot be decoded, for a person to look at.
	subjectUnreadable = "postrider.unreadable"

	consumerFanout = "fanout"
	consumerDue    = "due"
	// consumerDueOrdered is asked by the owner of what is ordered alone.
	consumerDueOrdered = "due-ordered"

	// ackWait is after what silence JetStream takes a consumer for dead and
	// gives its messages to another. Those that are still open are renewed well
	// before that.
	ackWait = time.Minute
	// longAckWait is for who has the store for himself, who takes back what was
	// under way when that can be lost. Were some of it taken for lost before, it
	// would come before what is older.
	longAckWait = 30 * 24 * time.Hour
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
		Name: streamEvents, Description: "events that were accepted", Subjects: []string{subjectEvents, subjectOrderedEvents},
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxBytes: q.opts.MaxBytes, AllowDirect: true, // see shelf
	})
	if err != nil {
		return err
	}
	// What is owed must not be discarded, and a stream with schedules cannot
	// refuse what is new, so these three have no limit: ingest stops in time
	// instead (see measure). A settled pack is deleted by its sequence.
	q.waiting, err = q.stream(ctx, jetstream.StreamConfig{
		Name: streamWaiting, Description: "deliveries that wait for their turn, a queue per route and key",
		Subjects: []string{subjectWaiting + ">", subjectOrdered + ">", subjectFence + streamWaiting}, AllowAtomicPublish: true,
	})
	if err != nil {
		return err
	}
	q.parked, err = q.stream(ctx, jetstream.StreamConfig{
		Name: streamParked, Description: "deliveries that wait for their time",
		Subjects: []string{subjectParked, subjectFence + streamParked}, AllowAtomicPublish: true,
	})
	if err != nil {
		return err
	}
	q.deferred, err = q.stream(ctx, jetstream.StreamConfig{
		Name: streamDeferred, Description: "the times of what is parked",
		Subjects:  []string{subjectAt + "*", subjectDue + "*", subjectDueOrdered + "*", subjectFence + streamDeferred},
		Retention: jetstream.WorkQueuePolicy, AllowMsgSchedules: true, AllowAtomicPublish: true,
	})
	if err != nil {
		return err
	}
	q.dead, err = q.stream(ctx, deadConfig(q.opts))
	if err != nil {
		return err
	}
	if err = q.consumer(ctx, q.events, jetstream.ConsumerConfig{
		Durable: consumerFanout, FilterSubject: subjectEvents, HeadersOnly: q.opts.Exclusive, // see packOf
	}); err != nil {
		return err
	}
	if err = q.consumer(ctx, q.deferred, jetstream.ConsumerConfig{Durable: consumerDue, FilterSubject: subjectDue + "*"}); err != nil || q.opts.Exclusive {
		return err
	}
	return q.ensureOwner(ctx)
}

// ensureOwner readies what the owner of what is ordered needs. What the last one
// had in hand comes again when its lease has ended, too.
func (q *Queue) ensureOwner(ctx context.Context) (err error) {
	q.owner, err = q.stream(ctx, jetstream.StreamConfig{
		Name: streamOwner, Description: "which dispatcher delivers what is ordered", Subjects: []string{subjectDeed}, MaxMsgsPerSubject: 1,
	})
	if err != nil {
		return err
	}
	return q.consumer(ctx, q.deferred, jetstream.ConsumerConfig{
		Durable: consumerDueOrdered, FilterSubject: subjectDueOrdered + "*", AckWait: q.opts.leaseTime,
	})
}

// stream opens a stream, creating it when it is not there.
func (q *Queue) stream(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	cfg.Storage, cfg.Replicas, cfg.Duplicates = jetstream.FileStorage, max(q.opts.Replicas, 1), dedupWindow
	// Any replica answers a direct read, also one that lags behind: what it has
	// not seen yet would count as settled. Who reads a shelf bears that.
	cfg.AllowDirect = cfg.AllowDirect || cfg.Replicas == 1
	if !q.remote() { // here nothing is sent again, and at a start the window would be read back
		cfg.Duplicates = minDedupWindow
	}
	s, err := q.js.CreateOrUpdateStream(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("opening the stream %s: %w", cfg.Name, err)
	}
	return s, nil
}

// consumer opens a durable consumer.
func (q *Queue) consumer(ctx context.Context, s jetstream.Stream, cfg jetstream.ConsumerConfig) error {
	cfg.AckPolicy, cfg.AckWait, cfg.MaxAckPending = jetstream.AckExplicitPolicy, cmp.Or(cfg.AckWait, q.opts.ackWait), maxUnsettled
	if _, err := s.CreateOrUpdateConsumer(ctx, cfg); err != nil {
		return fmt.Errorf("opening the consumer %s: %w", cfg.Durable, err)
	}
	return nil
}
