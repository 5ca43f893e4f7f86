package deliver_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
)

func TestDecide(t *testing.T) {
	accepted := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	now := accepted.Add(time.Minute)
	retry := func(d time.Duration) deliver.Decision { return deliver.Decision{Action: deliver.Retry, At: now.Add(d)} }
	settle, giveUp := deliver.Decision{Action: deliver.Settle}, deliver.Decision{Action: deliver.GiveUp}
	schedule := route.Retry{Backoff: []time.Duration{10 * time.Second, time.Hour}, Jitter: 0.2, MaxAge: 2 * time.Hour}

	const even = 0.5 // no jitter
	for _, tt := range []struct {
		name       string
		attempts   int
		status     int
		retryAfter time.Duration
		dice       float64
		want       deliver.Decision
	}{
		{"success settles", 1, 204, 0, even, settle},
		{"late success settles", 9, 200, 0, even, settle},
		{"a server error is retried after the first pause", 1, 500, 0, even, retry(10 * time.Second)},
		{"and then after the second", 2, 500, 0, even, retry(time.Hour)},
		{"until the schedule ends", 3, 500, 0, even, giveUp},
		{"jitter shortens by a fifth at most", 1, 500, 0, 0, retry(8 * time.Second)},
		{"jitter lengthens by a fifth at most", 1, 500, 0, 1, retry(12 * time.Second)},
		{"no answer is retried", 1, 0, 0, even, retry(10 * time.Second)},
		{"a wrong address may be repaired", 1, 404, 0, even, retry(10 * time.Second)},
		{"a redirect is a failure like another", 1, 302, 0, even, retry(10 * time.Second)},
		{"a longer Retry-After wins", 1, 429, 5 * time.Minute, even, retry(5 * time.Minute)},
		{"a shorter one does not", 1, 429, time.Second, even, retry(10 * time.Second)},
		{"an absurd one is capped, and here beyond the age", 1, 429, 1000 * time.Hour, even, giveUp},
		{"gone is gone", 1, 410, 0, even, giveUp},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := outcome.Outcome{Reason: outcome.Timeout, RetryAfter: tt.retryAfter}
			if tt.status != 0 {
				o.Reason, o.Status = outcome.FromStatus(tt.status), tt.status
			}
			got := deliver.Decide(schedule, tt.attempts, accepted, o, now, tt.dice)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
		})
	}

	t.Run("no attempt is planned beyond the maximum age", func(t *testing.T) {
		o := outcome.Outcome{Reason: outcome.ReceiverError, Status: 500}
		if got := deliver.Decide(schedule, 1, accepted, o, accepted.Add(2*time.Hour), even); got != giveUp {
			t.Errorf("it decides %+v", got)
		}
	})
	t.Run("a webhook that is gone ends its deliveries", func(t *testing.T) {
		if got := deliver.Decide(schedule, 1, accepted, outcome.Outcome{Reason: outcome.RouteGone}, now, even); got != giveUp {
			t.Errorf("it decides %+v", got)
		}
	})
}
