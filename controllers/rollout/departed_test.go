package rollout_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/postrider/postrider/controllers/rollout"
	"github.com/postrider/postrider/dispatcher/outcome"
)

// says makes the process at url report failures in a row of shop/a, of which the
// newest ended at a minute.
func (s *story) says(url, instance string, started time.Time, failures, minute int) {
	sum := outcome.Summary{Route: "shop/a", Epoch: "e", ConsecutiveFailures: failures, Pending: 1, Stored: 5}
	if failures > 0 {
		sum.Last = &outcome.Attempt{Time: at(minute), Reason: outcome.Timeout}
		sum.FailingSince = at(minute - failures)
	}
	s.Heard(url, outcome.Report{Instance: instance, Started: started, Counted: true, Summaries: []outcome.Summary{sum}}, true)
}

func (s *story) failures() string {
	f := s.Facts("shop/a", generation(1), "e").Summary
	return fmt.Sprint(f.ConsecutiveFailures, " since ", f.FailingSince.Sub(start))
}

func TestFailuresCountOnWhenADispatcherIsReplaced(t *testing.T) {
	s := newStory("one", "two")
	s.publish("d1", 1, 1)
	s.says("one", "pod-1", at(0), 15, 30)
	s.says("two", "pod-2", at(0), 3, 31)
	expect(t, "both are there", s.failures(), "18 since 15m0s")

	s.says("one", "pod-1", at(40), 0, 0) // started again
	expect(t, "one starts again", s.failures(), "18 since 15m0s")
	s.says("one", "pod-1", at(40), 4, 44)
	expect(t, "it fails again", s.failures(), "22 since 15m0s")
	if f := s.Facts("shop/a", generation(1), "e").Summary; f.Pending != 2 || f.Stored != 5 {
		t.Errorf("%d are in memory and %d stored", f.Pending, f.Stored)
	}

	s.Follow([]string{"one"})
	expect(t, "two is let go", s.failures(), "22 since 15m0s")
	s.Follow([]string{"one", "two"})
	s.says("two", "pod-2", at(0), 4, 45)
	expect(t, "two is back and was never away", s.failures(), "23 since 15m0s")
}

func TestASuccessEndsTheFailuresOfProcessesThatAreGone(t *testing.T) {
	s := newStory("one", "two")
	s.publish("d1", 1, 1)
	s.says("one", "pod-1", at(0), 15, 30)
	s.says("one", "pod-1", at(40), 0, 0)
	s.Heard("two", outcome.Report{Instance: "pod-2", Started: at(0), Counted: true, Summaries: []outcome.Summary{{
		Route: "shop/a", Epoch: "e", LastSuccess: at(41), Last: &outcome.Attempt{Time: at(41), Reason: outcome.Delivered},
	}}}, true)
	expect(t, "a success", s.failures(), "0 since "+fmt.Sprint(time.Time{}.Sub(start)))
	s.Follow([]string{"one"})
	s.says("one", "pod-1", at(40), 1, 50)
	expect(t, "a failure after whoever had the success is gone", s.failures(), "1 since 49m0s")
}

func TestADispatcherThatLosesOneOfItsTwoURLsCountsOnce(t *testing.T) {
	s := newStory("one", "also-one")
	s.publish("d1", 1, 1)
	s.says("one", "pod-1", at(0), 15, 30)
	s.says("also-one", "pod-1", at(0), 15, 30)
	s.Follow([]string{"one"})
	expect(t, "one URL is left", s.failures(), "15 since 15m0s")
}

func TestProcessesThatAreGoneAreForgottenInTheEndAndWithTheWebhook(t *testing.T) {
	s := newStory("one")
	s.publish("d1", 1, 1)
	for i := range 100 {
		s.says("one", "pod", at(i), 1, 200)
	}
	expect(t, "after many restarts", s.failures(), "17 since 3h19m0s")
	s.Published("d2", map[string]rollout.Version{"shop/b": generation(1)})
	s.publish("d3", 1, 1)
	expect(t, "after it was deleted", s.failures(), "0 since "+fmt.Sprint(time.Time{}.Sub(start)))
}
