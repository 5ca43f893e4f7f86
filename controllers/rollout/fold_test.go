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
		LastSuccess: at(1), LastError: "404 Not Found", LastErrorTime: at(5),
		Epoch: "e1", ConsecutiveFailures: 2, FailingSince: at(2), Pending: 3, Stored: 10, DeadLetters: 1,
	}
	recovered := outcome.Summary{
		Route: "shop/orders", Last: &outcome.Attempt{Time: at(9), Reason: outcome.Delivered, Status: 200},
		LastSuccess: at(9), LastError: "Timeout", LastErrorTime: at(2), Epoch: "e1", Pending: 4, Stored: 12, DeadLetters: 1,
	}
	failing := failed
	failing.Last = &outcome.Attempt{Time: at(10), Reason: outcome.Rejected, Status: 404}
	failing.LastErrorTime = at(10)
	older := failed
	older.Epoch, older.Gone = "e0", at(4)

	for name, tt := range map[string]struct {
		in   []outcome.Summary
		want outcome.Summary
	}{
		"nobody knows anything": {nil, outcome.Summary{Epoch: "e1"}},
		"one is repeated":       {[]outcome.Summary{failed}, failed},
		"a later success ends the failures": {[]outcome.Summary{failed, recovered}, outcome.Summary{
			Route: "shop/orders", Last: recovered.Last, LastSuccess: at(9),
			LastError: "404 Not Found", LastErrorTime: at(5), Epoch: "e1", Pending: 7, Stored: 12, DeadLetters: 1,
		}},
		"a failure after the success counts, from the success on": {[]outcome.Summary{recovered, failing}, outcome.Summary{
			Route: "shop/orders", Last: failing.Last, LastSuccess: at(9), LastError: "404 Not Found", LastErrorTime: at(10),
			Epoch: "e1", ConsecutiveFailures: 2, FailingSince: at(9), Pending: 7, Stored: 12, DeadLetters: 1,
		}},
		"failures of all add up, and the store is counted once": {[]outcome.Summary{failed, failed}, outcome.Summary{
			Route: "shop/orders", Last: failed.Last, LastSuccess: at(1), LastError: "404 Not Found", LastErrorTime: at(5),
			Epoch: "e1", ConsecutiveFailures: 4, FailingSince: at(2), Pending: 6, Stored: 10, DeadLetters: 1,
		}},
		"what failed in another epoch does not count": {[]outcome.Summary{older}, outcome.Summary{
			Route: "shop/orders", Last: older.Last, LastSuccess: at(1), LastError: "404 Not Found", LastErrorTime: at(5),
			Epoch: "e1", Pending: 3, Stored: 10, DeadLetters: 1,
		}},
		"an error that is no attempt's ends and begins nothing": {[]outcome.Summary{
			recovered,
			{Route: "shop/orders", Last: failed.Last, LastError: "the condition", LastErrorTime: at(11), Epoch: "e1", ConsecutiveFailures: 1, FailingSince: at(5)},
		}, outcome.Summary{
			Route: "shop/orders", Last: recovered.Last, LastSuccess: at(9),
			LastError: "the condition", LastErrorTime: at(11), Epoch: "e1", Pending: 4, Stored: 12, DeadLetters: 1,
		}},
		"failures begin with the first of them all": {[]outcome.Summary{
			{Route: "a", Last: failed.Last, Epoch: "e1", ConsecutiveFailures: 1, FailingSince: at(5)},
			{Route: "a", Last: failed.Last, Epoch: "e1", ConsecutiveFailures: 3, FailingSince: at(3)},
		}, outcome.Summary{Route: "a", Last: failed.Last, Epoch: "e1", ConsecutiveFailures: 4, FailingSince: at(3)}},
		"it is gone when anybody heard so in this epoch": {[]outcome.Summary{
			{Route: "a", Epoch: "e1", Gone: at(3)}, {Route: "a", Epoch: "e1"}, {Route: "a", Epoch: "e0", Gone: at(9)},
		}, outcome.Summary{Route: "a", Epoch: "e1", Gone: at(3)}},
		"the newest test counts, of whatever epoch": {[]outcome.Summary{
			{Route: "a", Epoch: "e0", TestPassed: at(4)}, {Route: "a", Epoch: "e1", TestPassed: at(3)},
		}, outcome.Summary{Route: "a", Epoch: "e1", TestPassed: at(4)}},
		"an open breaker is worse than a probe": {[]outcome.Summary{
			{Route: "a", Breaker: outcome.BreakerHalfOpen}, {Route: "a", Breaker: outcome.BreakerOpen}, {Route: "a"},
		}, outcome.Summary{Route: "a", Epoch: "e1", Breaker: outcome.BreakerOpen}},
		"a probe is worse than a closed breaker": {[]outcome.Summary{
			{Route: "a"}, {Route: "a", Breaker: outcome.BreakerHalfOpen},
		}, outcome.Summary{Route: "a", Epoch: "e1", Breaker: outcome.BreakerHalfOpen}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, rollout.Fold("e1", tt.in...)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
