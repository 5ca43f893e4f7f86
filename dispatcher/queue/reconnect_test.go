package queue_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/internal/eventually"
)

// severAtTimes makes the connection anew six times, while something is under way.
func (s *store) severAtTimes(t *testing.T, underway func() error) {
	t.Helper()
	for i := range 600 {
		if err := underway(); err != nil {
			t.Logf("after %d: %v", i, err)
		}
		if i%100 == 50 {
			if err := s.conn.ForceReconnect(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// unsettled is how many messages of a stream its consumer has not brought, or
// not been told to be settled.
func (s *store) unsettled(t *testing.T, stream, consumer string) int {
	t.Helper()
	c, err := s.js(t).Consumer(t.Context(), stream, consumer)
	if err != nil {
		t.Fatal(err)
	}
	return int(c.CachedInfo().NumPending) + c.CachedInfo().NumAckPending
}

// An arrivalsLog is what came, in the order in which it first came.
type arrivalsLog struct {
	mu    sync.Mutex
	first []string
	came  map[string]bool
}

func (l *arrivalsLog) note(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.came == nil {
		l.came = map[string]bool{}
	}
	if !l.came[id] {
		l.came[id] = true
		l.first = append(l.first, id)
	}
}

func (l *arrivalsLog) has(ids []string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !slices.ContainsFunc(ids, func(id string) bool { return !l.came[id] })
}

// What was on its way is lost with a connection, and the server would give it
// to nobody before the next start.
func TestEventsComeInOrderAndNoneStaysWhenTheConnectionIsMadeAgain(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	var came arrivalsLog
	claims := make(chan *event.Claim, 1<<16)
	ctx, cancel := context.WithCancel(t.Context())
	var feeds sync.WaitGroup
	feeds.Go(func() {
		s.Events(ctx, noGate, func(st event.Stored) { came.note(st.Event.ID); claims <- st.Claim })
		close(claims)
	})
	feeds.Go(func() {
		for c := range claims {
			c.Done()
		}
	})
	var accepted []string
	n := 0
	s.severAtTimes(t, func() error {
		id := fmt.Sprintf("%06d", n)
		n++
		err := s.Append(t.Context(), []event.Event{anEvent(id)})
		if err == nil {
			accepted = append(accepted, id)
		}
		return err
	})
	eventually.True(t, "all that was accepted to come, and nothing to stay", func() bool {
		return came.has(accepted) && s.unsettled(t, "POSTRIDER_EVENTS", "fanout") == 0
	})
	cancel()
	feeds.Wait()
	if !slices.IsSorted(came.first) {
		t.Errorf("events came in another order than they were accepted in: %v", came.first)
	}
	if kept := s.HandedOver(); kept != 0 {
		t.Errorf("%d bytes stayed behind", kept)
	}
}

func TestWhatIsDueComesAlsoWhenTheConnectionIsMadeAgain(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	var came arrivalsLog
	ctx, cancel := context.WithCancel(t.Context())
	var feeds sync.WaitGroup
	feeds.Go(func() {
		s.Due(ctx, noGate, func(d deliver.Deferral, c *event.Claim) { came.note(d.Event.ID); c.Done() })
	})
	var deferred []string
	n := 0
	s.severAtTimes(t, func() error {
		d := owed("cms/a", n)[0]
		d.Due = time.Now()
		n++
		err := s.Defer(t.Context(), d)
		if err == nil {
			deferred = append(deferred, d.Event.ID)
		}
		return err
	})
	eventually.True(t, "all that was deferred to come, and nothing to stay", func() bool {
		return came.has(deferred) && s.unsettled(t, "POSTRIDER_DEFERRED", "due") == 0
	})
	cancel()
	feeds.Wait()
}
