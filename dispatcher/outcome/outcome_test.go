package outcome_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/outcome"
)

func TestOutcomesReadLikeSentencesOfTheField(t *testing.T) {
	for _, tt := range []struct {
		o    outcome.Outcome
		want string
	}{
		{outcome.Outcome{Reason: outcome.Rejected, Status: 404}, "404 Not Found"},
		{outcome.Outcome{Reason: outcome.ReceiverError, Status: 599}, "599"},
		{outcome.Outcome{Reason: outcome.EgressDenied, Detail: "loopback address"}, "EgressDenied: loopback address"},
		{outcome.Outcome{Reason: outcome.Timeout}, "Timeout"},
		{outcome.Outcome{Reason: outcome.BodyFailed, Status: 200}, "BodyFailed"},
		{outcome.Outcome{Reason: outcome.MalformedAnswer, Status: 200, Detail: "answer is empty"}, "MalformedAnswer: answer is empty"},
	} {
		if got := tt.o.String(); got != tt.want {
			t.Errorf("it reads %q, want %q", got, tt.want)
		}
	}
}

func TestFromStatus(t *testing.T) {
	for status, want := range map[int]outcome.Reason{
		200: outcome.Delivered, 202: outcome.Delivered, 299: outcome.Delivered,
		301: outcome.Redirected, 304: outcome.Redirected,
		400: outcome.Rejected, 404: outcome.Rejected, 410: outcome.ReceiverGone, 429: outcome.Throttled,
		500: outcome.ReceiverError, 503: outcome.ReceiverError, 700: outcome.ReceiverError, 100: outcome.ReceiverError,
	} {
		if got := outcome.FromStatus(status); got != want {
			t.Errorf("%d is %s, want %s", status, got, want)
		}
	}
}

func TestTheRecorderKeepsTheFactsOfARoute(t *testing.T) {
	r := outcome.NewRecorder()
	t0 := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	failed := outcome.Outcome{Reason: outcome.Rejected, Status: 404, Took: time.Millisecond}
	r.Pending("cms/a", 1)
	r.Attempt("cms/a", "", outcome.Attempt{Time: t0, EventID: "1", EventType: "x", Number: 1}, failed)
	r.Attempt("cms/a", "", outcome.Attempt{Time: t0.Add(1), EventID: "1", EventType: "x", Number: 2}, failed)
	got, rev := r.Since(0)
	want := outcome.Summary{
		Route: "cms/a", LastError: "404 Not Found", LastErrorTime: t0.Add(1), ConsecutiveFailures: 2, FailingSince: t0, Pending: 1,
		Last: &outcome.Attempt{Time: t0.Add(1), EventID: "1", EventType: "x", Number: 2, Reason: outcome.Rejected, Status: 404, Took: time.Millisecond},
	}
	if diff := cmp.Diff([]outcome.Summary{want}, got); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}

	r.Attempt("cms/a", "", outcome.Attempt{Time: t0.Add(2), EventID: "1", EventType: "x", Number: 3}, outcome.Outcome{Reason: outcome.Delivered, Status: 200})
	r.Pending("cms/a", -1)
	got, _ = r.Since(rev)
	want.LastSuccess, want.ConsecutiveFailures, want.FailingSince, want.Pending = t0.Add(2), 0, time.Time{}, 0
	want.Last = &outcome.Attempt{Time: t0.Add(2), EventID: "1", EventType: "x", Number: 3, Reason: outcome.Delivered, Status: 200}
	if diff := cmp.Diff([]outcome.Summary{want}, got); diff != "" {
		t.Error("after a success (-want +got)\n" + diff)
	}
}

func TestASuccessBeforeTheStartIsTheLastOnlyUntilThereIsAnother(t *testing.T) {
	r := outcome.NewRecorder()
	t0 := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	last := func() time.Time {
		all, _ := r.Since(0)
		return all[0].LastSuccess
	}
	r.Succeeded("cms/a", t0)
	if got := last(); !got.Equal(t0) {
		t.Errorf("it is %s", got)
	}
	r.Attempt("cms/a", "", outcome.Attempt{Time: t0.Add(time.Hour)}, outcome.Outcome{Reason: outcome.Delivered, Status: 200})
	r.Succeeded("cms/a", t0.Add(time.Minute))
	if got := last(); !got.Equal(t0.Add(time.Hour)) {
		t.Errorf("after an attempt it is %s", got)
	}
}

func TestALateAttemptOfAnEarlierEpochTakesNothingBack(t *testing.T) {
	edited := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	gone := edited.Add(time.Second)
	r := outcome.NewRecorder()
	attempt := func(epoch string, end time.Time, o outcome.Outcome) {
		r.Attempt("shop/a", epoch, outcome.Attempt{Time: end}, o)
	}
	attempt("a", edited.Add(-time.Minute), outcome.Outcome{Reason: outcome.Timeout})
	attempt("b", gone, outcome.Outcome{Reason: outcome.ReceiverGone, Took: time.Second / 2})
	for _, late := range []outcome.Outcome{
		{Reason: outcome.Timeout, Took: 10 * time.Second},
		{Reason: outcome.Delivered, Took: 10 * time.Second},
	} {
		attempt("a", edited.Add(9*time.Second), late)
		s, _ := r.Since(0)
		if got := s[0]; got.Epoch != "b" || !got.Gone.Equal(gone) || got.ConsecutiveFailures != 1 || !got.FailingSince.Equal(gone) {
			t.Errorf("after a late %s the summary is %+v", late.Reason, got)
		}
		if s[0].Last.Reason != late.Reason {
			t.Errorf("the newest attempt is %+v, want that which was late", s[0].Last)
		}
	}
	attempt("c", edited.Add(20*time.Second), outcome.Outcome{Reason: outcome.Timeout})
	if s, _ := r.Since(0); s[0].Epoch != "c" || !s[0].Gone.IsZero() || s[0].ConsecutiveFailures != 1 {
		t.Errorf("the next epoch does not begin anew: %+v", s[0])
	}
}

func TestListOnceThenFollow(t *testing.T) {
	r := outcome.NewRecorder()
	r.Pending("cms/b", 1)
	r.Pending("cms/a", 1)
	all, rev := r.Since(0)
	if len(all) != 2 || all[0].Route != "cms/a" {
		t.Errorf("the list is %v", all)
	}
	changed := r.Changed()
	r.Pending("cms/b", 1)
	select {
	case <-changed:
	default:
		t.Error("the change is not announced")
	}
	news, rev2 := r.Since(rev)
	if len(news) != 1 || news[0].Route != "cms/b" {
		t.Errorf("the news are %v", news)
	}
	if nothing, _ := r.Since(rev2); len(nothing) != 0 {
		t.Errorf("without a change the news are %v", nothing)
	}
}

func TestRoutesThatAreGoneAreForgottenOnceTheyAreOwedNothing(t *testing.T) {
	r := outcome.NewRecorder()
	r.Pending("cms/owed", 1)
	r.DeadLetters("cms/gone", 1)
	r.DeadLetters("cms/there", 1)
	r.Retain(func(route string) bool { return route == "cms/there" })
	var left []string
	all, _ := r.Since(0)
	for _, s := range all {
		left = append(left, s.Route)
	}
	if diff := cmp.Diff([]string{"cms/owed", "cms/there"}, left); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

func TestARecountPutsTheCountsRightAndSaysWhetherTheyWereWrong(t *testing.T) {
	type counts = map[string]int
	r := outcome.NewRecorder()
	r.Stored("cms/a", 3)
	r.DeadLetters("cms/b", 1)
	for _, tt := range []struct {
		name         string
		stored, dead counts
		agreed       bool
	}{
		{"as they are", counts{"cms/a": 3}, counts{"cms/b": 1}, true},
		{"one more", counts{"cms/a": 4}, counts{"cms/b": 1}, false},
		{"the same again", counts{"cms/a": 4}, counts{"cms/b": 1}, true},
		{"a dead letter has expired", counts{"cms/a": 4}, counts{}, false},
		{"a route that was not known", counts{"cms/a": 4, "cms/c": 2}, counts{}, false},
		{"a route that is owed nothing", counts{"cms/a": 4, "cms/c": 2, "cms/d": 0}, counts{}, true},
		{"nothing", nil, nil, false},
	} {
		if agreed := r.Recount(tt.stored, tt.dead); agreed != tt.agreed {
			t.Errorf("%s: agreed %t, want %t", tt.name, agreed, tt.agreed)
		}
		all, _ := r.Since(0)
		for _, s := range all {
			if s.Stored != tt.stored[s.Route] || s.DeadLetters != tt.dead[s.Route] {
				t.Errorf("%s: %+v", tt.name, s)
			}
		}
	}
}

func TestTheZeroRecorderDiscards(t *testing.T) {
	var r outcome.Recorder
	r.Attempt("a", "", outcome.Attempt{}, outcome.Outcome{})
	r.Pending("a", 1)
	r.Touch()
	r.Retain(nil)
	if s, rev := r.Since(0); s != nil || rev != 0 {
		t.Errorf("it kept %v, %d", s, rev)
	}
}

func TestTheRecorderIsSafeForConcurrentUse(t *testing.T) {
	r := outcome.NewRecorder()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 500 {
				r.Pending(fmt.Sprint("cms/", i%2), 1)
				r.Changed()
				r.Since(0)
			}
		})
	}
	wg.Wait()
	sum := 0
	all, _ := r.Since(0)
	for _, s := range all {
		sum += s.Pending
	}
	if sum != 8*500 {
		t.Errorf("%d are pending, want %d", sum, 8*500)
	}
}
