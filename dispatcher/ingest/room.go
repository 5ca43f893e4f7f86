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

// acquire waits for n bytes of room and returns what gives them back. It waits
// for the namespace's share first, so that who exceeds it does not stand in the
// way of others. It fails when ctx ends.
func (r *room) acquire(ctx context.Context, namespace string, n int64) (release func(), err error) {
	s := r.enter(namespace)
	if err := s.held.Acquire(ctx, n); err != nil {
		r.leave(namespace, s)
		return nil, err
	}
	if err := r.all.Acquire(ctx, n); err != nil {
		s.held.Release(n)
		r.leave(namespace, s)
		return nil, err
	}
	return func() {
		r.all.Release(n)
		s.held.Release(n)
		r.leave(namespace, s)
	}, nil
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
