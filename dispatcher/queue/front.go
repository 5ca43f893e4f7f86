package queue

import (
	"context"
	"errors"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/postrider/postrider/dispatcher/deliver"
)

// fronts are the queues that only this dispatcher reads, as far as something of
// them is handed out or being read: all of a store that nobody shares, else those
// of keys, for who owns what is ordered. Of the others nothing need be known: all
// that the store holds of them nobody has. So there may be any number of queues,
// and whoever follows hands out anew what was handed out.
type fronts struct {
	mu     sync.Mutex
	queues map[deliver.QueueID]*front
}

type front struct {
	users int // reads under way, and packs that are handed out; of fronts.mu

	reading sync.Mutex // one after the other
	from    uint64     // what is earlier was handed out
}

// next hands out the first pack of a queue that was not handed out, nil when
// there is none.
func (fs *fronts) next(ctx context.Context, q *Queue, id deliver.QueueID) (*frontPack, error) {
	f := fs.enter(id)
	pack, err := f.next(ctx, q, id)
	if pack == nil {
		fs.leave(id)
	}
	return pack, err
}

func (f *front) next(ctx context.Context, q *Queue, id deliver.QueueID) (*frontPack, error) {
	f.reading.Lock()
	defer f.reading.Unlock()
	msg, err := q.waiting.GetMsg(ctx, max(f.from, 1), jetstream.WithGetMsgSubject(subjectsOfQueue(id)))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, q.knows(ctx)
	}
	if err != nil {
		return nil, err
	}
	f.from = msg.Sequence + 1
	q.held.waiting.hold(msg.Sequence, nil)
	_, count, _ := packOfSubject(msg.Subject)
	return &frontPack{queue: id, seq: msg.Sequence, count: count, data: msg.Data, bytes: len(msg.Data)}, nil
}

// knows returns nil unless who answers for Waiting elsewhere knows less of it than
// we do: a new leader may be behind, and what it does not find is not gone.
func (q *Queue) knows(ctx context.Context) error {
	if !q.remote() {
		return nil
	}
	info, err := q.waiting.Info(ctx)
	if err == nil && info.State.LastSeq < q.written.Load() {
		return errBehind
	}
	return err
}

func (fs *fronts) enter(id deliver.QueueID) *front {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := fs.queues[id]
	if f == nil {
		if fs.queues == nil {
			fs.queues = map[deliver.QueueID]*front{}
		}
		f = &front{}
		fs.queues[id] = f
	}
	f.users++
	return f
}

// leave ends a read that brought nothing, or follows when a pack that was handed
// out is deleted, or is to come again. That it does once nothing else of its
// queue is handed out.
func (fs *fronts) leave(id deliver.QueueID) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := fs.queues[id]
	if f.users--; f.users == 0 {
		delete(fs.queues, id)
	}
}
