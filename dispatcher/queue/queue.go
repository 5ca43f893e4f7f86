// Package queue keeps events, the deliveries that wait and those that were given
// up, and records of attempts, on NATS JetStream. It is the same for an embedded
// server and for a cluster; nothing outside it knows which, or that it is NATS.
//
// Six streams hold it all. EVENTS holds packs of events; a consumer hands each
// out until it is acknowledged, and an exclusive queue takes from memory what it
// has just stored. WAITING holds packs of deliveries, one queue per route and
// key. PARKED holds packs of deliveries with a due time, and DEFERRED a schedule
// for each. DEAD holds what was given up, one message each, and ATTEMPTS the
// attempt log, which nobody waits for. Where dispatchers share the store, OWNER says
// which of them delivers what is ordered, see [Queue.Lead].
//
// What Append, Enqueue, Defer and Bury have returned nil for is as durable as
// the servers make it. The embedded server syncs each append to disk before it
// answers. The servers of a cluster sync every two minutes unless their
// configuration says "sync_interval: always" in its jetstream block; until then
// three replicas survive the loss of one server, but not that of their power.
package queue

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Options say how much a Queue may keep, and where.
type Options struct {
	// MaxBytes is the room for everything stored. From nine tenths of it on,
	// events are refused, so that deliveries in trouble can still be kept.
	MaxBytes int64
	// Free tells how many bytes the disk has left, nil where that is not
	// known. Below MinFree events are refused.
	Free    func() (uint64, error)
	MinFree uint64
	// NamespaceShare is the part of that room which the waiting deliveries of
	// one namespace may take; beyond it the namespace's events are refused.
	// Zero means a half.
	NamespaceShare float64

	// Retention is how long settled events are kept, to be sent again, and
	// RetentionBytes how much they may take, a quarter of MaxBytes when zero.
	// They are kept for [MinRetention] in any case, unless room is short: they
	// are the first to go, and never a reason to refuse events.
	Retention      time.Duration
	RetentionBytes int64

	// Exclusive says that no other dispatcher shares the streams: what was
	// under way when the last one died is then delivered again at once.
	Exclusive bool
	// Ordered tells whether a namespace orders any deliveries: its events are
	// then for the owner of what is ordered alone, see [Queue.Lead]. It has to say
	// yes while it does not know. Nil means never; it is for a store that is shared.
	Ordered func(namespace string) bool
	// Replicas of each stream, on so many servers of a cluster; zero means one.
	Replicas int
	// Alive returns nil while the server works that runs in this process. It is
	// nil when the servers are elsewhere, where they fail and recover without us.
	Alive func() error

	// Room is the part of the usual bounds on events in memory that is kept to, see
	// [deliver.Options]; zero = all of it.
	Room float64
	// Pace bounds how many bytes are written in a second, for the memory that
	// the server in this process takes with them; at least [MinPace], or 0 for no
	// bound. Who writes faster waits.
	Pace int64

	DeadLetterAge  time.Duration // how long dead letters are kept, if a quarter of the store holds them; 0 = 30 days
	MaxDeadLetters int           // of each route, beyond which its oldest go; 0 = 10,000

	AttemptAge   time.Duration // how long the attempt log keeps a record; 0 = 7 days
	AttemptBytes int64         // of the attempt log; 0 = a 32nd of MaxBytes, but 256 MiB at most
	MaxAttempts  int           // of each route; 0 = 500

	Log *slog.Logger

	ackWait, orphanAge, leaseTime time.Duration // see the constants; tests have less patience
}

// MinRetention is how long settled events are kept at least: as long as one
// that comes again is recognised.
const MinRetention = seenWindow

// withDefaults fills in what is zero and refuses what makes no sense.
func (o Options) withDefaults() (Options, error) {
	if o.NamespaceShare == 0 {
		o.NamespaceShare = 0.5
	}
	if o.RetentionBytes == 0 {
		o.RetentionBytes = o.MaxBytes / 4
	}
	if o.ackWait == 0 {
		o.ackWait = ackWait
		if o.Exclusive {
			o.ackWait = longAckWait
		}
	}
	if o.orphanAge == 0 {
		o.orphanAge = orphanAge
	}
	if o.leaseTime == 0 {
		o.leaseTime = leaseTime
	}
	o.Retention = max(o.Retention, MinRetention)
	switch {
	case o.MaxBytes <= 0:
		return o, fmt.Errorf("the store may hold %d bytes; give it room for at least some megabytes", o.MaxBytes)
	case !(o.NamespaceShare >= 0 && o.NamespaceShare <= 1): // which NaN is not
		return o, fmt.Errorf("the share of a namespace is %g of the store; give a number from 0 to 1", o.NamespaceShare)
	case o.RetentionBytes < 0 || o.RetentionBytes > o.MaxBytes/2:
		return o, fmt.Errorf("settled events may take %d bytes; give at most half of the %d of the store", o.RetentionBytes, o.MaxBytes)
	case o.Pace < 0 || o.Pace > 0 && o.Pace < MinPace:
		return o, fmt.Errorf("%d bytes may be written in a second; give at least %d, or 0 for no bound", o.Pace, MinPace)
	case o.Replicas < 0 || o.Replicas > 5 || o.Replicas > 0 && o.Replicas%2 == 0:
		return o, fmt.Errorf("%d replicas cannot be kept; give 1, 3 or 5", o.Replicas)
	}
	return o, nil
}

// A Queue implements the stores of ingest and deliver. It is safe for
// concurrent use.
type Queue struct {
	opts Options
	nc   *nats.Conn
	js   jetstream.JetStream

	events, waiting, parked, deferred, dead jetstream.Stream
	owner                                   jetstream.Stream // nil where nobody shares the store

	appends    *committer[arrivals]
	ordered    *committer[arrivals] // of namespaces that order any
	enqueues   *committer[owed]
	deferrals  *committer[owed]
	burials    *committer[record]
	removals   *remover
	pace       pace
	packLimit  int      // where a pack stops growing, in bytes
	maxMessage int      // that the servers take, in bytes
	fresh      handover // of what is appended to who takes it

	// side is for what may be slow and must not hold up appends: a server works
	// off what comes on one connection in turn.
	side     jetstream.JetStream
	attempts *attemptLog

	seen    *seen
	held    struct{ events, due, waiting openSet } // handed out and not settled
	fronts  fronts                                 // of the queues that only this dispatcher reads,
	drains  drains                                 // and of those that others do, too
	owning  atomic.Pointer[ownership]              // nil unless this is the owner of what is ordered
	fences  atomic.Pointer[fences]                 // nil until it has taken over
	written atomic.Uint64                          // the last of Waiting that is known of
	books   books
	counted counting
	swept   counting // of what was parked before, which was up to
	before  uint64

	full     atomic.Pointer[string]          // why events are refused, nil when they are not
	crowded  atomic.Pointer[map[string]bool] // the namespaces whose events are refused, nil when none
	broken   atomic.Pointer[string]          // why the last append failed, nil when it did not
	measures measures
	probing  atomic.Bool // one append tries whether that is over

	// works ends when nothing can be written any more, with the cause.
	works context.Context
	fail  context.CancelCauseFunc

	stop    context.CancelFunc // of housekeeping
	idle    chan struct{}      // closed when it has ended
	closing sync.Once
}

// Open readies the streams on nc, creating those that are not there, and
// learns which events were stored of late. It takes nc over and closes it, also
// when it fails.
func Open(ctx context.Context, nc *nats.Conn, opts Options) (_ *Queue, err error) {
	defer func() {
		if err != nil {
			nc.Close()
		}
	}()
	if opts, err = opts.withDefaults(); err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("opening JetStream: %w", err)
	}
	q := &Queue{
		opts: opts, nc: nc, js: js, maxMessage: int(nc.MaxPayload()), seen: newSeen(time.Now()), pace: newPace(opts.Pace),
		idle: make(chan struct{}),
	}
	q.held.events.limit, q.held.due.limit, q.held.waiting.limit = opts.within(maxEventBytes), opts.within(maxDueBytes), opts.within(maxWaitingBytes)
	for _, held := range q.allHeld() {
		held.renewAfter = opts.ackWait / 3
	}
	if !opts.Exclusive { // for what has a key, see ensureOwner
		q.held.due.renewAfter = min(opts.ackWait, opts.leaseTime) / 3
	}
	if q.packLimit, err = packLimit(nc.MaxPayload()); err != nil {
		return nil, err
	}
	if err := q.ensureStreams(ctx); err != nil {
		return nil, err
	}
	q.works, q.fail = context.WithCancelCause(context.WithoutCancel(ctx))
	if err := q.sweepTail(ctx); err != nil {
		return nil, err
	}
	older, err := q.recallNewest(ctx)
	if err != nil {
		return nil, err
	}
	if err := q.measure(ctx, time.Now()); err != nil {
		return nil, err
	}
	if q.before, err = q.lastParked(ctx); err != nil {
		return nil, err
	}

	if q.side, err = connectAside(nc); err != nil {
		return nil, err
	}
	q.attempts = openAttemptLog(ctx, q.side, opts)

	q.appends = newCommitter(q.packLimit, func(calls []arrivals) error { return q.flushEvents(subjectEvents, calls) })
	q.ordered = newCommitter(q.packLimit, func(calls []arrivals) error { return q.flushEvents(subjectOrderedEvents, calls) })
	q.enqueues = newCommitter(q.packLimit, sparing(q, q.flushWaiting))
	q.deferrals = newCommitter(q.packLimit, sparing(q, q.flushDeferrals))
	q.burials = newCommitter(q.packLimit, sparing(q, q.flushDead))
	q.removals = newRemover(q)
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	q.stop = stop
	go q.keepHouse(keeping, older)
	if opts.Alive == nil {
		opts.Log.Info("the store is a NATS cluster; whether its servers sync each append to disk is set there (sync_interval in the jetstream block)",
			"server", nc.ConnectedUrlRedacted(), "replicas", max(opts.Replicas, 1))
	}
	return q, nil
}

// connectAside opens another connection like nc.
func connectAside(nc *nats.Conn) (jetstream.JetStream, error) {
	side, err := nc.Opts.Connect()
	if err != nil {
		return nil, fmt.Errorf("connecting to the store once more: %w", err)
	}
	js, err := jetstream.New(side)
	if err != nil {
		side.Close()
		return nil, fmt.Errorf("opening JetStream: %w", err)
	}
	return js, nil
}

func (q *Queue) allHeld() [3]*openSet {
	return [3]*openSet{&q.held.events, &q.held.due, &q.held.waiting}
}

// packLimit is where packs stop growing so that one that has grown to it still
// takes the largest request.
func packLimit(maxPayload int64) (int, error) {
	const request = 3 << 19 // the largest body, and what storing adds to its events
	limit := min(maxPayload-request, maxPack)
	if limit < maxWaitingPack {
		return 0, fmt.Errorf("the NATS servers take messages of up to %d bytes, and an event may have more: set max_payload to 8MB in their configuration", maxPayload)
	}
	return int(limit), nil
}

// closeTime is how long a store that does not answer may hold up the end.
const closeTime = publishTimeout

// Halt lets nobody wait any more who settles something, also while the store is
// away: what cannot be removed then comes again. Call it at the beginning of a stop.
func (q *Queue) Halt() { q.removals.halt() }

// Close lets appends in hand finish, gives back what was handed out and is not
// settled, and closes the connection. It takes a few seconds more than
// [closeTime] at most; what is not stored by then was not promised to anybody.
func (q *Queue) Close() {
	q.closing.Do(func() {
		defer time.AfterFunc(closeTime, func() { q.fail(errClosed) }).Stop()
		q.stop()
		<-q.idle
		q.appends.close()
		q.ordered.close()
		q.enqueues.close()
		q.deferrals.close()
		q.burials.close()
		q.removals.close()
		for _, held := range q.allHeld() {
			held.giveBack()
		}
		if o := q.owning.Load(); o != nil {
			o.release(q.works)
		}
		q.attempts.close()
		q.side.Conn().Close()
		_ = q.nc.FlushTimeout(flushTimeout) // what is not heard is waited for in vain, and comes again
		q.nc.Close()
		q.fail(errClosed)
	})
}
