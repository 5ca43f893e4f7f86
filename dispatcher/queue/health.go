package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/postrider/postrider/dispatcher/event"
)

// Healthy returns nil unless only a restart can help: the connection is closed
// for good, or the server of this process cannot write any more, which wants
// room on its disk first. It is for liveness.
func (q *Queue) Healthy() error {
	if q.nc.IsClosed() {
		return errors.New("the connection to the store is closed")
	}
	if q.remote() {
		return nil
	}
	if err := q.opts.Alive(); err != nil {
		return err
	}
	if text := q.broken.Load(); text != nil {
		return errors.New("the store cannot be written (" + *text + "); make room on its disk and restart the dispatcher")
	}
	return nil
}

// Ready returns nil while events can be stored, as far as is known: the store is
// connected, and the last append did not fail for another reason than want of
// room. It is for readiness.
func (q *Queue) Ready() error {
	if err := q.Healthy(); err != nil {
		return err
	}
	if !q.nc.IsConnected() {
		return errors.New("no NATS server can be reached; trying again")
	}
	if text := q.broken.Load(); text != nil {
		return errors.New("the store cannot be written (" + *text + "); trying again")
	}
	return nil
}

// keepTrying finds out whether servers elsewhere can be written again: while the
// queue is not ready nobody may send events that would.
func (q *Queue) keepTrying(ctx context.Context) {
	for ctx.Err() == nil {
		wait(ctx, tick)
		if q.remote() && q.broken.Load() != nil && q.probing.CompareAndSwap(false, true) {
			if q.appends.commit(arrivals{}) == nil { // a pack of no events
				q.opts.Log.Info("the store can be written again")
			}
			q.probing.Store(false)
		}
	}
}

// Full returns nil while events are accepted, and why they are not otherwise.
func (q *Queue) Full() error {
	if why := q.full.Load(); why != nil {
		return fmt.Errorf("%w: %s", event.ErrFull, *why)
	}
	return nil
}
