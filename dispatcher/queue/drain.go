package queue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// drainIdle is how long a drain that nobody asks is remembered.
	drainIdle = 10 * time.Second
	// maxDrains bounds the consumers in use at once: JetStream allows 1,000 per
	// stream. Beyond it the one that was asked longest ago goes; what it has
	// given out may then come again.
	maxDrains = 500
)

// drains are the queues of routes that are being emptied. A dispatcher that has
// the store for itself reads each from its front on: what it has handed out it
// knows, and a restart forgets it. Dispatchers that share the store take from
// one consumer per route, which exists only while its queue drains and gives
// each pack to one of them.
type drains struct {
	mu     sync.Mutex
	routes map[string]*drain
}

type drain struct {
	mu    sync.Mutex
	used  time.Time
	ended bool
	from  uint64 // exclusive: what is earlier was handed out
	made  bool   // shared: the consumer was made

	// What the consumer brings bears its own subject, not that of an answer, so
	// it needs a subscription.
	answers *nats.Subscription
}

// A frontPack is the next pack of a queue. It is held.
type frontPack struct {
	seq   uint64
	count int // of deliveries, as its subject says
	data  []byte
}

// next takes the next pack of a route, nil when there is none that nobody has.
func (ds *drains) next(ctx context.Context, q *Queue, route string) (*frontPack, error) {
	d := ds.lock(q, route)
	defer d.mu.Unlock()
	for {
		pack, msg, err := d.front(ctx, q, route)
		if err != nil || pack == nil {
			return nil, err
		}
		if q.held.waiting.hold(pack.seq, msg) {
			return pack, nil
		}
	}
}

func (d *drain) front(ctx context.Context, q *Queue, route string) (*frontPack, *nats.Msg, error) {
	if q.opts.Exclusive {
		pack, err := d.read(ctx, q, route)
		return pack, nil, err
	}
	return d.pull(ctx, q, route)
}

// read reads the first pack of the queue that was not handed out.
func (d *drain) read(ctx context.Context, q *Queue, route string) (*frontPack, error) {
	msg, err := q.waiting.GetMsg(ctx, max(d.from, 1), jetstream.WithGetMsgSubject(subjectsOfWaiting(route)))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d.from = msg.Sequence + 1
	_, count, _ := packOfSubject(msg.Subject)
	return &frontPack{seq: msg.Sequence, count: count, data: msg.Data}, nil
}

// nextPack asks for one message, if there is one.
var nextPack = pullRequest{Batch: 1, NoWait: true}.encode()

// pull takes a pack from the consumer of the route, making it when it is not
// there: it expires when nobody asks, and a server that goes may take it along.
func (d *drain) pull(ctx context.Context, q *Queue, route string) (*frontPack, *nats.Msg, error) {
	name := consumerOfDrain(route)
	for range 2 {
		if err := d.ready(ctx, q, name, route); err != nil {
			return nil, nil, err
		}
		msg, err := d.ask(ctx, q, subjectOfPull(streamWaiting, name))
		if err != nil {
			return nil, nil, err
		}
		switch statusOf(msg) {
		case "":
			_, count, _ := packOfSubject(msg.Subject)
			pack := &frontPack{seq: sequenceOf(msg), count: count, data: msg.Data}
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
func (d *drain) ready(ctx context.Context, q *Queue, name, route string) (err error) {
	if d.answers == nil {
		if d.answers, err = q.nc.SubscribeSync(q.nc.NewInbox()); err != nil {
			return err
		}
	}
	if !d.made {
		if err := q.makeDrain(ctx, name, route); err != nil {
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
	d.ended = true
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
func consumerOfDrain(route string) string {
	sum := sha256.Sum256([]byte(route))
	return "drain-" + hex.EncodeToString(sum[:16])
}

// makeDrain makes the consumer of a route. Its state is in memory: when that is
// lost, packs come again.
func (q *Queue) makeDrain(ctx context.Context, name, route string) error {
	_, err := q.waiting.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: name, Description: "takes from the queue of " + route, FilterSubject: subjectsOfWaiting(route),
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: q.opts.ackWait, MaxAckPending: -1,
		MemoryStorage: true, InactiveThreshold: ackWait,
	})
	return err
}

// lock returns the drain of a route, locked.
func (ds *drains) lock(q *Queue, route string) *drain {
	for {
		d := ds.of(q, route)
		d.mu.Lock()
		if !d.ended {
			return d
		}
		d.mu.Unlock()
	}
}

// of returns the drain of a route, making it at first use.
func (ds *drains) of(q *Queue, route string) *drain {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	d := ds.routes[route]
	if d == nil {
		if ds.routes == nil {
			ds.routes = map[string]*drain{}
		}
		if len(ds.routes) >= maxDrains {
			ds.dropLongestIdle(q)
		}
		d = &drain{}
		ds.routes[route] = d
	}
	d.used = time.Now()
	return d
}

func (ds *drains) dropLongestIdle(q *Queue) {
	var longest string
	for route, d := range ds.routes {
		if longest == "" || d.used.Before(ds.routes[longest].used) {
			longest = route
		}
	}
	go ds.routes[longest].end() // it may be asking
	delete(ds.routes, longest)
	q.unmakeDrain(longest)
}

// restart makes the next call look at the queue from its front.
func (ds *drains) restart(q *Queue, route string) {
	d := ds.lock(q, route)
	defer d.mu.Unlock()
	d.from = 0
}

// tidy ends the drains that nobody has asked for a while. What others have
// taken from a consumer stays with it until it expires.
func (ds *drains) tidy(ctx context.Context, q *Queue, now time.Time) {
	for route, d := range ds.takeIdle(now) {
		d.end()
		if q.opts.Exclusive {
			continue
		}
		c, err := q.waiting.Consumer(ctx, consumerOfDrain(route))
		if err == nil && c.CachedInfo().NumAckPending == 0 {
			q.unmakeDrain(route)
		}
	}
}

func (ds *drains) takeIdle(now time.Time) map[string]*drain {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	idle := map[string]*drain{}
	for route, d := range ds.routes {
		if now.Sub(d.used) > drainIdle {
			idle[route] = d
			delete(ds.routes, route)
		}
	}
	return idle
}

// unmakeDrain deletes the consumer of a route without waiting for an answer:
// else it expires.
func (q *Queue) unmakeDrain(route string) {
	if !q.opts.Exclusive {
		_ = q.nc.Publish(api+"CONSUMER.DELETE."+streamWaiting+"."+consumerOfDrain(route), nil)
	}
}
