package event_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/event"
)

func fullEvent() *event.Event {
	return &event.Event{
		Namespace: "cms", ID: "1", Source: "/cm", Type: "item:added", Subject: "s", ContentType: "application/json",
		Schema: "https://example.com/schema", Extensions: map[string]string{"b": "2", "a": "1"},
		Time: time.Date(2026, 11, 22, 8, 0, 0, 7, time.UTC), Accepted: time.Date(2026, 11, 22, 8, 0, 1, 0, time.UTC),
		Data: []byte(`{"a":1}`),
	}
}

func TestStoredEventsComeBackAsTheyWere(t *testing.T) {
	for name, want := range map[string]*event.Event{
		"full": fullEvent(), "empty": {}, "one before 1970": {Time: time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC)},
		"one at the end of time": {Time: time.Date(9999, 12, 31, 23, 59, 59, 999, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			pack := fullEvent().Append(want.Append(nil))
			got, rest, err := event.Decode(pack)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
			second, rest, err := event.Decode(rest)
			if err != nil || len(rest) != 0 {
				t.Fatalf("after the first event: error %v, %d bytes left", err, len(rest))
			}
			if diff := cmp.Diff(fullEvent(), second); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
		})
	}
}

func TestCutEventsAreRefused(t *testing.T) {
	whole := fullEvent().Append(nil)
	for n := range whole {
		if _, _, err := event.Decode(whole[:n]); err == nil {
			t.Errorf("the first %d of %d bytes decode", n, len(whole))
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(fullEvent().Append(nil))
	f.Add([]byte{1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, _, err := event.Decode(b)
		if err != nil {
			return
		}
		again, rest, err := event.Decode(e.Append(nil))
		if err != nil || len(rest) != 0 || !bytes.Equal(again.Append(nil), e.Append(nil)) {
			t.Errorf("an event that decodes does not survive: %v", err)
		}
	})
}

func TestKey(t *testing.T) {
	base := event.Event{Namespace: "cms", Source: "/cm", ID: "1"}
	again := base
	again.Type, again.Data = "other", []byte("other")
	if base.Key() != again.Key() {
		t.Error("namespace, source and id do not decide alone")
	}
	for _, other := range []event.Event{
		{Namespace: "cms2", Source: "/cm", ID: "1"}, {Namespace: "cms", Source: "/cm2", ID: "1"},
		{Namespace: "cms", Source: "/cm", ID: "2"}, {Namespace: "cms", Source: "/cm\x001"},
	} {
		if other.Key() == base.Key() {
			t.Errorf("%+v has the same key", other)
		}
	}
	if got, want := base.Key().String(), "msg_"; len(got) != 30 || got[:4] != want {
		t.Errorf("the webhook-id is %q", got)
	}
}

func TestAClaimIsReleasedOnceByTheLastDone(t *testing.T) {
	released := 0
	c := event.NewClaim(func() { released++ })
	c.Add(2)
	c.Done()
	c.Done()
	if released != 0 {
		t.Fatal("it is released while its maker holds it")
	}
	c.Done()
	if released != 1 {
		t.Fatalf("it is released %d times", released)
	}
	defer func() {
		if recover() == nil {
			t.Error("settling it once too often goes unnoticed")
		}
	}()
	c.Done()
}
