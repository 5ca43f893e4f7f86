package ingest

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// A room bounds the bodies in memory, those of all and those of each namespace.
type room struct {
	all  *semaphore.Weighted
	each int64 // bytes of one namespace

	mu     sync.Mutex
	shares map[string]*share // of namespaces with a body, held or waiting
}

type share struct {
	held  *semaphore.Weighted
	users int
}

func newRoom(all, each int64) *room {
	return &room{all: semaphore.NewWeighted(all), each: each, shares: map[string]*share{}}
}

// A hold is room that somebody has. Whoever has it releases it once.
type hold struct {
	room      *room
	share     *share
	namespace string
	n         int64
}

// try takes n bytes of room if they are there at once. Who waits goes first.
func (r *room) try(namespace string, n int64) (hold, bool) {
	s := r.enter(namespace)
	if s.held.TryAcquire(n) {
		if r.all.TryAcquire(n) {
			return hold{r, s, namespace, n}, true
		}
		s.held.Release(n)
	}
	r.leave(namespace, s)
	return hold{}, false
}

// wait waits for n bytes of room. It waits for the namespace's share first, so
// that who exceeds it does not stand in the way of others. It fails when ctx ends.
func (r *room) wait(ctx context.Context, namespace string, n int64) (hold, error) {
	s := r.enter(namespace)
	if err := s.held.Acquire(ctx, n); err != nil {
		r.leave(namespace, s)
		return hold{}, err
	}
	if err := r.all.Acquire(ctx, n); err != nil {
		s.held.Release(n)
		r.leave(namespace, s)
		return hold{}, err
	}
	return hold{r, s, namespace, n}, nil
}

func (h hold) release() {
	h.room.all.Release(h.n)
	h.share.held.Release(h.n)
	h.room.leave(h.namespace, h.share)
}

func (r *room) enter(namespace string) *share {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.shares[namespace]
	if !ok {
		s = &share{held: semaphore.NewWeighted(r.each)}
		r.shares[namespace] = s
	}
	s.users++
	return s
}

func (r *room) leave(namespace string, s *share) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(r.shares, namespace)
	}
}
