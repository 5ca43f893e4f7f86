package queue_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/outcome"
)

func TestWhatCannotBeStoredIsSetAsideAndHoldsUpNothing(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	large := owed("cms/a", 99)
	large[0].Event.Data = make([]byte, 9<<20) // more than a message may have
	for _, refused := range []deliver.Deferral{owed("cms/*", 99)[0], owed("made up", 99)[0], large[0]} {
		all := slices.Concat(keyed("cms/a", 1, 0), owed("cms/a", 1), []deliver.Deferral{refused}, keyed("cms/a", 1, 2), owed("cms/a", 3, 4))
		if err := s.Enqueue(t.Context(), all...); err != nil {
			t.Fatalf("with one of %q of %d bytes: %v", refused.Route, refused.Event.Size(), err)
		}
		var got []string
		for _, from := range []deliver.QueueID{{Route: "cms/a"}, {Route: "cms/a", Key: 1}} {
			for {
				ds, claims, err := s.Dequeue(t.Context(), from)
				if err != nil {
					t.Fatal(err)
				}
				if len(ds) == 0 {
					break
				}
				got = append(got, ids(ds)...)
				settle(claims)
			}
		}
		if diff := cmp.Diff([]string{"1", "3", "4", "0", "2"}, got); diff != "" {
			t.Errorf("with one of %q (-want +got)\n%s", refused.Route, diff)
		}
	}
	later := append(owed("cms/a", 1, 2), large[0])
	for i := range later {
		later[i].Due = time.Now().Add(time.Hour)
	}
	if err := s.Defer(t.Context(), later...); err != nil {
		t.Error(err)
	}
	deferred, err := s.Deferred(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[deliver.QueueID]int{{Route: "cms/a"}: 2}, deferred); diff != "" {
		t.Error("deferred (-want +got)\n" + diff)
	}

	letter := func(route string) deliver.DeadLetter {
		return deliver.DeadLetter{Route: route, Why: outcome.Outcome{Reason: outcome.RouteGone}, At: time.Now(), Event: large[0].Event}
	}
	small := anEvent("1")
	letters := []deliver.DeadLetter{letter("cms/a"), letter("cms/*"), letter("cms/a"), letter("cms/b")}
	letters[1].Event, letters[3].Event = &small, &small
	if err := s.Bury(t.Context(), letters...); err != nil {
		t.Error(err)
	}
	_, dead, err := s.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	delete(dead, "postrider.unreadable")
	if diff := cmp.Diff(map[string]int{"cms/b": 1}, dead); diff != "" {
		t.Error("dead (-want +got)\n" + diff)
	}
	if err := s.Ready(); err != nil {
		t.Errorf("the store says of itself: %v", err)
	}
}
