package rollout_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/controllers/rollout"
	"github.com/postrider/postrider/dispatcher/outcome"
)

const grace = 10 * time.Second

// story drives a Tracker step by step.
type story struct {
	*rollout.Tracker
	clock time.Time
	news  []string
}

func newStory(urls ...string) *story {
	s := &story{clock: start}
	s.Tracker = rollout.NewTracker(grace, func() time.Time { return s.clock }, func(routes []string) { s.news = append(s.news, routes...) })
	s.Follow(urls)
	return s
}

func generation(n int64) rollout.Version { return rollout.Version{UID: "u", Generation: n} }

// publish publishes a table that holds shop/a and shop/b at the generations.
func (s *story) publish(digest string, a, b int64) {
	s.Published(digest, map[string]rollout.Version{"shop/a": generation(a), "shop/b": generation(b)})
}

func (s *story) report(url, digest, fault string, summaries ...outcome.Summary) {
	s.Heard(url, outcome.Report{Instance: url, Counted: true, Digest: digest, TableError: fault, Summaries: summaries}, false)
}

// phases tells how far shop/a and shop/b are at the generations, and forgets the news.
func (s *story) phases(a, b int64) string {
	s.news = nil
	return fmt.Sprint(s.Facts("shop/a", generation(a), "").Progress.Phase, " ", s.Facts("shop/b", generation(b), "").Progress.Phase)
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: it is %q, not %q", what, got, want)
	}
}

func TestAVersionIsProgrammedOnceEveryDispatcherConfirmsATableThatHoldsIt(t *testing.T) {
	s := newStory("one", "two")
	s.publish("d1", 1, 1)
	expect(t, "published", s.phases(1, 1), "Pending Pending")
	s.report("one", "d1", "")
	expect(t, "one confirmed", s.phases(1, 1), "Pending Pending")
	s.report("two", "d1", "")
	expect(t, "both confirmed", s.phases(1, 1), "Programmed Programmed")
	expect(t, "a generation that is not published", s.phases(2, 1), "Pending Programmed")

	s.publish("d2", 2, 1)
	expect(t, "a changed, b did not", s.phases(2, 1), "Pending Programmed")
	s.publish("d3", 2, 1)
	s.report("one", "d2", "")
	s.report("two", "d3", "")
	expect(t, "both are far enough", s.phases(2, 1), "Programmed Programmed")
}

func TestATableThatComesBackCountsAsItsNewestPublication(t *testing.T) {
	s := newStory("one")
	s.publish("d1", 1, 1)
	s.report("one", "d1", "")
	s.publish("d2", 1, 2)
	s.publish("d1", 1, 1)
	expect(t, "d1 is in force again", s.phases(1, 1), "Programmed Programmed")
}

func TestAnObjectOfTheSameNameIsAnotherObject(t *testing.T) {
	s := newStory("one")
	s.publish("d1", 1, 1)
	s.report("one", "d1", "")
	again := rollout.Version{UID: "other", Generation: 1}
	s.Published("d2", map[string]rollout.Version{"shop/a": again})
	if p := s.Facts("shop/a", again, "").Progress.Phase; p != rollout.Pending {
		t.Errorf("it is %s before anybody has confirmed it", p)
	}
	if p := s.Facts("shop/b", generation(1), "").Progress.Phase; p != rollout.Pending {
		t.Errorf("a deleted Webhook is %s", p)
	}
}

func TestOnlyRoutesWithNewsAreAnnounced(t *testing.T) {
	s := newStory("one")
	s.publish("d1", 1, 1)
	s.report("one", "d1", "")
	s.phases(1, 1)

	s.report("one", "d1", "")
	s.publish("d2", 1, 1) // a Secret has rotated
	s.report("one", "d2", "")
	if len(s.news) > 0 {
		t.Errorf("nothing has changed, and there is news about %v", s.news)
	}
	s.publish("d3", 1, 2)
	s.report("one", "d3", "")
	if diff := cmp.Diff([]string{"shop/b"}, slices.Compact(s.news)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	s.news = nil
	s.report("one", "d3", "", outcome.Summary{Route: "shop/a", Pending: 1})
	if diff := cmp.Diff([]string{"shop/a"}, s.news); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestARefusedTableIsRejectedWithTheDispatchersError(t *testing.T) {
	s := newStory("one")
	s.publish("d1", 1, 1)
	s.report("one", "d1", "")
	s.publish("d2", 2, 1)
	s.report("one", "d1", "the shard is not gzip")
	expect(t, "what the refused table brings is rejected at once", s.phases(2, 1), "Rejected Programmed")
	p := s.Facts("shop/a", generation(2), "").Progress
	if !strings.Contains(p.Detail, "one") || !strings.Contains(p.Detail, "the shard is not gzip") {
		t.Errorf("the detail is %q", p.Detail)
	}

	s.clock = s.clock.Add(grace)
	s.Review()
	expect(t, "a refusal that stays is everybody's trouble", s.phases(2, 1), "Rejected Rejected")
	s.report("one", "d2", "")
	expect(t, "the table is accepted", s.phases(2, 1), "Programmed Programmed")
}

func TestSilenceCountsAfterAWhile(t *testing.T) {
	s := newStory("http://one")
	s.publish("d1", 1, 1)
	s.report("http://one", "d1", "")
	if !s.Silent("http://one") || s.Silent("http://one") {
		t.Error("silence is news once")
	}
	expect(t, "silent for a moment", s.phases(1, 1), "Programmed Programmed")
	s.clock = s.clock.Add(grace)
	s.Silent("http://one")
	expect(t, "silent for long", s.phases(1, 1), "Unreachable Unreachable")
	if p := s.Facts("shop/a", generation(1), "").Progress; !strings.Contains(p.Detail, "http://one") {
		t.Errorf("the detail is %q", p.Detail)
	}
	s.report("http://one", "d1", "")
	expect(t, "it is back", s.phases(1, 1), "Programmed Programmed")
}

func TestWithoutDispatcherNothingIsProgrammed(t *testing.T) {
	s := newStory()
	s.publish("d1", 1, 1)
	expect(t, "at the start", s.phases(1, 1), "Pending Pending")
	s.clock = s.clock.Add(grace)
	s.Review()
	expect(t, "after a while", s.phases(1, 1), "Unreachable Unreachable")
	if p := s.Facts("shop/a", generation(1), "").Progress; !strings.Contains(p.Detail, "--dispatcher-url") {
		t.Errorf("the detail does not say what to do: %q", p.Detail)
	}
	s.Follow([]string{"one"})
	s.report("one", "d1", "")
	expect(t, "one has come", s.phases(1, 1), "Programmed Programmed")
	s.Follow(nil)
	expect(t, "it has just gone", s.phases(1, 1), "Pending Pending")
}

func TestNumbersAreCompleteOnceEveryDispatcherHasReported(t *testing.T) {
	s := newStory("one", "two")
	s.publish("d1", 1, 1)
	s.report("one", "d1", "", outcome.Summary{Route: "shop/a", Pending: 2})
	if f := s.Facts("shop/a", generation(1), ""); f.Complete || f.Summary.Pending != 2 {
		t.Errorf("one of two has reported: %+v", f)
	}
	s.report("two", "d1", "", outcome.Summary{Route: "shop/a", Pending: 3})
	if f := s.Facts("shop/a", generation(1), ""); !f.Complete || f.Summary.Pending != 5 {
		t.Errorf("both have reported: %+v", f)
	}
	s.Heard("two", outcome.Report{Counted: true, Digest: "d1"}, true)
	if f := s.Facts("shop/a", generation(1), ""); f.Summary.Pending != 2 {
		t.Errorf("a complete report replaces what was known: %+v", f)
	}
	s.Follow([]string{"two"})
	if f := s.Facts("shop/a", generation(1), ""); f.Summary.Pending != 0 {
		t.Errorf("what a dispatcher said goes with it: %+v", f)
	}
}

func TestTheHistoryOfTablesIsBounded(t *testing.T) {
	s := newStory("one")
	s.publish("first", 1, 1)
	for i := range 1000 {
		s.publish(fmt.Sprint("d", i), 1, int64(i)+2)
	}
	s.report("one", "first", "")
	expect(t, "a table that is forgotten is behind", s.phases(1, 1001), "Pending Pending")
	s.report("one", "d999", "")
	expect(t, "the newest", s.phases(1, 1001), "Programmed Programmed")
}

func TestAVersionThatCannotBePublishedSaysSoUntilItIs(t *testing.T) {
	s := newStory("one")
	s.publish("d1", 1, 1)
	s.PublishSucceeded()
	s.report("one", "d1", "")

	next := map[string]rollout.Version{"shop/a": generation(2), "shop/b": generation(1)}
	s.news = nil
	s.PublishFailed(next, errors.New("the quota is used up"+strings.Repeat("é", 1000)))
	if diff := cmp.Diff([]string{"shop/a"}, s.news); diff != "" {
		t.Errorf("(-want +announced)\n%s", diff)
	}
	expect(t, "the table does not build", s.phases(2, 1), "Unpublished Programmed")
	if d := s.Facts("shop/a", generation(2), "").Progress.Detail; !strings.Contains(d, "the quota is used up") || len(d) > 600 || !utf8.ValidString(d) {
		t.Errorf("the detail has %d bytes: %.100q", len(d), d)
	}

	s.Published("d2", next)
	s.PublishFailed(next, errors.New("the quota is used up"))
	expect(t, "it builds and cannot be written", s.phases(2, 1), "Unpublished Programmed")
	s.Published("d2", next)
	s.PublishSucceeded()
	expect(t, "it is written", s.phases(2, 1), "Pending Programmed")
	s.report("one", "d2", "")
	expect(t, "it is confirmed", s.phases(2, 1), "Programmed Programmed")
}

func TestAnObjectThatComesBackDuringAFailureIsProgrammedByAnEqualTable(t *testing.T) {
	s := newStory("one")
	s.publish("d1", 1, 1)
	s.report("one", "d1", "")
	again := map[string]rollout.Version{"shop/a": {UID: "other", Generation: 1}, "shop/b": generation(1)}
	s.PublishFailed(again, errors.New("not now"))
	s.Published("d1", again)
	s.PublishSucceeded()
	if p := s.Facts("shop/a", again["shop/a"], "").Progress.Phase; p != rollout.Programmed {
		t.Errorf("it is %s", p)
	}
}

func TestADispatcherWithoutTheTableTakesProgrammedBackAfterAWhile(t *testing.T) {
	for name, digest := range map[string]string{"none": "", "unknown": "other", "older": "d1"} {
		t.Run(name, func(t *testing.T) {
			s := newStory("one", "two")
			s.publish("d1", 1, 1)
			s.publish("d2", 2, 2)
			s.report("one", "d2", "")
			s.report("two", "d2", "")
			expect(t, "confirmed", s.phases(2, 2), "Programmed Programmed")

			s.report("two", digest, "") // it has started again, and reads nothing
			expect(t, "for a moment", s.phases(2, 2), "Pending Pending")
			s.clock = s.clock.Add(grace)
			s.Review()
			expect(t, "for long", s.phases(2, 2), "Behind Behind")
			if d := s.Facts("shop/a", generation(2), "").Progress.Detail; !strings.Contains(d, "dispatcher two") {
				t.Errorf("the detail is %q", d)
			}
			s.report("two", "d2", "")
			expect(t, "it has it", s.phases(2, 2), "Programmed Programmed")
		})
	}
}

func TestADispatcherThatKeepsUpIsNotBehind(t *testing.T) {
	s := newStory("one")
	s.publish("d0", 1, 1)
	s.report("one", "d0", "")
	for i := range 10 {
		s.publish(fmt.Sprint("d", i+1), 1, int64(i+2))
		s.clock = s.clock.Add(grace - 1)
		s.report("one", fmt.Sprint("d", i), "")
		expect(t, "one table late", s.phases(1, int64(i+2)), "Programmed Pending")
	}
}

func TestNumbersAreIncompleteUntilTheBacklogIsCounted(t *testing.T) {
	s := newStory("one")
	s.publish("d1", 1, 1)
	s.Heard("one", outcome.Report{Instance: "one", Digest: "d1"}, true)
	if s.Facts("shop/a", generation(1), "").Complete {
		t.Error("it is complete before the backlog is counted")
	}
	s.news = nil
	s.report("one", "d1", "")
	if slices.Sort(s.news); !slices.Equal(s.news, []string{"shop/a", "shop/b"}) || !s.Facts("shop/a", generation(1), "").Complete {
		t.Errorf("once it is counted, there is news about %v", s.news)
	}
}

func TestACompleteReportIsNewsAboutWhatItLeavesOut(t *testing.T) {
	s := newStory("one")
	s.publish("d1", 1, 1)
	s.report("one", "d1", "", outcome.Summary{Route: "shop/a", Pending: 2})
	s.news = nil
	s.Heard("one", outcome.Report{Instance: "one", Counted: true, Digest: "d1"}, true)
	if !slices.Contains(s.news, "shop/a") {
		t.Errorf("there is news about %v", s.news)
	}
}

func TestADispatcherWithTwoURLsCountsOnce(t *testing.T) {
	s := newStory("one", "also-one", "two")
	s.publish("d1", 1, 1)
	tell := func(url, instance string, started time.Time, revision uint64, pending int) {
		s.Heard(url, outcome.Report{
			Instance: instance, Started: started, Counted: true, Digest: "d1", Revision: revision,
			Summaries: []outcome.Summary{{Route: "shop/a", Pending: pending}},
		}, true)
	}
	tell("one", "pod-1", at(1), 7, 3)
	tell("also-one", "pod-1", at(1), 6, 2)
	tell("two", "pod-1", at(2), 1, 10) // of the same name, another process
	f := s.Facts("shop/a", generation(1), "")
	if f.Summary.Pending != 13 || !f.Started.Equal(at(1)) {
		t.Errorf("%d are pending, the oldest started at %s", f.Summary.Pending, f.Started)
	}
}
