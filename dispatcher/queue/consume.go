package queue

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/postrider/postrider/dispatcher/event"
)

const (
	// ackWait is after what silence JetStream takes a consumer for dead and
	// gives its packs to another. Packs that are still open are renewed well
	// before that.
	ackWait = time.Minute
	// maxUnsettled bounds the packs under way. The gate of the consumer
	// bounds the deliveries under way, and comes first.
	maxUnsettled = 1 << 15
	// fetchSize bounds the packs of one fetch, and with maxPack the memory
	// that one fetch adds.
	fetchSize = 16
	// fetchWait ends a fetch that nothing came for.
	fetchWait = 30 * time.Second
)

// Events hands every stored event to handle, in the order of their packs,
// until ctx is done. Before each fetch it calls gate, which holds it back while
// too much is under way and returns the error of ctx when that is done.
func (q *Queue) Events(ctx context.Context, gate func(context.Context) error, handle func(event.Stored)) {
	q.consume(ctx, q.fanout, gate, func(msg jetstream.Msg) error {
		events, err := decodeEvents(msg.Data())
		if err != nil {
			return unreadable{msg.Data(), err}
		}
		claim := q.open.claim(msg, len(msg.Data()), func() { acknowledge(msg) })
		defer claim.Done()
		claim.Add(len(events))
		for _, e := range events {
			handle(event.Stored{Event: e, Claim: claim})
		}
		return nil
	})
}

func (q *Queue) consume(ctx context.Context, c jetstream.Consumer, gate func(context.Context) error, handle func(jetstream.Msg) error) {
	for gate(ctx) == nil && q.open.room(ctx) == nil {
		if err := q.fetch(ctx, c, handle); err != nil && ctx.Err() == nil {
			q.opts.Log.Warn("fetching from the store failed, trying again", "err", err)
			wait(ctx, time.Second)
		}
	}
}

func (q *Queue) fetch(ctx context.Context, c jetstream.Consumer, handle func(jetstream.Msg) error) error {
	within, cancel := context.WithTimeout(ctx, fetchWait)
	defer cancel()
	batch, err := c.Fetch(fetchSize, jetstream.FetchContext(within))
	if err != nil {
		return err
	}
	var failed error
	for msg := range batch.Messages() {
		err := handle(msg)
		if u, ok := errors.AsType[unreadable](err); ok {
			err = q.setAside(msg, u)
		}
		if err != nil {
			failed = errors.Join(failed, err, msg.NakWithDelay(time.Second))
		}
	}
	if failed != nil {
		return failed
	}
	err = batch.Error()
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, jetstream.ErrNoMessages) {
		return nil
	}
	return err
}

// unreadable is the error of a handler that cannot read what is stored.
type unreadable struct {
	data []byte
	why  error
}

func (u unreadable) Error() string { return u.why.Error() }

// setAside keeps what cannot be read where a person, or a later version, finds
// it; asking for it again would not make it readable.
func (q *Queue) setAside(msg jetstream.Msg, u unreadable) error {
	aside := nats.NewMsg(subjectUnreadable)
	aside.Data = u.data
	if _, err := q.publishAll([]*nats.Msg{aside}); err != nil {
		return err
	}
	q.opts.Log.Error("a stored message cannot be read and is set aside", "subject", subjectUnreadable, "bytes", len(u.data), "err", u.why)
	return msg.TermWithReason("unreadable")
}

// acknowledge settles msg. When the ack is lost the pack comes again, which
// receivers recognise by its ids; waiting for an answer would cost every pack.
func acknowledge(msg jetstream.Msg) { _ = msg.Ack() }

// wait pauses for d or until ctx is done.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// maxOpenBytes bounds the messages in memory that are not settled. A fetch may
// exceed it by what it brings.
const maxOpenBytes = 64 << 20

// openSet is the messages that are not settled yet.
type openSet struct {
	mu      sync.Mutex
	msgs    map[jetstream.Msg]time.Time // when JetStream last heard of it
	bytes   int                         // of their data: the deliveries that came from a message keep all of it
	settled chan struct{}               // closed when one is settled; nil when nobody waits
}

// room returns once there is room for more, or with the error of ctx.
func (o *openSet) room(ctx context.Context) error {
	for {
		o.mu.Lock()
		if o.bytes < maxOpenBytes {
			o.mu.Unlock()
			return ctx.Err()
		}
		if o.settled == nil {
			o.settled = make(chan struct{})
		}
		settled := o.settled
		o.mu.Unlock()
		select {
		case <-settled:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// claim makes the claim on msg, from which size bytes were read. settle is
// called when all of it is settled.
func (o *openSet) claim(msg jetstream.Msg, size int, settle func()) *event.Claim {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.msgs == nil {
		o.msgs = map[jetstream.Msg]time.Time{}
	}
	o.msgs[msg] = time.Now()
	o.bytes += size
	return event.NewClaim(func() {
		o.mu.Lock()
		delete(o.msgs, msg)
		o.bytes -= size
		if o.settled != nil {
			close(o.settled)
			o.settled = nil
		}
		o.mu.Unlock()
		settle()
	})
}

// renew tells JetStream that the messages open for long are being worked on.
func (o *openSet) renew(now time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var errs []error
	for msg, heard := range o.msgs {
		if now.Sub(heard) < ackWait/3 {
			continue
		}
		if err := msg.InProgress(); err != nil {
			errs = append(errs, err)
			continue
		}
		o.msgs[msg] = now
	}
	return errors.Join(errs...)
}
