package queue

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// tick is how often the queue looks after itself.
const tick = time.Second

// keepHouse measures the store, trims what is settled and renews what is held.
// older is what is left to recall.
func (q *Queue) keepHouse(ctx context.Context, older span) {
	defer close(q.idle)
	var aside sync.WaitGroup
	defer aside.Wait()
	aside.Go(func() { q.catchUp(ctx, older) })
	aside.Go(func() { q.keepTrying(ctx) })
	if q.opts.Exclusive { // else the timers are elsewhere
		aside.Go(func() { q.keepTime(ctx) })
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			q.watch()
			err := errors.Join(q.renew(now), q.measure(ctx, now)) // in this order: renewing cannot wait
			q.drains.tidy(ctx, q, now)
			if err != nil && ctx.Err() == nil && context.Cause(q.works) == nil {
				q.opts.Log.Warn("looking after the store failed", "err", err)
			}
		}
	}
}

// renew keeps what is held from being given to somebody else.
func (q *Queue) renew(now time.Time) error {
	var errs []error
	for _, held := range q.allHeld() {
		errs = append(errs, held.renew(now))
	}
	return errors.Join(errs...)
}

// watch notices that the server of this process has stopped, so that nobody
// waits for its answers.
func (q *Queue) watch() {
	if q.opts.Alive == nil || context.Cause(q.works) != nil {
		return
	}
	if err := q.opts.Alive(); err != nil {
		text := err.Error()
		q.broken.Store(&text)
		q.fail(err)
	}
}

// catchUp does what a start need not wait for, and what is rarely to be done.
func (q *Queue) catchUp(ctx context.Context, older span) {
	try := func(what string, f func() error) {
		if err := f(); err != nil && ctx.Err() == nil {
			q.opts.Log.Warn("a task of the store failed", "task", what, "err", err)
		}
	}
	if older != (span{}) {
		try("recalling which events were stored", func() error { return q.recall(ctx, older) })
	}
	try("counting what is owed", func() error { return q.counted.do(ctx, true, q.takeCensus) })
	wait(ctx, sweepDelay)
	try("removing what a crash left", func() error { return q.swept.do(ctx, true, q.sweepOld) })
	if q.opts.Exclusive {
		return
	}
	for ctx.Err() == nil {
		wait(ctx, orphanEvery)
		try("removing what a crash left", func() error { return q.sweepOrphans(ctx, math.MaxUint64) })
	}
}

// lastParked is the last pack that is parked now.
func (q *Queue) lastParked(ctx context.Context) (uint64, error) {
	info, err := q.parked.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("measuring the store: %w", err)
	}
	return info.State.LastSeq, nil
}

// measure decides whether events are accepted: not in the last tenth of the
// room, and not while the disk is nearly full, so that what was accepted can
// still be deferred and buried. Settled events give way first.
func (q *Queue) measure(ctx context.Context, now time.Time) error {
	used, err := q.used(ctx)
	if err != nil {
		return err
	}
	trimmed, err := q.trim(ctx, now, used, used >= q.limit() || q.diskIsLow())
	if err != nil {
		return err
	}
	if trimmed {
		if used, err = q.used(ctx); err != nil {
			return err
		}
	}
	q.measures.stored.Store(used)
	q.measures.dead.Store(int64(q.dead.CachedInfo().State.Msgs))
	q.judge(used)
	q.judgeNamespaces()
	return nil
}

// limit is from where on events are refused, in bytes.
func (q *Queue) limit() int64 { return q.opts.MaxBytes - q.opts.MaxBytes/10 }

func (q *Queue) diskIsLow() bool {
	if q.opts.Free == nil {
		return false
	}
	free, err := q.opts.Free()
	return err == nil && free < q.opts.MinFree
}

// judge refuses events, or accepts them again.
func (q *Queue) judge(used int64) {
	why := ""
	switch {
	case used >= q.limit():
		why = fmt.Sprintf("the store holds %d of %d bytes", used, q.opts.MaxBytes)
	case q.diskIsLow():
		why = fmt.Sprintf("the disk has less than %d bytes left", q.opts.MinFree)
	default:
		q.full.Store(nil)
		return
	}
	if old := q.full.Swap(&why); old == nil {
		q.opts.Log.Warn("events are refused until there is room", "reason", why)
	}
}

// judgeNamespaces refuses the events of namespaces whose deliveries in trouble
// take more than their share.
func (q *Queue) judgeNamespaces() {
	bytes := map[string]int64{}
	q.books.parked.addBytes(bytes)
	q.books.waiting.addBytes(bytes)
	share := int64(q.opts.NamespaceShare * float64(q.limit()))
	crowded := map[string]bool{}
	for namespace, n := range bytes {
		if n > share {
			crowded[namespace] = true
		}
	}
	if len(crowded) == 0 {
		q.crowded.Store(nil)
		return
	}
	old := q.crowded.Swap(&crowded)
	for namespace := range crowded {
		if old == nil || !(*old)[namespace] {
			q.opts.Log.Warn("events of a namespace are refused until its deliveries are taken", "namespace", namespace,
				"bytes", bytes[namespace], "share", share)
		}
	}
}

// used is what all streams hold, in bytes.
func (q *Queue) used(ctx context.Context) (int64, error) {
	var sum uint64
	for _, s := range []jetstream.Stream{q.events, q.waiting, q.parked, q.deferred, q.dead} {
		st, err := s.Info(ctx)
		if err != nil {
			return 0, fmt.Errorf("measuring the store: %w", err)
		}
		sum += st.State.Bytes
	}
	return int64(sum), nil
}

// sequenceAt is the first event stored at that time or later, 0 when there is none.
func (q *Queue) sequenceAt(ctx context.Context, t time.Time) (uint64, error) {
	return q.lookUp(ctx, fmt.Sprintf(`{"start_time":%q}`, t.UTC().Format(time.RFC3339Nano)))
}

// lookUp is the sequence of the event that was asked for, 0 when there is none.
func (q *Queue) lookUp(ctx context.Context, request string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	var answer struct {
		Message struct {
			Sequence uint64 `json:"seq"`
		} `json:"message"`
	}
	err := ask(ctx, q.nc, &nats.Msg{
		Subject: api + "STREAM.MSG.GET." + streamEvents, Data: []byte(request),
	}, &answer)
	switch {
	case hasCode(err, codeNoMessage):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("looking up an event in the store: %w", err)
	}
	return answer.Message.Sequence, nil
}
