package queue_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
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
	deferred, _, err := s.Counts(t.Context())
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
		deferred, _, err := s.Counts(t.Context())
		return err == nil && len(deferred) == 0
	})
}

// parkOnly leaves d as a crash does that comes before it has a schedule.
func (s *store) parkOnly(t *testing.T, d deliver.Deferral) {
	t.Helper()
	msg := nats.NewMsg("postrider.parked")
	msg.Header.Set(queue.HeaderOwed, queue.FormatTallies(d.Queue(), 1, 99))
	msg.Data = queue.AppendDeferral(nil, d)
	if _, err := s.js(t).PublishMsg(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
}

func TestAParkedPackWithoutAScheduleIsSweptAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	e := anEvent("1")
	if err := s.Defer(t.Context(), deliver.Deferral{Route: "cms/a", Due: time.Now().Add(time.Hour), Event: &e}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.parkOnly(t, deliver.Deferral{Route: "cms/left", Event: &e})
	}
	s.close()

	s = open(t, dir)
	if err := s.Defer(t.Context(), deliver.Deferral{Route: "cms/a", Due: time.Now().Add(time.Hour), Event: &e}); err != nil {
		t.Fatal(err)
	}
	stored, _, err := s.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"cms/a": 2}, stored); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

func TestWhatIsParkedInVainIsRemovedAtOnce(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	schedules := func(most int32) { // most bytes of each
		t.Helper()
		s.change(t, "POSTRIDER_DEFERRED", func(c *jetstream.StreamConfig) { c.MaxMsgSize = most })
	}
	e := anEvent("1")
	d := deliver.Deferral{Route: "cms/a", Attempts: 1, Due: time.Now().Add(200 * time.Millisecond), Event: &e}
	schedules(1)
	for range 3 {
		if err := s.Defer(t.Context(), d); err == nil {
			t.Fatal("it says that it is deferred, and nothing is scheduled")
		}
	}
	parked := func() uint64 {
		_, info := s.infoOf(t, "POSTRIDER_PARKED")
		return info.State.Msgs
	}
	eventually.True(t, "nothing to be parked", func() bool { return parked() == 0 })
	eventually.True(t, "nothing to be owed", func() bool {
		stored, _, err := s.Counts(t.Context())
		return err == nil && len(stored) == 0
	})

	schedules(-1)
	if err := s.Defer(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if stored, _, err := s.Counts(t.Context()); err != nil || stored["cms/a"] != 1 {
		t.Errorf("%v are owed, %v", stored, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s.Due(ctx, noGate, func(got deliver.Deferral, c *event.Claim) {
		if got.Event.ID != e.ID {
			t.Errorf("%s came", got.Event.ID)
		}
		c.Done()
		cancel()
	})
	eventually.True(t, "all to be gone from the store", func() bool {
		stored, _, err := s.Counts(t.Context())
		return err == nil && len(stored) == 0 && parked() == 0
	})
}

func TestAPackWithoutAScheduleIsFoundAmongOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	e := anEvent("1")
	deferral := deliver.Deferral{Route: "cms/a", Due: time.Now().Add(time.Hour), Event: &e}
	if err := s.Defer(t.Context(), deferral); err != nil {
		t.Fatal(err)
	}
	s.parkOnly(t, deliver.Deferral{Route: "cms/left", Event: &e})
	if err := s.Defer(t.Context(), deferral); err != nil {
		t.Fatal(err)
	}
	s.close()

	s = open(t, dir)
	eventually.True(t, "the pack that was left to be gone, and the others to stay", func() bool {
		stored, _, err := s.Counts(t.Context())
		return err == nil && cmp.Equal(map[string]int{"cms/a": 2}, stored)
	})
}

func TestWhatMayHaveBeenSweptBeforeItHadAScheduleIsNotBelieved(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	d := owed("cms/a", 1)[0]
	d.Due = time.Now().Add(time.Hour)
	for _, tt := range []struct {
		age  time.Duration
		kept bool
	}{{time.Hour, true}, {time.Nanosecond, false}} {
		q := s.another(t, func(o *queue.Options) { o.Sweeping(tt.age) })
		if err := q.Defer(t.Context(), d); (err == nil) != tt.kept {
			t.Errorf("when packs are swept after %s it says %v", tt.age, err)
		}
	}
}

func TestAPackThatTheServersHaveNotComeToYetIsNotTakenForSettled(t *testing.T) {
	t.Parallel()
	ns := aServer(t, func(*server.Options) {})
	nc := connect(t, ns.ClientURL())
	q := openAt(t, nc, 64<<20)
	if err := nc.Publish("postrider.deferred.due.1", nil); err != nil { // of the first pack that will ever be parked
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var due sync.WaitGroup
	due.Go(func() { q.Due(ctx, noGate, func(deliver.Deferral, *event.Claim) {}) })
	defer due.Wait()
	defer cancel()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "it to be looked for again and again", func() bool {
		c, err := js.Consumer(t.Context(), "POSTRIDER_DEFERRED", "due")
		return err == nil && c.CachedInfo().Delivered.Consumer > queue.MissingTries+1
	})
}

func TestManyPacksAreParkedAndScheduledTogether(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	start := time.Now()
	ds := make([]deliver.Deferral, 300)
	for i := range ds {
		e := anEvent(fmt.Sprint(i))
		ds[i] = deliver.Deferral{Route: "cms/a", Seq: uint64(i), Due: start.Add(time.Duration(i%3) * 200 * time.Millisecond), Event: &e}
	}
	if err := s.Defer(t.Context(), ds...); err != nil {
		t.Fatal(err)
	}
	came, claims := s.due(t, len(ds))
	settle(claims)
	got := map[string]uint64{}
	for _, d := range came {
		got[d.Event.ID] = d.Seq
	}
	if len(got) != len(ds) {
		t.Fatalf("%d of %d came", len(got), len(ds))
	}
	for i := range ds {
		if seq := got[fmt.Sprint(i)]; seq != uint64(i) {
			t.Errorf("the event of delivery %d is said to be at %d", i, seq)
		}
	}
	eventually.True(t, "nothing to be owed", func() bool {
		stored, _, err := s.Counts(t.Context())
		return err == nil && len(stored) == 0
	})
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
