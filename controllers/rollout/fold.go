package rollout

import (
	"time"

	"github.com/postrider/postrider/dispatcher/outcome"
)

// Fold makes one summary of what several dispatchers know of one route: the
// newest of what happened, the sum of what each has in memory, and the largest
// count of what they share in the store.
//
// Failures in a row are those of the epoch, of the dispatchers whose newest
// attempt is a failure after the last success that any of them had. The count
// of one that failed before that success and since may say too much; since when
// there are failures never goes back beyond the success.
func Fold(epoch string, summaries ...outcome.Summary) outcome.Summary {
	all := outcome.Summary{Epoch: epoch}
	for i := range summaries {
		s := &summaries[i]
		all.Route = s.Route
		if s.Last != nil && (all.Last == nil || s.Last.Time.After(all.Last.Time)) {
			all.Last = s.Last
		}
		all.LastSuccess = later(all.LastSuccess, s.LastSuccess)
		if s.LastError != "" && (all.LastError == "" || s.LastErrorTime.After(all.LastErrorTime)) {
			all.LastError, all.LastErrorTime = s.LastError, s.LastErrorTime
		}
		all.TestPassed = later(all.TestPassed, s.TestPassed)
		all.Breaker = worse(all.Breaker, s.Breaker)
		all.Pending += s.Pending
		all.Stored = max(all.Stored, s.Stored)
		all.DeadLetters = max(all.DeadLetters, s.DeadLetters)
	}
	for i := range summaries {
		foldFailures(&all, &summaries[i])
	}
	return all
}

// foldFailures adds what s knows of the epoch of all.
func foldFailures(all, s *outcome.Summary) {
	if s.Epoch != all.Epoch {
		return
	}
	all.Gone = later(all.Gone, s.Gone)
	if s.ConsecutiveFailures <= 0 || s.Last == nil || s.Last.Time.Before(all.LastSuccess) {
		return
	}
	all.ConsecutiveFailures += s.ConsecutiveFailures
	since := later(s.FailingSince, all.LastSuccess)
	if all.FailingSince.IsZero() || since.Before(all.FailingSince) {
		all.FailingSince = since
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// worse is the state that keeps more attempts away.
func worse(a, b outcome.BreakerState) outcome.BreakerState {
	for _, state := range []outcome.BreakerState{outcome.BreakerOpen, outcome.BreakerHalfOpen} {
		if a == state || b == state {
			return state
		}
	}
	return outcome.BreakerClosed
}
