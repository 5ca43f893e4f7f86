// Package queue keeps events, deferred deliveries and dead letters on NATS
// JetStream. It is the same for an embedded server and for a cluster; nothing
// outside it knows which, or that it is NATS.
package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
)

const (
	streamEvents   = "POSTRIDER_EVENTS"
	streamParked   = "POSTRIDER_PARKED"
	streamDeferred = "POSTRIDER_DEFERRED"
	streamDead     = "POSTRIDER_DEAD"

	subjectEvents   = "postrider.events"
	subjectDeferred = "postrider.deferred.>"
	subjectParked   = "postrider.parked"
	subjectAt       = "postrider.deferred.at." // and a unique token: a schedule replaces another of its subject
	subjectDue      = "postrider.deferred.due"
	subjectDead     = "postrider.dead." // and the route
	// subjectUnreadable keeps what cannot be decoded, for a person to look at.
	subjectUnreadable = "postrider.unreadable"

	consumerFanout = "fanout"
	consumerDue    = "due"

	// publishTimeout ends an append whose answer does not come.
	publishTimeout = 10 * time.Second
	// deadLetterAge is how long dead letters are kept, if a quarter of the
	// store holds them: beyond that the oldest go first.
	deadLetterAge = 30 * 24 * time.Hour
	// maxDeadLetters bounds them per route, so that one webhook does not push
	// out those of the others.
	maxDeadLetters = 10_000
)

// Options say how much a Queue may keep.
type Options struct {
	// MaxBytes is the room for everything stored. From nine tenths of it on,
	// events are refused, so that deliveries in trouble can still be kept.
	MaxBytes int64
	// Free tells how many bytes the disk has left, nil where that is not
	// known. Below MinFree events are refused.
	Free    func() (uint64, error)
	MinFree uint64
	// Exclusive says that no other dispatcher shares the streams: what was
	// under way when the last one died is then delivered again at once.
	Exclusive bool
	Log       *slog.Logger
}

// A Queue implements the stores of ingest and deliver. It is safe for
// concurrent use.
type Queue struct {
	opts Options
	nc   *nats.Conn
	js   jetstream.JetStream

	events, parked, deferred, dead jetstream.Stream
	fanout, due                    jetstream.Consumer

	appends, deferrals, burials *committer

	seen   *seen
	open   openSet
	full   atomic.Pointer[string] // why events are refused, nil when they are not
	broken atomic.Pointer[string] // why the last append failed, nil when it did not
	stop   context.CancelFunc
	idle   chan struct{} // closed when the housekeeping has ended
}

// Open readies the streams on nc, creating those that are not there, and
// learns which events were stored of late.
func Open(ctx context.Context, nc *nats.Conn, opts Options) (*Queue, error) {
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncTimeout(publishTimeout))
	if err != nil {
		return nil, fmt.Errorf("opening JetStream: %w", err)
	}
	q := &Queue{opts: opts, nc: nc, js: js, seen: newSeen(time.Now()), idle: make(chan struct{})}
	if err := q.ensureStreams(ctx); err != nil {
		return nil, err
	}
	if err := q.recall(ctx); err != nil {
		return nil, err
	}
	if err := q.measure(ctx); err != nil {
		return nil, err
	}
	q.appends = newCommitter(q.flushEvents)
	q.deferrals = newCommitter(q.flushDeferrals)
	q.burials = newCommitter(q.flushDead)

	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	q.stop = stop
	go q.keepHouse(keeping)
	return q, nil
}

func (q *Queue) ensureStreams(ctx context.Context) (err error) {
	// Settled events stay for a while behind the consumer (see trim): the
	// window in which an event that comes again is recognised is read from
	// there after a restart. DiscardNew is the last line of defence: what is
	// not settled is never thrown away.
	q.events, err = q.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: streamEvents, Subjects: []string{subjectEvents},
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxBytes: q.opts.MaxBytes,
		AllowDirect: true,
	})
	if err != nil {
		return fmt.Errorf("opening the stream of events: %w", err)
	}
	// What is deferred must not be discarded, and a stream with schedules cannot
	// refuse what is new, so these two have no limit: ingest stops in time
	// instead (see measure).
	q.parked, err = q.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: streamParked, Subjects: []string{subjectParked}, AllowDirect: true,
	})
	if err != nil {
		return fmt.Errorf("opening the stream of parked deliveries: %w", err)
	}
	q.deferred, err = q.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: streamDeferred, Subjects: []string{subjectAt + "*", subjectDue},
		Retention: jetstream.WorkQueuePolicy, AllowMsgSchedules: true, AllowDirect: true,
	})
	if err != nil {
		return fmt.Errorf("opening the stream of due times: %w", err)
	}
	q.dead, err = q.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: streamDead, Subjects: []string{subjectDead + ">", subjectUnreadable},
		MaxAge: deadLetterAge, MaxBytes: q.opts.MaxBytes / 4, MaxMsgsPerSubject: maxDeadLetters, AllowDirect: true,
	})
	if err != nil {
		return fmt.Errorf("opening the stream of dead letters: %w", err)
	}
	if q.fanout, err = q.consumer(ctx, q.events, consumerFanout, subjectEvents); err != nil {
		return err
	}
	q.due, err = q.consumer(ctx, q.deferred, consumerDue, subjectDue)
	return err
}

// consumer opens a durable consumer. With an exclusive queue it begins with
// what was delivered but not acknowledged, instead of waiting for that to time out.
func (q *Queue) consumer(ctx context.Context, s jetstream.Stream, name, subject string) (jetstream.Consumer, error) {
	c, err := s.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: name, FilterSubject: subject,
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxAckPending: maxUnsettled,
	})
	if err != nil {
		return nil, fmt.Errorf("opening the consumer %s: %w", name, err)
	}
	if q.opts.Exclusive && c.CachedInfo().NumAckPending > 0 {
		if _, err := s.ResetConsumer(ctx, name); err != nil {
			return nil, fmt.Errorf("resetting the consumer %s: %w", name, err)
		}
	}
	return c, nil
}

// Append returns nil once every event is on disk. An event that is there
// already, by namespace, source and id, is not stored again; one that somebody
// else is storing is waited for. It returns [event.ErrFull] when there is no room.
func (q *Queue) Append(_ context.Context, events []event.Event) error {
	if q.full.Load() != nil {
		return event.ErrFull
	}
	keys := make([]event.Key, len(events))
	for i := range events {
		keys[i] = events[i].Key()
	}
	flight, mine, others := q.seen.board(keys, time.Now())
	var pack []byte
	for i := range events {
		if mine[i] {
			pack = events[i].Append(pack)
		}
	}
	var err error
	if len(pack) > 0 {
		err = q.appends.commit(record{body: pack})
	}
	q.seen.land(flight, keys, mine, err)
	for _, other := range others {
		<-other.landed
		err = errors.Join(err, other.err)
	}
	return err
}

func (q *Queue) flushEvents(records []record) error {
	pack := records[0].body
	for _, r := range records[1:] {
		pack = append(pack, r.body...)
	}
	msg := nats.NewMsg(subjectEvents)
	msg.Data = pack
	_, err := q.publishAll([]*nats.Msg{msg})
	return err
}

// Bury implements [deliver.Backlog].
func (q *Queue) Bury(_ context.Context, ds ...deliver.DeadLetter) error {
	records := make([]record, len(ds))
	for i, d := range ds {
		records[i] = record{body: d.Event.Append(nil), dead: &d}
	}
	return q.burials.commit(records...)
}

// flushDead stores one message per dead letter, under the subject of its
// route, so that they can be counted, read and removed one by one.
func (q *Queue) flushDead(records []record) error {
	msgs := make([]*nats.Msg, len(records))
	for i, r := range records {
		msg := nats.NewMsg(subjectOfDead(r.dead.Route))
		msg.Header.Set("Postrider-Reason", string(r.dead.Why.Reason))
		msg.Header.Set("Postrider-Error", r.dead.Why.String())
		msg.Header.Set("Postrider-Attempts", strconv.Itoa(r.dead.Attempts))
		msg.Header.Set("Postrider-Time", r.dead.At.UTC().Format(time.RFC3339Nano))
		msg.Data = r.body
		msgs[i] = msg
	}
	_, err := q.publishAll(msgs)
	return err
}

// publishAll returns once JetStream has acknowledged every message, with the
// sequences that they got. After an error that is not [event.ErrFull] the queue is unhealthy until a later
// append succeeds: a server that could not write to its disk goes on failing,
// or does not answer at all.
func (q *Queue) publishAll(msgs []*nats.Msg) ([]uint64, error) {
	sequences, err := q.publishEach(msgs)
	switch {
	case err == nil:
		if q.broken.Load() != nil {
			q.broken.Store(nil)
		}
	case !errors.Is(err, event.ErrFull):
		text := err.Error()
		q.broken.Store(&text)
	}
	return sequences, err
}

func (q *Queue) publishEach(msgs []*nats.Msg) ([]uint64, error) {
	acks := make([]jetstream.PubAckFuture, 0, len(msgs))
	for _, msg := range msgs {
		ack, err := q.js.PublishMsgAsync(msg, jetstream.WithStallWait(publishTimeout))
		if err != nil {
			return nil, fmt.Errorf("storing: %w", err)
		}
		acks = append(acks, ack)
	}
	// Each answer renews the patience: a large batch on a slow disk is no failure.
	timeout := time.NewTimer(publishTimeout)
	defer timeout.Stop()
	sequences := make([]uint64, len(acks))
	for i, ack := range acks {
		timeout.Reset(publishTimeout)
		select {
		case ok := <-ack.Ok():
			sequences[i] = ok.Sequence
		case err := <-ack.Err():
			return nil, fmt.Errorf("storing: %w", classify(err))
		case <-timeout.C:
			return nil, fmt.Errorf("storing: no answer within %s", publishTimeout)
		}
	}
	return sequences, nil
}

const (
	codeInsufficientResources = 10023
	codeStorageExceeded       = 10047
	textMaxBytes              = "maximum bytes exceeded" // its code, 10077, is shared by many causes
)

// classify tells a store without room from other failures.
func classify(err error) error {
	api, ok := errors.AsType[*jetstream.APIError](err)
	if ok && (api.ErrorCode == codeInsufficientResources || api.ErrorCode == codeStorageExceeded || api.Description == textMaxBytes) {
		return fmt.Errorf("%w: %s", event.ErrFull, api.Description)
	}
	return err
}

// Close lets appends in hand finish and closes the connection.
func (q *Queue) Close() {
	q.stop()
	<-q.idle
	for _, c := range []*committer{q.appends, q.deferrals, q.burials} {
		c.close()
	}
	q.nc.Close()
}
