package rollout

import (
	"slices"

	"github.com/postrider/postrider/dispatcher/outcome"
)

// maxDeparted bounds how many processes are remembered that have ended, or that
// the Service no longer names: more than come and go while a receiver fails.
const maxDeparted = 16

// A process is one run of one dispatcher.
type process struct {
	instance string
	started  int64 // Unix nanoseconds
}

func (d *dispatcher) process() process {
	return process{d.report.Instance, d.report.Started.UnixNano()}
}

// departed remembers what processes knew of receivers that failed, so that
// failures in a row count on when a dispatcher is replaced.
type departed []*dispatcher

// add remembers d, and of the others the newest.
func (all *departed) add(d *dispatcher) {
	failed := make(map[string]outcome.Summary)
	for id, s := range d.summaries {
		if s.ConsecutiveFailures > 0 || !s.Gone.IsZero() {
			// What it had in memory comes back from the store.
			s.Pending, s.Stored, s.DeadLetters, s.Breaker = 0, 0, 0, outcome.BreakerClosed
			failed[id] = s
		}
	}
	if len(failed) == 0 {
		return
	}
	kept := slices.DeleteFunc(*all, func(o *dispatcher) bool { return o.process() == d.process() })
	if len(kept) == maxDeparted {
		kept = slices.Delete(kept, 0, 1)
	}
	*all = append(kept, &dispatcher{report: d.report, summaries: failed})
}

// succeeded forgets failures of the route that are older than its success.
func (all departed) succeeded(s outcome.Summary) {
	for _, d := range all {
		if old, ok := d.summaries[s.Route]; ok && old.Last != nil && s.LastSuccess.After(old.Last.Time) {
			delete(d.summaries, s.Route)
		}
	}
}
