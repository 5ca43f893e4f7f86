package operate

import "sync"

// slots bound what is under way: in all, and of each key.
type slots struct {
	total, share int

	mu    sync.Mutex
	taken int
	by    map[string]int
}

func newSlots(total, share int) *slots {
	return &slots{total: total, share: share, by: map[string]int{}}
}

// take takes a slot, if there is one; release gives it back.
func (s *slots) take(key string) (release func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken == s.total || s.by[key] == s.share {
		return nil, false
	}
	s.taken++
	s.by[key]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taken--
		if s.by[key]--; s.by[key] == 0 {
			delete(s.by, key)
		}
	}, true
}
