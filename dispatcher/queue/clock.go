package queue

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// clockStep is how far the clock is set before anybody cares, and overdue
	// how late a retry is when its timer cannot be counted on any more.
	clockStep, overdue = 2 * time.Second, 5 * time.Second
	// What is overdue is looked for so often, and rarely enough that looking
	// takes only one part of so many of the time.
	overdueEvery, overdueRarely = 2 * time.Second, 50
)

// keepTime announces what is overdue once the clock has been set forward, or the
// machine has slept. The server of this process arms one timer for what is due
// first, and does not notice that: the timer goes off as late as the clock was
// set ahead since, and nothing that is due before it goes off can arm another.
// When that will be nobody knows, so from then on it goes on looking.
func (q *Queue) keepTime(ctx context.Context) {
	var w clockWatch
	for start := time.Now(); ctx.Err() == nil; {
		now := time.Now()
		if w.behind(now.Round(0).Sub(start.Round(0))-now.Sub(start)) > clockStep {
			switch n, err := q.announceOverdue(ctx, now); {
			case err != nil && ctx.Err() == nil:
				q.opts.Log.Warn("looking for what is overdue failed", "err", err)
			case n > 0:
				q.opts.Log.Info("retries were overdue, for the clock has been set; they are due now", "packs", n)
			}
		}
		wait(ctx, max(overdueEvery, overdueRarely*time.Since(now)))
	}
}

// A clockWatch knows the least that the clock has ever been ahead.
type clockWatch struct{ least time.Duration }

// behind is how far a timer may be, that was armed by the clock at some time,
// when the clock is ahead of what it was at the start.
func (w *clockWatch) behind(ahead time.Duration) time.Duration {
	w.least = min(w.least, ahead)
	return ahead - w.least
}

// announceOverdue does for each schedule that is overdue what the server does when it
// is due, and says for how many.
func (q *Queue) announceOverdue(ctx context.Context, now time.Time) (announced int, err error) {
	schedules := shelf{q.side, streamDeferred, subjectAt + "*"}
	end, err := schedules.end(ctx)
	if err != nil {
		return 0, err
	}
	err = schedules.each(ctx, request{}, end, func(it item) error {
		due, parked, ok := readSchedule(it)
		if !ok || now.Sub(due) < overdue {
			return nil
		}
		err := q.announce(ctx, parked, it.seq)
		switch {
		case hasCode(err, jetstream.JSErrCodeStreamWrongLastSequence):
			return nil // the server, or somebody else, was faster
		case err == nil:
			announced++
		}
		return err
	})
	return announced, err
}

// readSchedule says when which parked pack is due, if that can be read.
func readSchedule(it item) (due time.Time, parked uint64, ok bool) {
	due, err := time.Parse(time.RFC3339Nano, strings.TrimPrefix(it.header.Get(headerSchedule), scheduleAt))
	parked, ok = parkedOf(it.header.Get("Nats-Subject"))
	return due, parked, ok && err == nil
}

// announce tells that a parked pack is due and removes its schedule, if that is
// still the one with that sequence (NATS ADR-51).
func (q *Queue) announce(ctx context.Context, parked, schedule uint64) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	number := strconv.FormatUint(parked, 10)
	msg := nats.NewMsg(subjectDue + number)
	msg.Header.Set("Nats-Scheduler", subjectAt+number)
	msg.Header.Set("Nats-Schedule-Next", "purge")
	_, err := q.js.PublishMsg(ctx, msg, jetstream.WithExpectLastSequenceForSubject(schedule, subjectAt+number))
	return err
}
