package outcome

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// A Recorder keeps a [Summary] per route. It never blocks a delivery for
// longer than a map access, and it is bounded by [Recorder.Retain]. The zero
// Recorder discards everything, so tests and tools need not build one.
type Recorder struct{ s *store }

type store struct {
	mu       sync.Mutex
	revision uint64
	routes   map[string]*entry
	changed  chan struct{} // closed at the next change; nil when nobody asked
}

type entry struct {
	Summary
	began    time.Time // the attempt that brought the epoch
	revision uint64
}

// NewRecorder makes an empty Recorder.
func NewRecorder() Recorder { return Recorder{&store{routes: map[string]*entry{}}} }

// Attempt records that an attempt to route ended at a.Time with o. Failures in
// a row count within one epoch of the route. An attempt that was still under way
// when the epoch ended counts for neither: what is known of the present one stays.
func (r Recorder) Attempt(route, epoch string, a Attempt, o Outcome) {
	a.Reason, a.Status, a.Took = o.Reason, o.Status, o.Took
	began := a.Time.Add(-o.Took)
	r.update(route, func(s *entry) {
		s.Last = &a
		if o.OK() {
			s.LastSuccess = a.Time
		} else {
			s.LastError, s.LastErrorTime = o.String(), a.Time
		}
		switch {
		case s.Epoch == epoch:
		case began.Before(s.began):
			return
		default:
			s.Epoch, s.began = epoch, began
			s.ConsecutiveFailures, s.FailingSince, s.Gone = 0, time.Time{}, time.Time{}
		}
		if o.OK() {
			s.ConsecutiveFailures, s.FailingSince = 0, time.Time{}
			return
		}
		s.ConsecutiveFailures++
		if s.FailingSince.IsZero() {
			s.FailingSince = a.Time
		}
		if o.Reason == ReceiverGone {
			s.Gone = a.Time
		}
	})
}

// Succeeded records that a delivery to route succeeded at some time before the
// start: failures that only others remember do not reach back beyond it.
func (r Recorder) Succeeded(route string, at time.Time) {
	r.update(route, func(s *entry) {
		if at.After(s.LastSuccess) {
			s.LastSuccess = at
		}
	})
}

// TestPassed records that a test delivery to route succeeded.
func (r Recorder) TestPassed(route string, now time.Time) {
	r.update(route, func(s *entry) { s.TestPassed = now })
}

// Breaker records the state of the circuit breaker of route.
func (r Recorder) Breaker(route string, state BreakerState) {
	r.update(route, func(s *entry) { s.Breaker = state })
}

// A Fault is what of a route could not be evaluated for an event.
type Fault string

// The faults.
const (
	ConditionFailed Fault = "ConditionFailed" // with something else than no; the event is not for the route
	OrderingFailed  Fault = "OrderingFailed"  // the event has the key of those without one
)

// Fault records that an expression of route could not be evaluated, and why.
func (r Recorder) Fault(route string, f Fault, why error, now time.Time) {
	text := string(f) + ": " + why.Error()
	r.update(route, func(s *entry) { s.LastError, s.LastErrorTime = text, now })
}

// Pending adds n, which may be negative, to the deliveries of route that are in
// memory.
func (r Recorder) Pending(route string, n int) {
	r.update(route, func(s *entry) { s.Pending += n })
}

// Stored adds n, which may be negative, to the deliveries of route that wait in
// the store.
func (r Recorder) Stored(route string, n int) {
	r.update(route, func(s *entry) { s.Stored += n })
}

// DeadLetters adds n, which may be negative, to the dead letters of route.
func (r Recorder) DeadLetters(route string, n int) {
	r.update(route, func(s *entry) { s.DeadLetters += n })
}

// Recount replaces, for every route, what is counted in the store, by what was
// found there. It reports whether the two agreed. Where they did not, either may
// have been right: what came or went during the count may be missing in what was
// found, or be counted once more.
func (r Recorder) Recount(stored, dead map[string]int) (agreed bool) {
	if r.s == nil {
		return true
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	for _, counts := range []map[string]int{stored, dead} {
		for route := range counts {
			if r.s.routes[route] == nil {
				r.s.routes[route] = &entry{Summary: Summary{Route: route}}
			}
		}
	}
	agreed = true
	for route, e := range r.s.routes {
		if e.Stored == stored[route] && e.DeadLetters == dead[route] {
			continue
		}
		agreed = false
		e.Stored, e.DeadLetters = stored[route], dead[route]
		r.s.revision++
		e.revision = r.s.revision
	}
	r.s.wake()
	return agreed
}

func (r Recorder) update(route string, change func(*entry)) {
	if r.s == nil {
		return
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	e := r.s.routes[route]
	if e == nil {
		e = &entry{Summary: Summary{Route: route}}
		r.s.routes[route] = e
	}
	change(e)
	r.s.revision++
	e.revision = r.s.revision
	r.s.wake()
}

// Touch announces a change that is not in a summary, such as a new table.
func (r Recorder) Touch() {
	if r.s == nil {
		return
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.s.revision++
	r.s.wake()
}

func (s *store) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// Changed returns a channel that is closed at the next change.
func (r Recorder) Changed() <-chan struct{} {
	if r.s == nil {
		return nil
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if r.s.changed == nil {
		r.s.changed = make(chan struct{})
	}
	return r.s.changed
}

// Since returns the summaries that changed after revision rev, by route, and
// the revision to ask for next time: list once, then follow.
func (r Recorder) Since(rev uint64) ([]Summary, uint64) {
	if r.s == nil {
		return nil, rev
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	var changed []Summary
	for _, e := range r.s.routes {
		if e.revision > rev {
			s := e.Summary
			// A delivery that comes again is counted once more, and settled twice.
			s.Pending, s.Stored, s.DeadLetters = max(s.Pending, 0), max(s.Stored, 0), max(s.DeadLetters, 0)
			changed = append(changed, s)
		}
	}
	slices.SortFunc(changed, func(a, b Summary) int { return cmp.Compare(a.Route, b.Route) })
	return changed, r.s.revision
}

// Retain forgets the routes that keep refuses and that are owed nothing, so
// that webhooks which come and go leave nothing behind.
func (r Recorder) Retain(keep func(route string) bool) {
	if r.s == nil {
		return
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	for route, e := range r.s.routes {
		if e.Pending <= 0 && e.Stored <= 0 && !keep(route) {
			delete(r.s.routes, route)
		}
	}
}
