package rollout_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/controllers/rollout"
	"github.com/postrider/postrider/dispatcher/outcome"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }

func TestFoldTellsTheNewestAndSumsWhatWaits(t *testing.T) {
	failed := outcome.Summary{
		Route: "shop/orders", Last: &outcome.Attempt{Time: at(5), Reason: outcome.Rejected, Status: 404},
		LastSuccess: at(1), LastError: "404 Not Found", LastErrorTime: at(5), ConsecutiveFailures: 2, Pending: 3, DeadLetters: 1,
	}
	recovered := outcome.Summary{
		Route: "shop/orders", Last: &outcome.Attempt{Time: at(9), Reason: outcome.Delivered, Status: 200},
		LastSuccess: at(9), LastError: "Timeout", LastErrorTime: at(2), Pending: 4,
	}
	failing := failed
	failing.Last = &outcome.Attempt{Time: at(10), Reason: outcome.Rejected, Status: 404}
	failing.LastErrorTime = at(10)

	for name, tt := range map[string]struct {
		in   []outcome.Summary
		want outcome.Summary
	}{
		"nobody knows anything": {nil, outcome.Summary{}},
		"one is repeated":       {[]outcome.Summary{failed}, failed},
		"a later success ends the failures": {[]outcome.Summary{failed, recovered}, outcome.Summary{
			Route: "shop/orders", Last: recovered.Last, LastSuccess: at(9),
			LastError: "404 Not Found", LastErrorTime: at(5), Pending: 7, DeadLetters: 1,
		}},
		"a failure after the success counts": {[]outcome.Summary{recovered, failing}, outcome.Summary{
			Route: "shop/orders", Last: failing.Last, LastSuccess: at(9),
			LastError: "404 Not Found", LastErrorTime: at(10), ConsecutiveFailures: 2, Pending: 7, DeadLetters: 1,
		}},
		"failures of all add up": {[]outcome.Summary{failed, failed}, outcome.Summary{
			Route: "shop/orders", Last: failed.Last, LastSuccess: at(1),
			LastError: "404 Not Found", LastErrorTime: at(5), ConsecutiveFailures: 4, Pending: 6, DeadLetters: 2,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, rollout.Fold(tt.in...)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
