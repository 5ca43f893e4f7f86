package queue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/queue"
)

// takeData consumes until n events came, settles them, and returns the data of each.
func (s *store) takeData(t *testing.T, n int) map[string][]byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	all := map[string][]byte{}
	s.Events(ctx, noGate, func(st event.Stored) {
		all[st.Event.ID] = st.Event.Data
		st.Claim.Done()
		if len(all) == n {
			cancel()
		}
	})
	return all
}

// large makes n events, each with data of its own that fills a pack.
func large(n int) (events []event.Event, data map[string][]byte) {
	data = map[string][]byte{}
	for i := range n {
		e := anEvent(fmt.Sprint("large", i))
		e.Data = fmt.Appendf(nil, "%q", bytes.Repeat([]byte{'a' + byte(i)}, 900_000))
		events, data[e.ID] = append(events, e), e.Data
	}
	return events, data
}

func TestWhatTheHandoverHasNoRoomForIsReadFromTheStore(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	const n = 12
	events, want := large(n)
	for i := range events {
		if err := s.Append(t.Context(), events[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if kept := s.HandedOver(); kept == 0 || kept > queue.MaxHandover {
		t.Errorf("%d bytes wait for the consumer, want some, at most %d", kept, queue.MaxHandover)
	}
	if !maps.EqualFunc(want, s.takeData(t, n), bytes.Equal) {
		t.Error("other data came out than went in")
	}
	if kept := s.HandedOver(); kept != 0 {
		t.Errorf("%d bytes stayed behind", kept)
	}
}

func TestAPackThatIsNotStoredIsNotKept(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), func(o *queue.Options) { o.MaxBytes = 4 << 20 })
	events, want := large(6)
	stored := 0
	for i := range events {
		switch err := s.Append(t.Context(), events[i:i+1]); {
		case err == nil:
			stored++
		case errors.Is(err, event.ErrFull):
			delete(want, events[i].ID)
		default:
			t.Fatal(err)
		}
	}
	if stored == 0 || stored == len(events) {
		t.Fatalf("%d of %d were stored", stored, len(events))
	}
	if !maps.EqualFunc(want, s.takeData(t, stored), bytes.Equal) {
		t.Error("other data came out than went in")
	}
	if kept := s.HandedOver(); kept != 0 {
		t.Errorf("%d bytes stayed behind", kept)
	}
}

func TestAStoreChangesHandsWithWhatItHolds(t *testing.T) {
	t.Parallel()
	for name, exclusive := range map[string]bool{"one dispatcher takes over from several": true, "several take over from one": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, want := t.TempDir(), map[string][]byte{}
			before := open(t, dir, func(o *queue.Options) { o.Exclusive = !exclusive })
			for _, e := range events(10) {
				if err := before.Append(t.Context(), []event.Event{e}); err != nil {
					t.Fatal(err)
				}
				want[e.ID] = e.Data
			}
			before.close()
			after := open(t, dir, func(o *queue.Options) { o.Exclusive = exclusive })
			if got := after.takeData(t, len(want)); !maps.EqualFunc(want, got, bytes.Equal) {
				t.Errorf("%d events came out, want the %d that went in", len(got), len(want))
			}
		})
	}
}

func TestAPackThatComesAgainIsReadFromTheStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Append(t.Context(), events(3)); err != nil {
		t.Fatal(err)
	}
	if got := s.take(t, 3, func(string) bool { return false }); len(got) != 3 {
		t.Fatalf("%d of 3 events came", len(got))
	}
	s.close()
	if got := open(t, dir).takeData(t, 3); len(got) != 3 {
		t.Errorf("%d of 3 events came again", len(got))
	}
}
