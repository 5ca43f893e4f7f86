// Package share divides what is bounded among those who use it: so much for all,
// and so much for each, so that nobody leaves nothing to the others.
package share

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// A Pool bounds what is in use: of all, and of each key, such as a namespace. Its
// units are its owner's: bytes, or calls under way.
type Pool struct {
	all  *semaphore.Weighted
	each int64

	mu     sync.Mutex
	shares map[string]*share // of keys that use some, or wait
}

type share struct {
	held  *semaphore.Weighted
	users int
}

// New makes a Pool of so many units, of which a key may have so many.
func New(all, each int64) *Pool {
	return &Pool{all: semaphore.NewWeighted(all), each: each, shares: map[string]*share{}}
}

// A Hold is what somebody has of a Pool. Whoever has it releases it once.
type Hold struct {
	pool  *Pool
	share *share
	key   string
	n     int64
}

// Try takes n units if they are there at once. Who waits goes first.
func (p *Pool) Try(key string, n int64) (Hold, bool) {
	s := p.enter(key)
	if s.held.TryAcquire(n) {
		if p.all.TryAcquire(n) {
			return Hold{p, s, key, n}, true
		}
		s.held.Release(n)
	}
	p.leave(key, s)
	return Hold{}, false
}

// Wait waits for n units. It waits for the share of the key first, so that who
// exceeds it does not stand in the way of others. It fails when ctx ends.
func (p *Pool) Wait(ctx context.Context, key string, n int64) (Hold, error) {
	s := p.enter(key)
	if err := s.held.Acquire(ctx, n); err != nil {
		p.leave(key, s)
		return Hold{}, err
	}
	if err := p.all.Acquire(ctx, n); err != nil {
		s.held.Release(n)
		p.leave(key, s)
		return Hold{}, err
	}
	return Hold{p, s, key, n}, nil
}

// Release gives back what h holds.
func (h Hold) Release() {
	h.pool.all.Release(h.n)
	h.share.held.Release(h.n)
	h.pool.leave(h.key, h.share)
}

func (p *Pool) enter(key string) *share {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.shares[key]
	if !ok {
		s = &share{held: semaphore.NewWeighted(p.each)}
		p.shares[key] = s
	}
	s.users++
	return s
}

func (p *Pool) leave(key string, s *share) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(p.shares, key)
	}
}
