package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/postrider/postrider/dispatcher/event"
)

const (
	// fetchSize bounds the messages that are asked for at once, and with
	// maxPack the memory that they take.
	fetchSize = 16
	// fetchWait ends a request that nothing came for.
	fetchWait = 30 * time.Second
	// While nothing comes the server beats every second; without a beat for
	// missedBeats the request is lost, and made again.
	heartbeat, missedBeats = time.Second, 3 * time.Second
	// fetchPause follows a failure.
	fetchPause = time.Second
	// missingTries is how often servers elsewhere are asked for a parked pack.
	missingTries = 5
)

// Events hands every stored event to take, in the order of their packs, until
// ctx is done. Before each pack it calls gate, which holds it back while too
// much is under way and returns the error of ctx when that is done.
func (q *Queue) Events(ctx context.Context, gate func(context.Context) error, take func(event.Stored)) {
	f := &feed{q: q, held: &q.held.events, stream: streamEvents, consumer: consumerFanout, gate: gate}
	f.run(ctx, func(seq uint64, msg *nats.Msg) error {
		pack, err := q.packOf(seq, msg)
		if err != nil {
			return err
		}
		events, err := decodeEvents(pack)
		if err != nil {
			return unreadable{pack, err}
		}
		msg.Data = nil // the lease keeps the message
		claims := f.held.claims(len(events), func(i int) *event.Event { return events[i] }, func() { f.settle(seq) })
		for i, e := range events {
			take(event.Stored{Event: e, Seq: seq, Claim: claims[i]})
		}
		return nil
	})
}

// A feed takes messages from a durable consumer.
type feed struct {
	q                *Queue
	stream, consumer string
	gate             func(context.Context) error
	held             *openSet
}

// An arrival is a message, which is held, or the end of a request.
type arrival struct {
	msg    *nats.Msg
	status string // empty for a message
	again  bool   // we had it already: the server took us for dead
}

// run takes messages until ctx is done. What has come by then and was not
// taken is given back.
func (f *feed) run(ctx context.Context, take func(seq uint64, msg *nats.Msg) error) {
	for ctx.Err() == nil {
		if err := f.subscribe(ctx, take); err != nil && ctx.Err() == nil {
			f.q.opts.Log.Warn("reading from the store failed, trying again", "err", err)
			wait(ctx, fetchPause)
		}
	}
}

// subscribe takes messages until it fails, or until the connection has been made
// again: what was on its way then is lost. Who has the store for himself does not
// wait for the server to find out, and has it come again before what is newer.
func (f *feed) subscribe(ctx context.Context, take func(seq uint64, msg *nats.Msg) error) error {
	connections := f.q.nc.Stats().Reconnects
	same := func() bool { return !f.q.opts.Exclusive || f.q.nc.Stats().Reconnects == connections }
	// A request may be answered after we have given it up, so there is room for more than one.
	arrived := make(chan arrival, 8*fetchSize)
	inbox := f.q.nc.NewInbox()
	sub, err := f.q.nc.Subscribe(inbox, func(msg *nats.Msg) { f.arrive(msg, arrived) })
	if err != nil {
		return err
	}
	defer f.leave(ctx, sub, arrived)
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	if f.q.opts.Exclusive {
		if err := f.takeBack(ctx); err != nil {
			return fmt.Errorf("taking back what was given out: %w", err)
		}
	}
	for same() && f.ready(ctx) == nil {
		if err := f.fetch(ctx, inbox, arrived, same, take); err != nil {
			return err
		}
	}
	return nil
}

// arrive runs for each message of the subscription, one after the other.
func (f *feed) arrive(msg *nats.Msg, arrived chan<- arrival) {
	a := arrival{msg: msg, status: statusOf(msg)}
	if a.status == "" {
		a.again = !f.held.hold(sequenceOf(msg), msg) // from now on it is renewed
	}
	if a.again {
		msg.Data = nil
	}
	arrived <- a
}

// leave gives back what has come and was not taken, also what was on its way:
// what nobody takes or gives back would stay ours. While the servers are away
// that goes on behind.
func (f *feed) leave(ctx context.Context, sub *nats.Subscription, arrived <-chan arrival) {
	drained, done := make(chan struct{}), make(chan struct{})
	end := sync.OnceFunc(func() { close(drained) })
	sub.SetClosedHandler(func(string) { end() })
	if err := sub.Drain(); err != nil {
		end()
	}
	go func() {
		defer close(done)
		f.giveAllBack(ctx, arrived, drained)
	}()
	if f.q.opts.Exclusive { // what is taken back next must not come here any more
		select {
		case <-done:
			return
		case <-ctx.Done():
		}
	}
	timeout := time.NewTimer(flushTimeout)
	defer timeout.Stop()
	select {
	case <-done:
	case <-timeout.C:
	}
}

// giveAllBack gives back what arrives until nothing more can.
func (f *feed) giveAllBack(ctx context.Context, arrived <-chan arrival, drained <-chan struct{}) {
	for {
		select {
		case a := <-arrived:
			f.giveBack(ctx, a)
		case <-drained:
			for len(arrived) > 0 {
				f.giveBack(ctx, <-arrived)
			}
			return
		}
	}
}

// giveBack lets go of what is not taken. Who goes on with a store for himself takes
// it back in its order: refused here, it would come before what is older and lost.
func (f *feed) giveBack(ctx context.Context, a arrival) {
	if a.status != "" || a.again {
		return
	}
	f.held.letGo(sequenceOf(a.msg))
	if !f.q.opts.Exclusive || ctx.Err() != nil {
		_ = a.msg.Nak() // else it comes again when its time is over
	}
}

// ready returns once there is room for another message, or with the error of ctx.
func (f *feed) ready(ctx context.Context) error {
	if err := f.gate(ctx); err != nil {
		return err
	}
	return f.held.room(ctx)
}

// nextMessages is the request of a fetch.
var nextMessages = pullRequest{Batch: fetchSize, Expires: fetchWait, Heartbeat: heartbeat}.encode()

// fetch asks for messages and hands them to take until all have come or the
// request has ended, or the connection is no longer the same.
func (f *feed) fetch(ctx context.Context, inbox string, arrived <-chan arrival, same func() bool, take func(seq uint64, msg *nats.Msg) error) error {
	if err := f.q.nc.PublishRequest(subjectOfPull(f.stream, f.consumer), inbox, nextMessages); err != nil {
		return err
	}
	silence := time.NewTimer(missedBeats)
	defer silence.Stop()
	for left := fetchSize; left > 0; {
		select {
		case <-ctx.Done():
			return nil
		case <-silence.C:
			return nil // asked again: the answer got lost, or the server was away
		case a := <-arrived:
			switch a.status {
			case "":
				left--
				if a.again {
					break
				}
				if f.ready(ctx) != nil || !same() {
					f.giveBack(ctx, a)
					return nil
				}
				if err := f.hand(a.msg, take); err != nil {
					return err
				}
			case statusHeartbeat:
			case statusNobody:
				return fmt.Errorf("there is no consumer %s, or no leader of it", f.consumer)
			default:
				return nil // the request has expired, or its server gives it up
			}
			silence.Reset(missedBeats)
		}
	}
	return nil
}

// hand returns an error when nothing can be taken now. Who has the store for himself
// then begins anew with that message, so that the next ones do not overtake it.
func (f *feed) hand(msg *nats.Msg, take func(seq uint64, msg *nats.Msg) error) error {
	seq := sequenceOf(msg)
	err := take(seq, msg)
	if u, ok := errors.AsType[unreadable](err); ok {
		if err = f.q.setAside(u); err == nil {
			f.held.letGo(seq)
			err = msg.Term()
		}
	}
	if err == nil {
		return nil
	}
	f.held.letGo(seq)
	if f.q.opts.Exclusive && Passing(err) {
		return err
	}
	f.q.opts.Log.Warn("a stored message cannot be taken now and will come again", "stream", f.stream, "err", err)
	_ = msg.NakWithDelay(fetchPause) // else it comes again when its time is over
	return nil
}

// missing deals with a message whose pack is not there: settled, before a crash,
// unless servers elsewhere have just lost sight of it. They are asked a few
// times, and until their stream has come as far as the pack: a new leader may
// be behind.
func (f *feed) missing(ctx context.Context, seq uint64, msg *nats.Msg, parked uint64) error {
	if f.q.remote() {
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		last, err := f.q.lastParked(ctx)
		if err != nil {
			return err
		}
		if meta.NumDelivered < missingTries || last < parked {
			return errors.New("the pack is not there, looking again")
		}
	}
	f.settle(seq)
	return nil
}

// settle acknowledges a message. When the ack is lost it comes again, which
// receivers recognise by its ids; waiting for an answer would cost every pack.
func (f *feed) settle(seq uint64) {
	if msg := f.held.letGo(seq); msg != nil {
		_ = msg.Ack()
	}
}

// unreadable is the error of a message that cannot be decoded.
type unreadable struct {
	data []byte
	why  error
}

func (u unreadable) Error() string { return u.why.Error() }

// setAside keeps what cannot be read where a person, or a later version, finds
// it; asking for it again would not make it readable.
func (q *Queue) setAside(u unreadable) error {
	aside := nats.NewMsg(subjectUnreadable)
	aside.Data = u.data
	if _, err := q.publishAll([]*nats.Msg{aside}); err != nil {
		return err
	}
	q.opts.Log.Error("a stored message cannot be read and is set aside", "subject", subjectUnreadable, "bytes", len(u.data), "err", u.why)
	return nil
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
