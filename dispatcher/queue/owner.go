package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

const (
	// leaseTime is how long a lease that nobody renews is respected. Its holder
	// begins nothing any more from three quarters of that on.
	leaseTime = 10 * time.Second
	// leaseParts is how often, in that time, a lease is renewed or looked at.
	leaseParts = 12
)

var (
	errDisowned = errors.New("another dispatcher has taken over what is ordered, for this one was cut off from the store for too long; it has to be restarted")
	errRemade   = errors.New("a stream of the store was deleted, or made anew, and what is ordered has to be taken over again; the dispatcher has to be restarted")
)

// A deed says who owns what is ordered, and how far that has come. It is the last
// message under its subject, and is replaced by compare-and-set: so only its
// holder moves the place, and who takes over goes on from there. It is respected
// for as long as it is renewed, as a lease is.
type deed struct {
	Holder string    `json:"holder,omitempty"` // empty when it was given up
	Events time.Time `json:"events"`           // when the stream was made that the place is in
	place
}

// in is the place in the stream of events as it is now: that may have been made
// anew, or restored as it was earlier. What comes again is no harm.
func (d deed) in(events *jetstream.StreamInfo) place {
	if !d.Events.Equal(events.Created) {
		return place{}
	}
	p := d.place
	p.UpTo = min(p.UpTo, events.State.LastSeq)
	return p
}

// An ownership makes one dispatcher of those that share a store the one that
// delivers what is ordered. No two clocks are compared: a candidate waits for
// leaseTime after it has seen a renewal, and the holder counts from when it sent
// the last one that was heard.
//
// It is not what keeps the order: each owner reads all ordered events from the
// place on, and the fences refuse what another would store. It keeps two from
// attempting the same at once.
//
// The pins of priority groups (NATS ADR-42) would not do: the server forgets
// them when the leader of a consumer changes, gives them only with a message,
// and gives the next holder newer messages while those of the last are pending.
type ownership struct {
	q      *Queue
	holder string
	time   time.Duration // see leaseTime

	seq  uint64                    // of the last renewal that is known
	sent atomic.Pointer[time.Time] // of the last one that was heard; nil before

	events   time.Time // when their stream was made
	began    place     // where the last owner was
	progress progress

	renewing sync.WaitGroup
	stop     context.CancelFunc
}

// take returns when the lease is held, or with the error of ctx.
func (o *ownership) take(ctx context.Context) error {
	var seen uint64
	var since time.Time
	for ctx.Err() == nil {
		last, d, err := o.q.readDeed(ctx)
		var events *jetstream.StreamInfo
		if err == nil {
			events, err = o.q.events.Info(ctx)
		}
		switch {
		case err != nil:
			o.q.opts.Log.Warn("who delivers what is ordered cannot be learned, trying again", "err", err)
		case last != seen || since.IsZero():
			seen, since = last, time.Now()
		}
		if err == nil && (d.Holder == "" || d.Holder == o.holder || time.Since(since) >= o.time) {
			o.seq, o.events, o.began = last, events.Created, d.in(events)
			if o.renew(ctx) == nil {
				return nil
			}
		}
		wait(ctx, o.time/leaseParts)
	}
	return ctx.Err()
}

// keep renews the lease until ctx is done. While that fails nothing ordered is
// attempted; when somebody else has the lease, the queue fails.
func (o *ownership) keep(ctx context.Context) {
	for {
		wait(ctx, o.time/leaseParts)
		if ctx.Err() != nil {
			return
		}
		was := o.valid()
		err := o.renew(ctx)
		switch {
		case errors.Is(err, errDisowned), errors.Is(err, errRemade):
			o.q.disown(err)
			return
		case ctx.Err() != nil:
		case was && !o.valid():
			o.q.opts.Log.Warn("nothing ordered is attempted until the store can be reached", "err", err)
		case !was && err == nil:
			o.q.opts.Log.Info("the store can be reached again, and what is ordered goes on")
		}
	}
}

// disown ends a queue that cannot be the owner of what is ordered any more.
func (q *Queue) disown(why error) {
	text := why.Error()
	q.broken.Store(&text)
	q.fail(why)
}

// valid reports whether nobody else can hold the lease. A process that was
// frozen may find that only the clock on the wall has gone on.
func (o *ownership) valid() bool {
	sent := o.sent.Load()
	if sent == nil {
		return false
	}
	now := time.Now()
	return max(now.Sub(*sent), now.Round(0).Sub(sent.Round(0))) < o.time*3/4
}

// renew writes the deed anew.
func (o *ownership) renew(ctx context.Context) error {
	if !o.events.Equal(o.q.events.CachedInfo().Created) { // of the last measure
		return errRemade
	}
	sent := time.Now()
	seq, err := o.write(ctx, o.holder)
	if err == nil {
		o.seq = seq
		o.sent.Store(&sent)
		return nil
	}
	last, d, readErr := o.q.readDeed(ctx)
	switch {
	case readErr != nil && o.q.lacks(ctx, streamOwner):
		return errRemade
	case readErr != nil || last <= o.seq: // which may be from a server that lags
		return err
	case d.Holder != o.holder:
		return errDisowned
	}
	o.seq = last // its answer got lost: it counts for nothing, but the next follows it
	return err
}

// release gives the lease up.
func (o *ownership) release(ctx context.Context) {
	o.stop()
	o.renewing.Wait()
	if _, err := o.write(ctx, ""); err != nil {
		o.q.opts.Log.Info("the lease on what is ordered was not given up; it ends by itself", "err", err)
	}
}

// write replaces the deed, unless somebody else has done so.
func (o *ownership) write(ctx context.Context, holder string) (uint64, error) {
	text, err := json.Marshal(deed{holder, o.events, o.progress.place(o.began)})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.time/6)
	defer cancel()
	ack, err := o.q.js.Publish(ctx, subjectDeed, text, jetstream.WithExpectLastSequencePerSubject(o.seq), jetstream.WithRetryAttempts(0))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// readDeed returns the deed and its sequence, zeros before the first.
func (q *Queue) readDeed(ctx context.Context) (seq uint64, d deed, err error) {
	ctx, cancel := context.WithTimeout(ctx, q.opts.leaseTime/6)
	defer cancel()
	msg, err := q.owner.GetLastMsgForSubject(ctx, subjectDeed)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, deed{}, nil
	}
	if err == nil {
		err = json.Unmarshal(msg.Data, &d)
	}
	if err != nil {
		return 0, deed{}, fmt.Errorf("learning who delivers what is ordered: %w", err)
	}
	return msg.Sequence, d, nil
}

// lacks reports whether a stream is known not to be there.
func (q *Queue) lacks(ctx context.Context, stream string) bool {
	ctx, cancel := context.WithTimeout(ctx, q.opts.leaseTime/6)
	defer cancel()
	_, err := q.js.Stream(ctx, stream)
	return errors.Is(err, jetstream.ErrStreamNotFound)
}

// Lead waits until this dispatcher owns what is ordered among those that share
// the store, which it does until the queue is closed, and then calls lead: from
// then on OrderedEvents and OrderedDue hand it out, and Waiting and Deferred tell
// what others have left of it. It returns when lead does, and with an error when
// another dispatcher has taken over; then this one cannot go on.
func (q *Queue) Lead(ctx context.Context, lead func(context.Context) error) error {
	o := &ownership{q: q, holder: nuid.Next(), time: q.opts.leaseTime}
	if o.take(ctx) != nil {
		return nil
	}
	keeping, stop := context.WithCancel(q.works)
	o.stop = stop
	o.renewing.Go(func() { o.keep(keeping) })
	q.owning.Store(o)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(q.works, cancel)()
	for {
		err := q.takeOver(ctx)
		if ctx.Err() != nil {
			return context.Cause(q.works)
		}
		if err == nil {
			break
		}
		q.opts.Log.Warn("taking over what is ordered failed, trying again", "err", err)
		wait(ctx, retryPause)
	}
	q.opts.Log.Info("this dispatcher delivers what is ordered")
	err := lead(ctx)
	return errors.Join(context.Cause(q.works), err)
}

// takeOver begins an ownership. What the last owner was parking when it was
// replaced can get no schedule any more.
func (q *Queue) takeOver(ctx context.Context) error {
	if err := q.setFences(ctx); err != nil {
		return err
	}
	return q.sweepOrphans(ctx, math.MaxUint64)
}

// Leads reports whether this dispatcher may attempt what is ordered. It costs
// next to nothing, so that it can be asked last thing before each attempt. Who has
// the store for himself always may.
func (q *Queue) Leads() bool {
	if q.opts.Exclusive {
		return true
	}
	o := q.owning.Load()
	return o != nil && o.valid() && q.works.Err() == nil
}

// serves reports whether the queues of keys are for this dispatcher.
func (q *Queue) serves() bool { return q.opts.Exclusive || q.owning.Load() != nil }
