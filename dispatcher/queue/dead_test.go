package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/queue"
	"github.com/postrider/postrider/internal/eventually"
)

// letters makes n dead letters of a route, whose events are "<prefix>0" and so on.
func letters(route, prefix string, n int) []deliver.DeadLetter {
	ds := make([]deliver.DeadLetter, n)
	for i := range ds {
		e := anEvent(fmt.Sprint(prefix, i))
		ds[i] = deliver.DeadLetter{
			Route: route, Attempts: 8, Why: outcome.Outcome{Reason: outcome.Rejected, Status: 404},
			At: time.Now().UTC(), Seq: uint64(i), Event: &e,
		}
	}
	return ds
}

func (s *store) bury(tb testing.TB, ds ...deliver.DeadLetter) {
	tb.Helper()
	if err := s.Bury(tb.Context(), ds...); err != nil {
		tb.Fatal(err)
	}
}

// allDead pages through the dead letters of a route, newest first.
func (s *store) allDead(tb testing.TB, route string, limit int, between func()) (all []deliver.DeadLetter) {
	tb.Helper()
	before := uint64(0)
	for {
		page, next, err := s.DeadLetters(tb.Context(), route, before, limit)
		if err != nil {
			tb.Fatal(err)
		}
		if len(page) > limit {
			tb.Fatalf("a page has %d letters, at most %d were asked for", len(page), limit)
		}
		all = append(all, page...)
		if next == 0 {
			return all
		}
		before = next
		between()
	}
}

func idsOf(ds []deliver.DeadLetter) (ids []string) {
	for _, d := range ds {
		ids = append(ids, d.Event.ID)
	}
	return ids
}

// newestFirst is what letters made, in the order of a listing.
func newestFirst(prefix string, n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprint(prefix, i))
	}
	slices.Reverse(ids)
	return ids
}

func nothing() {}

func TestADeadLetterKeepsAllThatInspectionNeeds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	want := deliver.DeadLetter{
		Route: "cms/with.dots", Attempts: 8, Seq: 1<<63 + 7, Event: full("1"),
		Why: outcome.Outcome{Reason: outcome.EgressDenied, Status: 0, Detail: "loopback address", RetryAfter: time.Hour, Took: 1234567},
		At:  time.Date(2026, 11, 22, 8, 0, 0, 5, time.UTC),
	}
	s.bury(t, want)
	s.close()
	s = open(t, dir)
	all := s.allDead(t, "cms/with.dots", 10, nothing)
	if diff := cmp.Diff([]deliver.DeadLetter{want}, all, cmpopts.IgnoreFields(deliver.DeadLetter{}, "ID")); diff != "" {
		t.Fatal("(-want +got)\n" + diff)
	}
	one, err := s.DeadLetter(t.Context(), "cms/with.dots", all[0].ID)
	if diff := cmp.Diff(all[0], one); err != nil || diff != "" {
		t.Errorf("error %v (-listed +got)\n%s", err, diff)
	}
}

func TestDeadLettersArePagedNewestFirstWhileMoreComeAndGo(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	const n = 120
	for i := range n {
		s.bury(t, letters("cms/a", "a", n)[i])
		if i%7 == 0 { // others lie between
			s.bury(t, letters("cms/a.b", "other", 5)...)
		}
	}
	var adding sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	adding.Go(func() {
		for ctx.Err() == nil {
			if err := s.Bury(t.Context(), letters("cms/a", "late", 3)...); err != nil {
				t.Error(err)
			}
		}
	})
	oldest := s.allDead(t, "cms/a", 1000, nothing)
	oldest = oldest[len(oldest)-3:]
	removed := false
	got := idsOf(s.allDead(t, "cms/a", 25, func() {
		if n, err := s.RemoveDead(t.Context(), "cms/a", oldest[0].ID, oldest[2].ID); err != nil || !removed && n != 2 {
			t.Errorf("removed %d, %v", n, err)
		}
		removed = true
	}))
	stop()
	adding.Wait()
	got = slices.DeleteFunc(got, func(id string) bool { return strings.HasPrefix(id, "late") })
	want := newestFirst("a", n)
	want = append(want[:n-3], "a1")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

func TestAPageIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	large := letters("cms/a", "a", 12)
	for i := range large {
		large[i].Event.Data = make([]byte, event.MaxBody)
	}
	s.bury(t, large...)
	page, next, err := s.DeadLetters(t.Context(), "cms/a", 0, 12)
	if err != nil || len(page) == 0 || len(page) > 8 || next == 0 {
		t.Errorf("a page of %d letters of a MiB, next %d, %v", len(page), next, err)
	}
	if diff := cmp.Diff(newestFirst("a", 12), idsOf(s.allDead(t, "cms/a", 12, nothing))); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

func TestNobodyReachesTheDeadLettersOfAnotherRoute(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	s.bury(t, letters("cms/a", "a", 3)...)
	s.bury(t, letters("cms/a.b", "ab", 3)...)
	s.bury(t, letters("shop/a", "shop", 3)...)
	theirs := s.allDead(t, "cms/a.b", 10, nothing)
	ids := []uint64{theirs[0].ID, theirs[1].ID, theirs[2].ID}

	for _, route := range []string{"cms/a", "shop/a", "cms/none", "cms/b", "a/b"} {
		for _, id := range append(ids, 0, 1<<40, 1<<63) {
			if _, err := s.DeadLetter(t.Context(), route, id); !errors.Is(err, event.ErrNotFound) {
				t.Errorf("%s asks for %d: %v, want ErrNotFound", route, id, err)
			}
		}
		if n, err := s.RemoveDead(t.Context(), route, append(ids, 0, 1<<40)...); n != 0 || err != nil {
			t.Errorf("%s removed %d, %v", route, n, err)
		}
		for _, d := range s.allDead(t, route, 10, nothing) {
			if d.Route != route || strings.HasPrefix(d.Event.ID, "ab") {
				t.Errorf("%s lists %s of %s", route, d.Event.ID, d.Route)
			}
		}
	}
	for _, route := range []string{"cms/*", "cms/>", "*/a", ">", "cms/a.*", "cms/a.>", "cms", "", "/", "cms/", "/a", "cms/a..b", "cms/.a", "cms/a b", "c.m/s", "cms/a/b", "cms/A"} {
		if page, _, err := s.DeadLetters(t.Context(), route, 0, 10); err == nil || len(page) > 0 {
			t.Errorf("%q is taken for a route and has %d letters", route, len(page))
		}
		if _, err := s.DeadLetter(t.Context(), route, ids[0]); err == nil {
			t.Errorf("%q got a letter", route)
		}
		if n, err := s.RemoveDead(t.Context(), route, ids...); n != 0 || err == nil {
			t.Errorf("%q removed %d, %v", route, n, err)
		}
		if err := s.EachDead(t.Context(), route, func(deliver.DeadLetter) error { return nil }); err == nil {
			t.Errorf("%q is visited", route)
		}
	}
	if diff := cmp.Diff(newestFirst("ab", 3), idsOf(s.allDead(t, "cms/a.b", 10, nothing))); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

func TestAllOfARouteAreVisitedOldestFirstAndOnce(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	s.bury(t, letters("cms/a", "a", 30)...)
	s.bury(t, letters("cms/b", "b", 3)...)
	var got []string
	err := s.EachDead(t.Context(), "cms/a", func(d deliver.DeadLetter) error {
		got = append(got, d.Event.ID)
		again := d
		if err := s.Bury(t.Context(), again); err != nil { // as a redrive that fails does
			return err
		}
		n, err := s.RemoveDead(t.Context(), "cms/a", d.ID)
		if n != 1 {
			t.Errorf("%d were removed, want 1", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := newestFirst("a", 30)
	slices.Reverse(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
	enough := errors.New("enough")
	visits := 0
	if err := s.EachDead(t.Context(), "cms/a", func(deliver.DeadLetter) error { visits++; return enough }); !errors.Is(err, enough) || visits != 1 {
		t.Errorf("%d visits and %v", visits, err)
	}
	if err := s.EachDead(t.Context(), "cms/none", func(deliver.DeadLetter) error { return enough }); err != nil {
		t.Errorf("a route without any: %v", err)
	}
}

func TestDeadLettersExpire(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), func(o *queue.Options) { o.DeadLetterAge = 300 * time.Millisecond })
	s.bury(t, letters("cms/a", "a", 3)...)
	eventually.True(t, "the dead letters to expire", func() bool {
		page, next, err := s.DeadLetters(t.Context(), "cms/a", 0, 10)
		return err == nil && len(page) == 0 && next == 0
	})
	if _, err := s.DeadLetter(t.Context(), "cms/a", 1); !errors.Is(err, event.ErrNotFound) {
		t.Errorf("the error is %v, want ErrNotFound", err)
	}
}

func TestTheOldestOfTooManyDeadLettersGo(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	const kept = 10_000
	s.bury(t, letters("cms/b", "b", 5)...)
	s.bury(t, letters("cms/a", "a", kept+50)...)
	got := idsOf(s.allDead(t, "cms/a", 1000, nothing))
	if diff := cmp.Diff(newestFirst("a", kept+50)[:kept], got); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
	if got := s.allDead(t, "cms/b", 10, nothing); len(got) != 5 {
		t.Errorf("%d of another route are left, want all 5", len(got))
	}
	visits := 0
	if err := s.EachDead(t.Context(), "cms/a", func(d deliver.DeadLetter) error {
		if want := fmt.Sprint("a", visits+50); d.Event.ID != want {
			return fmt.Errorf("%s came, want %s", d.Event.ID, want)
		}
		visits++
		return nil
	}); err != nil || visits != kept {
		t.Errorf("%d visits, %v", visits, err)
	}
}

func TestALetterThatCannotBeReadHidesNoOther(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	s.bury(t, letters("cms/a", "a", 2)...)
	ack, err := s.js(t).Publish(t.Context(), "postrider.dead.cms.a", []byte("from a later version"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a1", "a0"}, idsOf(s.allDead(t, "cms/a", 1, nothing))); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
	if _, err := s.DeadLetter(t.Context(), "cms/a", ack.Sequence); err == nil || errors.Is(err, event.ErrNotFound) {
		t.Errorf("asked for the unreadable one: %v", err)
	}
	if n, err := s.RemoveDead(t.Context(), "cms/a", ack.Sequence); n != 1 || err != nil {
		t.Errorf("the unreadable one cannot be removed: %d, %v", n, err)
	}
}
