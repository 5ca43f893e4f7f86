package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/postrider/postrider/dispatcher/event"
)

var (
	errMissed = errors.New("a message was missed")
	errSilent = errors.New("the consumer does not answer")
)

// OrderedEvents hands the events of namespaces that order any to take, in the
// order of their acceptance, until ctx is done: from where the last owner was,
// those of its packs that were not settled. It asks gate as Events does. It is
// for the owner of what is ordered, see Lead.
//
// It reads the stream itself rather than through a consumer that the owners
// share. What is handed out is known here alone, and what is settled stands in
// the deed: so nothing comes, instead of to its heir, to one whose lease has ended,
// and nothing comes before what is older.
func (q *Queue) OrderedEvents(ctx context.Context, gate func(context.Context) error, take func(event.Stored)) {
	o := q.owning.Load()
	next := o.began.settled() + 1
	visit := func(msg *nats.Msg) error {
		seq := sequenceOf(msg)
		if o.began.owes(seq) {
			if err := gate(ctx); err != nil {
				return err
			}
			if err := q.held.events.room(ctx); err != nil {
				return err
			}
			if err := o.hand(seq, msg.Data, take); err != nil {
				return err
			}
		}
		next = seq + 1
		return nil
	}
	for ctx.Err() == nil {
		if err := q.follow(ctx, q.events, subjectOrderedEvents, next, visit); err != nil && ctx.Err() == nil {
			q.opts.Log.Info("reading what is ordered was interrupted, going on", "err", err)
			wait(ctx, retryPause)
		}
	}
}

// hand hands out the events of a pack, or sets it aside when it cannot be read.
func (o *ownership) hand(seq uint64, pack []byte, take func(event.Stored)) error {
	events, err := decodeEvents(pack)
	if err != nil {
		if err := o.q.setAside(unreadable{pack, err}); err != nil {
			return err
		}
		events = nil
	}
	o.progress.begin(seq)
	claims := o.q.held.events.claims(len(events), func(i int) *event.Event { return events[i] }, func() { o.progress.settle(seq) })
	for i, e := range events {
		take(event.Stored{Event: e, Seq: seq, Claim: claims[i]})
	}
	return nil
}

// follow hands what s has under a subject to visit, in its order and from a
// sequence on, until ctx is done or something is missed. Then nothing that is
// newer was visited.
func (q *Queue) follow(ctx context.Context, s jetstream.Stream, subject string, from uint64, visit func(*nats.Msg) error) error {
	c, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{
		FilterSubject: subject, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return err
	}
	info := c.CachedInfo()
	defer func() { // else it expires
		_ = q.nc.Publish(api+"CONSUMER.DELETE."+info.Stream+"."+info.Name, nil)
	}()
	sub, err := q.nc.SubscribeSync(q.nc.NewInbox())
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	for visited := uint64(0); ; {
		if err := q.nc.PublishRequest(subjectOfPull(info.Stream, info.Name), sub.Subject, nextMessages); err != nil {
			return err
		}
		if err := visitFew(ctx, sub, &visited, visit); err != nil {
			return err
		}
	}
}

// visitFew hands the messages of one request to visit. So many were visited before.
func visitFew(ctx context.Context, sub *nats.Subscription, visited *uint64, visit func(*nats.Msg) error) error {
	for left := fetchSize; left > 0; {
		msg, err := nextBeat(ctx, sub)
		if err != nil {
			return err
		}
		switch status := statusOf(msg); status {
		case "":
			meta, err := msg.Metadata()
			if err != nil {
				return err
			}
			if *visited++; meta.Sequence.Consumer != *visited {
				return errMissed
			}
			if err := visit(msg); err != nil {
				return err
			}
			left--
		case statusHeartbeat:
			if sent, _ := strconv.ParseUint(msg.Header.Get("Nats-Last-Consumer"), 10, 64); sent > *visited {
				return errMissed // it got lost between servers, and may be the last for long
			}
		case statusExpired:
			return nil
		default:
			return fmt.Errorf("the consumer has answered %s %s", status, msg.Header.Get("Description"))
		}
	}
	return nil
}

// nextBeat is the next message, or the sign that there is none.
func nextBeat(ctx context.Context, sub *nats.Subscription) (*nats.Msg, error) {
	inTime, cancel := context.WithTimeout(ctx, missedBeats)
	defer cancel()
	msg, err := sub.NextMsgWithContext(inTime)
	if err != nil && inTime.Err() != nil && ctx.Err() == nil {
		return nil, errSilent
	}
	return msg, err
}
