package queue

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/postrider/postrider/dispatcher/deliver"
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
			return err
		}
		claim := q.open.claim(msg)
		defer claim.Done()
		claim.Add(len(events))
		for _, e := range events {
			handle(event.Stored{Event: e, Claim: claim})
		}
		return nil
	})
}

// Due hands every deferral that has come due to handle, until ctx is done.
func (q *Queue) Due(ctx context.Context, gate func(context.Context) error, handle func(deliver.Deferral, *event.Claim)) {
	q.consume(ctx, q.due, gate, func(msg jetstream.Msg) error {
		ds, err := decodeDeferrals(msg.Data())
		if err != nil {
			return err
		}
		claim := q.open.claim(msg)
		defer claim.Done()
		claim.Add(len(ds))
		for _, d := range ds {
			handle(d, claim)
		}
		return nil
	})
}

func (q *Queue) consume(ctx context.Context, c jetstream.Consumer, gate func(context.Context) error, handle func(jetstream.Msg) error) {
	for gate(ctx) == nil {
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
	for msg := range batch.Messages() {
		if err := handle(msg); err != nil {
			// It stays in the stream for a person to look at; asking for it
			// again would not make it readable.
			q.opts.Log.Error("a stored message cannot be read and is left aside", "subject", msg.Subject(), "err", err)
			if err := msg.TermWithReason("unreadable"); err != nil {
				return err
			}
		}
	}
	err = batch.Error()
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, jetstream.ErrNoMessages) {
		return nil
	}
	return err
}

// wait pauses for d or until ctx is done.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// openSet is the messages that are not settled yet.
type openSet struct {
	mu   sync.Mutex
	msgs map[jetstream.Msg]time.Time // when JetStream last heard of it
}

func (o *openSet) claim(msg jetstream.Msg) *event.Claim {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.msgs == nil {
		o.msgs = map[jetstream.Msg]time.Time{}
	}
	o.msgs[msg] = time.Now()
	return event.NewClaim(func() {
		o.mu.Lock()
		delete(o.msgs, msg)
		o.mu.Unlock()
		// When the ack is lost the pack comes again, which receivers
		// recognise by its ids; waiting for an answer would cost every pack.
		_ = msg.Ack()
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
