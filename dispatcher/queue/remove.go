package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// removers delete settled packs at the same time.
	removers = 8
	// maxRemovals bounds the packs that wait to be deleted; beyond it whoever
	// settles one waits too.
	maxRemovals = 1024
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
	q    *Queue
	in   chan removal
	stop context.Context
	halt context.CancelFunc
	wg   sync.WaitGroup
}

func newRemover(q *Queue) *remover {
	r := &remover{q: q, in: make(chan removal, maxRemovals)}
	r.stop, r.halt = context.WithCancel(q.works)
	for range removers {
		r.wg.Go(r.run)
	}
	return r
}

func (r *remover) remove(stream string, seq uint64, done func()) {
	select {
	case r.in <- removal{stream, seq, done}:
	case <-r.stop.Done(): // it comes again
	}
}

func (r *remover) run() {
	for {
		select {
		case m := <-r.in:
			r.delete(m)
		case <-r.stop.Done():
			for { // what was handed in before the stop
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

// delete tries until m is gone or the remover stops. Then it comes again,
// which receivers recognise by its ids.
func (r *remover) delete(m removal) {
	for {
		err := r.q.deleteMessage(m.stream, m.seq)
		if err == nil {
			m.done()
			return
		}
		if r.stop.Err() != nil {
			r.q.opts.Log.Warn("a settled pack cannot be removed and will come again", "stream", m.stream, "err", err)
			return
		}
		wait(r.stop, removePause)
	}
}

// close deletes what was handed in, with one try each.
func (r *remover) close() {
	r.halt()
	r.wg.Wait()
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
