package queue_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/queue"
	"github.com/postrider/postrider/internal/eventually"
)

func TestADeferralComesBackWhenDueAlsoAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	e := anEvent("1")
	start := time.Now()
	soon := deliver.Deferral{Route: "cms/a", Attempts: 3, Due: start.Add(500 * time.Millisecond), Event: &e}
	later := deliver.Deferral{Route: "cms/b.with.dots", Attempts: 1, Due: start.Add(1500 * time.Millisecond), Event: &e}
	if err := s.Defer(t.Context(), soon, later); err != nil {
		t.Fatal(err)
	}
	s.close()

	s = open(t, dir)
	deferred, _, err := s.Owed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"cms/a": 1, "cms/b.with.dots": 1}, deferred); diff != "" {
		t.Error("owed (-want +got)\n" + diff)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got []deliver.Deferral
	s.Due(ctx, noGate, func(d deliver.Deferral, c *event.Claim) {
		for _, want := range []deliver.Deferral{soon, later} {
			if d.Route == want.Route && time.Now().Before(want.Due) {
				t.Errorf("%s came %s too early", d.Route, time.Until(want.Due))
			}
		}
		got = append(got, d)
		c.Done()
		if len(got) == 2 {
			cancel()
		}
	})
	soon.Due, later.Due = time.Time{}, time.Time{}
	if diff := cmp.Diff([]deliver.Deferral{soon, later}, got); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
	eventually.True(t, "the deferrals to be gone from the store", func() bool {
		deferred, _, err := s.Owed(t.Context())
		return err == nil && len(deferred) == 0
	})
}

func TestAParkedPackWithoutAScheduleIsSweptAtTheStart(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	e := anEvent("1")
	if err := s.Defer(t.Context(), deliver.Deferral{Route: "cms/a", Due: time.Now().Add(time.Hour), Event: &e}); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(s.conn)
	if err != nil {
		t.Fatal(err)
	}
	left := queue.AppendDeferral(nil, deliver.Deferral{Route: "cms/left", Event: &e})
	if _, err := js.Publish(t.Context(), "postrider.parked", left); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		deferred, _, err := s.Owed(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]int{"cms/a": 1}, deferred); diff != "" {
			t.Error("(-want +got)\n" + diff)
		}
	}
	parked, err := js.Stream(t.Context(), "POSTRIDER_PARKED")
	if err != nil {
		t.Fatal(err)
	}
	if n := parked.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("%d packs are parked, want 1", n)
	}
}

func TestDeferralsThatComeDueTogetherShareOneMessage(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 8, 0, 0, 123456789, time.UTC)
	for _, tt := range []struct {
		delay  time.Duration
		jitter float64
		atMost int           // slots for a thousand deferrals
		latest time.Duration // after they are due
	}{
		{100 * time.Millisecond, 0, 1, 100 * time.Millisecond},
		{5 * time.Second, 0.2, 25, 200 * time.Millisecond},
		{5 * time.Minute, 0.2, 25, 13 * time.Second},
		{2 * time.Hour, 0.2, 70, time.Minute},
	} {
		slots := map[time.Time]bool{}
		for i := range 1000 {
			due := now.Add(tt.delay + time.Duration(tt.jitter*float64(tt.delay)*(float64(i)/500-1)))
			at := queue.Slot(now, due)
			if at.Before(due) || at.Sub(due) > tt.latest {
				t.Fatalf("due in %s, it comes %s after that", due.Sub(now), at.Sub(due))
			}
			slots[at] = true
		}
		if len(slots) > tt.atMost {
			t.Errorf("a delay of %s makes %d slots, want at most %d", tt.delay, len(slots), tt.atMost)
		}
	}
}
