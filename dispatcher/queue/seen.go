package queue

import (
	"sync"
	"time"

	"github.com/postrider/postrider/dispatcher/event"
)

const (
	// seenWindow is how long, at least, an event that comes again is
	// recognised; at most it is twice as long.
	seenWindow = 5 * time.Minute
	// maxSeen bounds each of the two generations: about 20 MB. Beyond it the
	// window is shorter; receivers still see the same webhook-id.
	maxSeen = 500_000
)

// seen remembers which events were stored, in two generations: the younger
// takes what is new, the older is forgotten as a whole. Events that are on
// their way to the disk are flights: whoever brings the same event meanwhile
// waits for that flight, for its 202 must mean durable too.
type seen struct {
	mu             sync.Mutex
	younger, older map[event.Key]struct{}
	turned         time.Time // when younger began
	flights        map[event.Key]*flight
}

// A flight is one append under way.
type flight struct {
	landed chan struct{} // closed when the append has ended; nil while nobody waits
	err    error         // readable then
}

func newSeen(now time.Time) *seen {
	return &seen{
		younger: map[event.Key]struct{}{}, older: map[event.Key]struct{}{}, turned: now,
		flights: map[event.Key]*flight{},
	}
}

// board sorts keys: it marks in mine those that the caller has to store, under
// the flight f, which it ends with land. others are the flights of the rest that
// are not stored yet.
func (s *seen) board(f *flight, keys []event.Key, mine []bool, now time.Time) (others []*flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(now)
	for i, k := range keys {
		if other := s.flights[k]; other != nil {
			if other != f { // the same event twice in one batch needs no waiting
				if other.landed == nil {
					other.landed = make(chan struct{})
				}
				others = append(others, other)
			}
			continue
		}
		if s.has(k) {
			continue
		}
		mine[i] = true
		s.flights[k] = f
	}
	return others
}

// land ends f with err and remembers its keys when there was none.
func (s *seen) land(f *flight, keys []event.Key, mine []bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, k := range keys {
		if !mine[i] {
			continue
		}
		delete(s.flights, k)
		if err == nil {
			s.younger[k] = struct{}{}
		}
	}
	f.err = err
	if f.landed != nil {
		close(f.landed)
	}
}

// recall remembers k, which was stored before the start: it is forgotten with
// the older ones, and takes no room from what is new.
func (s *seen) recall(k event.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.older) < maxSeen {
		s.older[k] = struct{}{}
	}
}

// Seen reports whether the event with the key was stored lately: Append would not
// store it again. One that is being stored was not yet.
func (q *Queue) Seen(k event.Key) bool {
	q.seen.mu.Lock()
	defer q.seen.mu.Unlock()
	return q.seen.has(k)
}

func (s *seen) has(k event.Key) bool {
	if _, ok := s.younger[k]; ok {
		return true
	}
	_, ok := s.older[k]
	return ok
}

func (s *seen) turn(now time.Time) {
	if now.Sub(s.turned) < seenWindow && len(s.younger) < maxSeen {
		return
	}
	s.older, s.younger, s.turned = s.younger, map[event.Key]struct{}{}, now
}
