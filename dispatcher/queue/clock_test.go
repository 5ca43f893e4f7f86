package queue_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/queue"
	"github.com/postrider/postrider/internal/eventually"
)

func TestWhatTheTimersMissComesOnceWhenItIsOverdue(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	other := s.another(t)
	now := time.Now()
	for _, in := range []struct { // each in a pack of its own
		route string
		due   time.Duration
	}{{"cms/a", time.Hour}, {"cms/a", time.Hour}, {"cms/b", 3 * time.Hour}} {
		d := owed(in.route, 1)[0]
		d.Due = now.Add(in.due)
		if err := s.Defer(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.AnnounceOverdue(t.Context(), now.Add(30*time.Minute)); n != 0 || err != nil {
		t.Errorf("%d announced, %v, and nothing is due", n, err)
	}

	var announced [4]int
	var all sync.WaitGroup
	for i := range announced {
		q := []*queue.Queue{s.Queue, other}[i%2]
		all.Go(func() {
			var err error
			if announced[i], err = q.AnnounceOverdue(t.Context(), now.Add(2*time.Hour)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if sum := announced[0] + announced[1] + announced[2] + announced[3]; sum != 2 {
		t.Errorf("%v announced, want 2 in all", announced)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var came []string
	s.Due(ctx, noGate, func(d deliver.Deferral, c *event.Claim) {
		came = append(came, d.Route)
		c.Done()
		if len(came) == 2 {
			cancel()
		}
	})
	if diff := cmp.Diff([]string{"cms/a", "cms/a"}, came); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
	eventually.True(t, "one schedule to be left, and its pack", func() bool {
		_, schedules := s.infoOf(t, "POSTRIDER_DEFERRED")
		_, parked := s.infoOf(t, "POSTRIDER_PARKED")
		stored, _, err := s.Counts(t.Context())
		return err == nil && cmp.Equal(map[string]int{"cms/b": 1}, stored) && schedules.State.Msgs == 1 && parked.State.Msgs == 1
	})
}

func TestATimerIsBehindByWhatTheClockWasSetForward(t *testing.T) {
	t.Parallel()
	const h = time.Hour
	for _, tt := range []struct {
		name  string
		ahead []time.Duration
		want  time.Duration
	}{
		{"never set", []time.Duration{0, 0}, 0},
		{"forward", []time.Duration{0, h}, h},
		{"forward and back", []time.Duration{0, h, 0}, 0},
		{"back", []time.Duration{0, -h}, 0},
		{"back and forward", []time.Duration{0, -h, 0}, h},
		{"back, forward, and further", []time.Duration{-h, h, 3 * h}, 4 * h},
	} {
		if got := queue.Behind(tt.ahead...); got != tt.want {
			t.Errorf("%s: it is behind by %s, want %s", tt.name, got, tt.want)
		}
	}
}
