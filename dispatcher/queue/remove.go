package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// removers delete settled packs at the same time.
	removers = 8
	// maxRemovals bounds the packs that wait to be deleted; beyond it whoever
	// settles one waits too, until the queue halts.
	maxRemovals = 1024
	// calmPause lies between two looks at how many there are.
	calmPause = 10 * time.Millisecond
	// removePause lies between two tries to delete a pack.
	removePause = time.Second
)

// A removal is a settled pack, which is to be deleted before it can come again.
type removal struct {
	stream string
	seq    uint64
	done   func() // called when it is gone
}

// A remover deletes packs by their sequence, aside from whoever settles them.
type remover struct {
	q      *Queue
	in     chan removal
	halted context.Context // when nobody may wait for the store any more
	halt   context.CancelFunc
	end    chan struct{} // closed when nothing more comes
	left   atomic.Int64  // packs that come again
	wg     sync.WaitGroup
}

func newRemover(q *Queue) *remover {
	r := &remover{q: q, in: make(chan removal, maxRemovals), end: make(chan struct{})}
	r.halted, r.halt = context.WithCancel(q.works)
	for range removers {
		r.wg.Go(r.run)
	}
	return r
}

func (r *remover) remove(stream string, seq uint64, done func()) {
	m := removal{stream, seq, done}
	select {
	case r.in <- m:
		return
	default:
	}
	select {
	case r.in <- m:
	case <-r.halted.Done():
		r.left.Add(1)
	}
}

// calm returns once few packs wait to be deleted, or with the error of ctx. What
// has a key is deleted one by one, and each deletion is synced: whoever takes it
// waits, rather than whoever settles.
func (r *remover) calm(ctx context.Context) error {
	for len(r.in) > maxRemovals/2 && ctx.Err() == nil {
		wait(ctx, calmPause)
	}
	return ctx.Err()
}

func (r *remover) run() {
	for {
		select {
		case m := <-r.in:
			r.delete(m)
		case <-r.end:
			for { // what was handed in before
				select {
				case m := <-r.in:
					r.delete(m)
				default:
					return
				}
			}
		}
	}
}

// delete tries until m is gone, or once after the remover was halted.
func (r *remover) delete(m removal) {
	for {
		err := r.q.deleteMessage(m.stream, m.seq)
		if err == nil {
			m.done()
			return
		}
		if r.halted.Err() != nil {
			r.left.Add(1)
			return
		}
		wait(r.halted, removePause)
	}
}

// close deletes what was handed in, with one try each. What is left comes
// again, which receivers recognise by its ids.
func (r *remover) close() {
	r.halt()
	close(r.end)
	r.wg.Wait()
	if n := r.left.Load(); n > 0 {
		r.q.opts.Log.Warn("settled packs could not be removed and will come again", "packs", n)
	}
}

// Codes of JetStream for a message that is not there.
const (
	codeNoMessage  = 10037
	codeNoSequence = 10043
	textNoMessage  = "no message found" // the code for that, 10057, is shared
)

// deleteMessage returns nil once the message is not there.
func (q *Queue) deleteMessage(stream string, seq uint64) error {
	ctx, cancel := context.WithTimeout(q.works, publishTimeout)
	defer cancel()
	err := ask(ctx, q.nc, &nats.Msg{
		Subject: api + "STREAM.MSG.DELETE." + stream, Data: fmt.Appendf(nil, `{"seq":%d,"no_erase":true}`, seq),
	}, &struct{}{})
	if refusal, ok := errors.AsType[*jetstream.APIError](err); ok && refusal.Description == textNoMessage || hasCode(err, codeNoMessage, codeNoSequence) {
		return nil
	}
	return err
}
