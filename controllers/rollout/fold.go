package rollout

import (
	"time"

	"github.com/postrider/postrider/dispatcher/outcome"
)

// Fold makes one summary of what several dispatchers know of one route: the
// newest of what happened, and the sum of what is waiting. Failures count from
// the last success that any of them had.
func Fold(summaries ...outcome.Summary) outcome.Summary {
	var all outcome.Summary
	for _, s := range summaries {
		all.Route = s.Route
		if s.Last != nil && (all.Last == nil || s.Last.Time.After(all.Last.Time)) {
			all.Last = s.Last
		}
		all.LastSuccess = later(all.LastSuccess, s.LastSuccess)
		if s.LastError != "" && (all.LastError == "" || s.LastErrorTime.After(all.LastErrorTime)) {
			all.LastError, all.LastErrorTime = s.LastError, s.LastErrorTime
		}
		all.Pending += s.Pending
		all.DeadLetters += s.DeadLetters
	}
	for _, s := range summaries {
		if !s.LastErrorTime.Before(all.LastSuccess) {
			all.ConsecutiveFailures += s.ConsecutiveFailures
		}
	}
	return all
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
