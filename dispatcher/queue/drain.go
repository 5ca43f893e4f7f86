package queue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/postrider/postrider/dispatcher/deliver"
)

const (
	// drainIdle is how long a drain that nobody asks is remembered.
	drainIdle = 10 * time.Second
	// maxDrains bounds the consumers in use at once: JetStream allows 1,000 per
	// stream. Beyond it the one that was asked longest ago goes, of those that
	// have nothing given out here; what another dispatcher has from it may then
	// come again.
	maxDrains = 500
)

var errDrains = fmt.Errorf("of %d queues something is taken and not settled, which is as many as can be", maxDrains)

// drains are the queues of routes that are being emptied in a store that
// dispatchers share. They take from one consumer per queue, which exists only while it
// drains and gives each pack to one of them.
type drains struct {
	mu     sync.Mutex
	queues map[deliver.QueueID]*drain
}

type drain struct {
	used  time.Time // with drains.mu, as users
	users int       // calls under way, and packs that are given out here

	mu   sync.Mutex
	made bool // the consumer was made

	// What the consumer brings bears its own subject, not that of an answer, so
	// it needs a subscription.
	answers *nats.Subscription
}

// next takes the next pack of a queue, nil when there is none that nobody has.
// It is held.
func (ds *drains) next(ctx context.Context, q *Queue, id deliver.QueueID) (*frontPack, error) {
	d, err := ds.enter(q, id)
	if err != nil {
		return nil, err
	}
	pack, err := d.next(ctx, q, id)
	if pack == nil {
		ds.leave(id)
	}
	return pack, err
}

func (d *drain) next(ctx context.Context, q *Queue, id deliver.QueueID) (*frontPack, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		pack, msg, err := d.pull(ctx, q, id)
		if err != nil || pack == nil {
			return nil, err
		}
		if q.held.waiting.hold(pack.seq, msg) {
			return pack, nil
		}
	}
}

// nextPack asks for one message, if there is one.
var nextPack = pullRequest{Batch: 1, NoWait: true}.encode()

// pull takes a pack from the consumer of the queue, making it when it is not
// there: it expires when nobody asks, and a server that goes may take it along.
func (d *drain) pull(ctx context.Context, q *Queue, id deliver.QueueID) (*frontPack, *nats.Msg, error) {
	name := consumerOfDrain(id)
	for range 2 {
		if err := d.ready(ctx, q, name, id); err != nil {
			return nil, nil, err
		}
		msg, err := d.ask(ctx, q, subjectOfPull(streamWaiting, name))
		if err != nil {
			return nil, nil, err
		}
		switch statusOf(msg) {
		case "":
			_, count, _ := packOfSubject(msg.Subject)
			pack := &frontPack{queue: id, seq: sequenceOf(msg), count: count, data: msg.Data, bytes: len(msg.Data)}
			msg.Data = nil // the lease keeps the message
			return pack, msg, nil
		case statusNone, statusExpired:
			return nil, nil, nil
		default:
			d.made = false
		}
	}
	return nil, nil, fmt.Errorf("the consumer %s does not answer", name)
}

// ready makes what pull needs and is not there yet.
func (d *drain) ready(ctx context.Context, q *Queue, name string, id deliver.QueueID) (err error) {
	if d.answers == nil {
		if d.answers, err = q.nc.SubscribeSync(q.nc.NewInbox()); err != nil {
			return err
		}
	}
	if !d.made {
		if err := q.makeDrain(ctx, name, id); err != nil {
			return err
		}
		d.made = true
	}
	return nil
}

func (d *drain) ask(ctx context.Context, q *Queue, subject string) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	if err := q.nc.PublishRequest(subject, d.answers.Subject, nextPack); err != nil {
		return nil, err
	}
	return d.answers.NextMsgWithContext(ctx)
}

// end gives back what came after all. Nobody uses d any more.
func (d *drain) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.answers == nil {
		return
	}
	for {
		msg, err := d.answers.NextMsg(time.Nanosecond)
		if err != nil {
			break
		}
		if statusOf(msg) == "" {
			_ = msg.Nak()
		}
	}
	_ = d.answers.Unsubscribe()
}

// consumerOfDrain is the same for all dispatchers. A route may be longer than
// a consumer's name.
func consumerOfDrain(id deliver.QueueID) string {
	sum := sha256.Sum256([]byte(id.Route))
	return "drain-" + hex.EncodeToString(sum[:16])
}

// makeDrain makes the consumer of a queue. Its state is in memory: when that is
// lost, packs come again.
func (q *Queue) makeDrain(ctx context.Context, name string, id deliver.QueueID) error {
	_, err := q.waiting.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: name, Description: "takes from the queue of " + id.Route, FilterSubject: subjectsOfQueue(id),
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: q.opts.ackWait, MaxAckPending: -1,
		MemoryStorage: true, InactiveThreshold: ackWait,
	})
	return err
}

// enter returns the drain of a queue, making it at first use, for a call that
// ends with leave.
func (ds *drains) enter(q *Queue, id deliver.QueueID) (*drain, error) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	d := ds.queues[id]
	if d == nil {
		if ds.queues == nil {
			ds.queues = map[deliver.QueueID]*drain{}
		}
		if len(ds.queues) >= maxDrains && !ds.dropLongestIdle(q) {
			return nil, errDrains
		}
		d = &drain{}
		ds.queues[id] = d
	}
	d.users++
	d.used = time.Now()
	return d, nil
}

// leave ends a call that brought nothing, or follows when what it brought is let go.
func (ds *drains) leave(id deliver.QueueID) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	ds.queues[id].users--
}

func (ds *drains) dropLongestIdle(q *Queue) bool {
	var longest deliver.QueueID
	for id, d := range ds.queues {
		if d.users == 0 && (longest.Route == "" || d.used.Before(ds.queues[longest].used)) {
			longest = id
		}
	}
	if longest.Route == "" {
		return false
	}
	ds.queues[longest].end()
	delete(ds.queues, longest)
	q.unmakeDrain(longest)
	return true
}

// tidy ends the drains that nobody has asked for a while, and of which nothing is
// given out here. What others have taken from a consumer stays with it until it expires.
func (ds *drains) tidy(ctx context.Context, q *Queue, now time.Time) {
	for id, d := range ds.takeIdle(now) {
		d.end()
		c, err := q.waiting.Consumer(ctx, consumerOfDrain(id))
		if err == nil && c.CachedInfo().NumAckPending == 0 {
			q.unmakeDrain(id)
		}
	}
}

func (ds *drains) takeIdle(now time.Time) map[deliver.QueueID]*drain {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	idle := map[deliver.QueueID]*drain{}
	for id, d := range ds.queues {
		if d.users == 0 && now.Sub(d.used) > drainIdle {
			idle[id] = d
			delete(ds.queues, id)
		}
	}
	return idle
}

// unmakeDrain deletes the consumer of a queue without waiting for an answer:
// else it expires.
func (q *Queue) unmakeDrain(id deliver.QueueID) {
	_ = q.nc.Publish(api+"CONSUMER.DELETE."+streamWaiting+"."+consumerOfDrain(id), nil)
}
