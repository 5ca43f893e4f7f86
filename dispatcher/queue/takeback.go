package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// forgetPause lies between two looks whether the server has forgotten a request.
	forgetPause = 10 * time.Millisecond
	// putOff refuses a message for longer than taking back lasts. What the server
	// itself knows to be lost is then no longer the first in its queue.
	putOff = "-NAK 1m"
)

// takeBack has what was given out and is not held come again, in its order:
// what another life had, and what was lost with a connection. What was settled
// does not come, unless the server has not heard of that. Resetting the consumer
// would bring all again which came after the oldest that is not settled. The server
// takes each message for refused: it only looks whether it is under way, and at
// the place in the consumer whether that can be. The last word changes nothing:
// its answer comes when the server has worked off all before it. Whoever asked for
// messages before that would get newer ones first.
func (f *feed) takeBack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	info, err := f.alone(ctx)
	if err != nil || info.NumAckPending == 0 {
		return err
	}
	for _, how := range []string{putOff, "-NAK"} {
		for seq := info.AckFloor.Stream + 1; seq <= info.Delivered.Stream; seq++ {
			if f.held.holds(seq) {
				continue
			}
			if err := f.q.nc.Publish(f.subjectOfAck(seq, info), []byte(how)); err != nil {
				return err
			}
		}
	}
	_, err = f.q.nc.RequestWithContext(ctx, f.subjectOfAck(info.Delivered.Stream, info), []byte("+WPI"))
	return err
}

func (f *feed) subjectOfAck(seq uint64, info *jetstream.ConsumerInfo) string {
	return fmt.Sprintf("$JS.ACK.%s.%s.1.%d.%d.0.0", f.stream, f.consumer, seq, info.Delivered.Consumer)
}

// alone returns once the server gives nothing out any more: it may not have
// noticed yet that a connection is gone, and answer to there what was asked.
func (f *feed) alone(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	for {
		c, err := f.q.js.Consumer(ctx, f.stream, f.consumer)
		if err != nil {
			return nil, err
		}
		if info := c.CachedInfo(); info.NumWaiting == 0 {
			return info, nil
		}
		wait(ctx, forgetPause)
	}
}
