package queue_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/queue"
)

func (s *store) append(tb testing.TB, events ...event.Event) {
	tb.Helper()
	if err := s.Append(tb.Context(), events); err != nil {
		tb.Fatal(err)
	}
}

// history lists the events of cms as "id@message".
func (s *store) history(tb testing.TB, from, to time.Time, after uint64) (got []string) {
	tb.Helper()
	_, err := s.History(tb.Context(), "cms", from, to, after, func(st event.Stored) error {
		if st.Claim != nil || st.Event.Namespace != "cms" {
			tb.Errorf("%+v", st)
		}
		got = append(got, fmt.Sprint(st.Event.ID, "@", st.Seq))
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return got
}

func TestHistoryKeepsToTheTimesAtWhichEventsWereAccepted(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	now := time.Now().UTC()
	at := func(id string, accepted time.Time) event.Event {
		e := anEvent(id)
		e.Accepted = accepted
		return e
	}
	from, to := now.Add(-10*time.Second), now.Add(10*time.Second)
	s.append(t, at("early", from.Add(-1)), at("first", from))
	theirs := at("theirs", now)
	theirs.Namespace = "shop"
	s.append(t, theirs, at("last", to.Add(-1)), at("late", to))
	s.append(t, at("middle", now))

	far := now.AddDate(300, 0, 0)
	for _, tt := range []struct {
		name     string
		from, to time.Time
		after    uint64
		want     []string
	}{
		{"from on, before to", from, to, 0, []string{"first@1", "last@2", "middle@3"}},
		{"behind the first message", from, to, 1, []string{"last@2", "middle@3"}},
		{"behind the last message", from, to, 3, nil},
		{"behind what there is", from, to, 1 << 62, nil},
		{"one instant", to, to.Add(1), 0, []string{"late@2"}},
		{"no time", from, from, 0, nil},
		{"the wrong way round", to, from, 0, nil},
		{"all", time.Time{}, far, 0, []string{"early@1", "first@1", "last@2", "late@2", "middle@3"}},
		{"long ago", time.Time{}, now.Add(-time.Hour), 0, nil},
		{"in a while", now.Add(time.Hour), far, 0, nil},
		{"in the far future", far, far.AddDate(9000, 0, 0), 0, nil},
	} {
		if diff := cmp.Diff(tt.want, s.history(t, tt.from, tt.to, tt.after)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tt.name, diff)
		}
	}
}

func TestHistoryOfManyEventsComesInOrderAndStopsWhenTold(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	now := time.Now()
	if got := s.history(t, time.Time{}, now.Add(time.Hour), 0); got != nil {
		t.Errorf("an empty store has %v", got)
	}
	const n = 40
	var want []string
	for i := range n {
		e := anEvent(fmt.Sprint("e", i))
		e.Data = make([]byte, 400<<10) // several requests to the store
		s.append(t, e)
		want = append(want, fmt.Sprintf("e%d@%d", i, i+1))
	}
	stream := s.stream(t, "POSTRIDER_EVENTS")
	consumers := stream.CachedInfo().State.Consumers
	if diff := cmp.Diff(want, s.history(t, now.Add(-time.Hour), now.Add(time.Hour), 0)); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}

	enough := errors.New("enough")
	visits := 0
	seen, err := s.History(t.Context(), "cms", time.Time{}, now.Add(time.Hour), 0, func(event.Stored) error {
		if visits++; visits == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || visits != 3 || seen != 2 {
		t.Errorf("after %d visits, done with %d: %v", visits, seen, err)
	}
	if seen, err = s.History(t.Context(), "nobody", time.Time{}, now.Add(time.Hour), 0, nil); err != nil || seen != n {
		t.Errorf("where there is nothing to visit it is done with %d: %v", seen, err)
	}

	// What was trimmed, also in between, is not there.
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSequence(4)); err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(t.Context(), 20); err != nil {
		t.Fatal(err)
	}
	want = append(want[3:19:19], want[20:]...)
	for _, from := range []time.Time{{}, now.Add(-time.Hour)} {
		if diff := cmp.Diff(want, s.history(t, from, now.Add(time.Hour), 0)); diff != "" {
			t.Error("after trimming (-want +got)\n" + diff)
		}
	}
	if info, err := stream.Info(t.Context()); err != nil || info.State.Consumers != consumers {
		t.Errorf("there are %d consumers, before there were %d; %v", info.State.Consumers, consumers, err)
	}
	if got := s.take(t, n-4, every); len(got) != n-4 {
		t.Errorf("reading the history took events from the fanout: %d came, want %d", len(got), n-4)
	}
}

func TestHistoryLeavesOutWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	s.append(t, anEvent("1"))
	if _, err := s.js(t).Publish(t.Context(), "postrider.events", []byte("from a later version")); err != nil {
		t.Fatal(err)
	}
	s.append(t, anEvent("2"))
	if diff := cmp.Diff([]string{"1@1", "2@3"}, s.history(t, time.Time{}, time.Now().Add(queue.Apart), 0)); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

func TestAnEventIsFoundByItsPlaceAndKey(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	one, two, three := anEvent("1"), *full("2"), anEvent("3")
	s.append(t, one, two)
	s.append(t, three)
	got, err := s.Find(t.Context(), 1, two.Key())
	if diff := cmp.Diff(&two, got); err != nil || diff != "" {
		t.Errorf("error %v (-want +got)\n%s", err, diff)
	}
	for _, tt := range []struct {
		name string
		seq  uint64
		key  event.Key
	}{
		{"in another message", 1, three.Key()},
		{"in a message that is not there", 3, one.Key()},
		{"in no message", 0, one.Key()},
		{"far away", 1 << 63, one.Key()},
		{"of no event", 1, event.Key{}},
	} {
		if _, err := s.Find(t.Context(), tt.seq, tt.key); !errors.Is(err, event.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", tt.name, err)
		}
	}
	stream := s.stream(t, "POSTRIDER_EVENTS")
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSequence(2)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Find(t.Context(), 1, one.Key()); !errors.Is(err, event.ErrNotFound) {
		t.Errorf("trimmed: %v, want ErrNotFound", err)
	}
}
