package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/postrider/postrider/dispatcher/deliver"
)

const (
	streamAttempts  = "POSTRIDER_ATTEMPTS"
	subjectAttempts = "postrider.attempts." // and the route

	defaultAttemptAge = 7 * 24 * time.Hour
	maxAttemptBytes   = 256 << 20
	// defaultAttempts bounds each route, so that a busy webhook does not push
	// out the attempts of the others.
	defaultAttempts = 500

	// maxRecord bounds one record in the store, in bytes.
	maxRecord = 16 << 10
	// maxUnwritten bounds the records that wait to be written.
	maxUnwritten = 1024
	// farewell is how long closing waits for the records in hand.
	farewell = 2 * time.Second
	// openAgain is how long to wait before trying again to open the stream.
	openAgain = 5 * time.Second
)

// attemptConfig asks for no sync, whatever the server does elsewhere: a crash
// may cost the last records, and an attempt must not wait for its record.
// JetStream allows that on one replica only, which in a cluster is right too:
// while its server is away attempts go on, unrecorded.
func attemptConfig(o Options) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: streamAttempts, Subjects: []string{subjectAttempts + ">"},
		MaxAge: orDefault(o.AttemptAge, defaultAttemptAge), MaxBytes: orDefault(o.AttemptBytes, min(o.MaxBytes/32, maxAttemptBytes)),
		MaxMsgsPerSubject: int64(orDefault(o.MaxAttempts, defaultAttempts)), Discard: jetstream.DiscardOld,
		Replicas: 1, PersistMode: jetstream.AsyncPersistMode, AllowDirect: true,
	}
}

var _ deliver.Log = (*Queue)(nil)

// An attemptLog writes records as fast as the store takes them, and drops what
// comes faster.
type attemptLog struct {
	js      jetstream.JetStream
	config  jetstream.StreamConfig
	log     *slog.Logger
	pace    pace
	records chan *deliver.Record
	dropped atomic.Uint64
	stop    context.CancelFunc
	done    chan struct{}
}

func openAttemptLog(ctx context.Context, js jetstream.JetStream, o Options) *attemptLog {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	l := &attemptLog{
		js: js, config: attemptConfig(o), log: o.Log, pace: newPace(o.Pace / attemptShare),
		records: make(chan *deliver.Record, maxUnwritten), stop: stop, done: make(chan struct{}),
	}
	opened := l.open(ctx)
	go l.run(ctx, opened)
	return l
}

// open opens the stream. A server that is away keeps nobody from delivering.
func (l *attemptLog) open(ctx context.Context) bool {
	within, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	_, err := l.js.CreateOrUpdateStream(within, l.config)
	if err != nil && ctx.Err() == nil {
		l.log.Warn("the attempt log cannot be opened, trying again; attempts are not recorded meanwhile", "err", err)
	}
	return err == nil
}

func (l *attemptLog) run(ctx context.Context, opened bool) {
	defer close(l.done)
	for !opened {
		if wait(ctx, openAgain); ctx.Err() != nil {
			return
		}
		opened = l.open(ctx)
	}
	for {
		select {
		case r := <-l.records:
			l.write(ctx, r)
		case <-ctx.Done():
			l.finish(ctx)
			return
		}
	}
}

// write sends r to the store without waiting for an answer, at the pace of the log
// until ctx is done.
func (l *attemptLog) write(ctx context.Context, r *deliver.Record) {
	subject, err := subjectOf(subjectAttempts, r.Route)
	if err != nil {
		l.dropped.Add(1)
		return
	}
	body := encodeRecord(r)
	l.pace.wait(ctx, len(body))
	if body == nil || l.js.Conn().Publish(subject, body) != nil {
		l.dropped.Add(1)
	}
}

// finish writes what is in hand, and returns when the store has it. If that
// takes too long, close ends it.
func (l *attemptLog) finish(over context.Context) {
	for range len(l.records) {
		l.write(over, <-l.records)
	}
	// The store answers in turn. It refuses this, for it is meant for another
	// stream; by then it has worked off what came before.
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	_, err := l.js.Publish(ctx, subjectAttempts+"end", nil, jetstream.WithExpectStream("none"))
	if _, answered := errors.AsType[*jetstream.APIError](err); !answered {
		l.log.Warn("the last records of attempts may be lost", "err", err)
	}
}

// close writes the records in hand, if the store is quick. Its connection is of
// no use afterwards.
func (l *attemptLog) close() {
	l.stop()
	patience := time.NewTimer(farewell)
	defer patience.Stop()
	select {
	case <-l.done:
	case <-patience.C:
	}
	l.js.Conn().Close() // ends a write that hangs
	<-l.done
}

// Keep implements [deliver.Log]. The record must not be changed afterwards.
func (q *Queue) Keep(r *deliver.Record) {
	select {
	case q.attempts.records <- r:
	default:
		q.attempts.dropped.Add(1)
	}
}

// DroppedRecords counts the records that were not kept since the start: those
// that came faster than they could be written, or were too large. What a store
// loses that was sent to it, nobody counts.
func (q *Queue) DroppedRecords() uint64 { return q.attempts.dropped.Load() }

// encodeRecord returns nil for a record that is too large even without what
// came from outside.
func encodeRecord(r *deliver.Record) []byte {
	b, err := json.Marshal(r)
	if err == nil && len(b) <= maxRecord {
		return b
	}
	smaller := *r
	if r.Response != nil {
		smaller.Response = &deliver.ResponseRecord{Status: r.Response.Status, Header: r.Response.Header, Bytes: r.Response.Bytes}
	}
	cuts := []func(){
		func() {}, // the body of the response is cut already
		func() {
			if smaller.Response != nil {
				smaller.Response.Header = nil
			}
		},
		func() { smaller.Request.Header = nil },
	}
	for _, cut := range cuts {
		cut()
		if b, err = json.Marshal(smaller); err == nil && len(b) <= maxRecord {
			return b
		}
	}
	return nil
}

// Attempts lists the recorded attempts of a route, newest first: those before a
// place in the log, or all when before is 0, at most limit (1,000 if that is
// more). next is the before of the next page, 0 when there are no more.
func (q *Queue) Attempts(ctx context.Context, route string, before uint64, limit int) (records []deliver.Record, next uint64, err error) {
	subject, err := subjectOf(subjectAttempts, route)
	if err != nil {
		return nil, 0, err
	}
	page, next, err := shelf{q.side, streamAttempts, subject}.page(ctx, before, limit)
	for _, it := range page {
		r, err := decodeRecord(route, it.data)
		if err != nil {
			q.opts.Log.Error("a record of an attempt is left out", "route", route, "id", it.seq, "err", err)
			continue
		}
		records = append(records, r)
	}
	return records, next, err
}

// decodeRecord reads a record of a route. Which route that is, its subject says.
func decodeRecord(route string, b []byte) (deliver.Record, error) {
	var r deliver.Record
	if err := json.Unmarshal(b, &r); err != nil {
		return deliver.Record{}, fmt.Errorf("not a record of an attempt: %w", err)
	}
	r.Route = route
	return r, nil
}
