package queue_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/queue"
)

// full is an event with every field.
func full(id string) *event.Event {
	e := anEvent(id)
	e.Subject, e.Schema, e.Extensions = "s", "https://example.com/schema", map[string]string{"a": "1", "b": ""}
	e.Time = time.Date(2026, 11, 22, 8, 0, 0, 5, time.UTC)
	return &e
}

func encodeEvents(events []*event.Event) (pack []byte) {
	for _, e := range events {
		pack = e.Append(pack)
	}
	return pack
}

func encodeDeferrals(ds []deliver.Deferral) (pack []byte) {
	for _, d := range ds {
		pack = queue.AppendDeferral(pack, d)
	}
	return pack
}

func TestAPackComesApartAsItWasPutTogether(t *testing.T) {
	t.Parallel()
	events := []*event.Event{full("1"), {Namespace: "n", ID: "2", Source: "/s", Type: "t"}, full("3")}
	got, err := queue.DecodeEvents(encodeEvents(events))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(events, got); diff != "" {
		t.Error("events (-want +got)\n" + diff)
	}

	ds := []deliver.Deferral{{Route: "cms/a", Attempts: 3, Event: events[0]}, {Route: "cms/b.with.dots", Event: events[1]}}
	back, err := queue.DecodeDeferrals(encodeDeferrals(ds))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ds, back); diff != "" {
		t.Error("deferrals (-want +got)\n" + diff)
	}
}

func TestAPackThatIsCutIsRefused(t *testing.T) {
	t.Parallel()
	events := encodeEvents([]*event.Event{full("1")})
	for n := 1; n < len(events); n++ {
		if _, err := queue.DecodeEvents(events[:n]); err == nil {
			t.Errorf("%d of %d bytes are events", n, len(events))
		}
	}
	ds := encodeDeferrals([]deliver.Deferral{{Route: "cms/a", Attempts: 300, Event: full("1")}})
	for n := 1; n < len(ds); n++ {
		if _, err := queue.DecodeDeferrals(ds[:n]); err == nil {
			t.Errorf("%d of %d bytes are deferrals", n, len(ds))
		}
	}
}

func FuzzDecodeEvents(f *testing.F) {
	f.Add([]byte{})
	f.Add(encodeEvents([]*event.Event{full("1"), full("2")}))
	f.Add([]byte("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, pack []byte) {
		events, err := queue.DecodeEvents(pack)
		if err != nil {
			return
		}
		again, err := queue.DecodeEvents(encodeEvents(events))
		if err != nil {
			t.Fatalf("what was decoded does not decode again: %v", err)
		}
		if diff := cmp.Diff(events, again, cmpopts.EquateEmpty()); diff != "" {
			t.Error("(-first +again)\n" + diff)
		}
	})
}

func FuzzDecodeDeferrals(f *testing.F) {
	f.Add([]byte{})
	f.Add(encodeDeferrals([]deliver.Deferral{{Route: "cms/a", Attempts: 3, Event: full("1")}, {Event: full("2")}}))
	f.Add([]byte("\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, pack []byte) {
		ds, err := queue.DecodeDeferrals(pack)
		if err != nil {
			return
		}
		again, err := queue.DecodeDeferrals(encodeDeferrals(ds))
		if err != nil {
			t.Fatalf("what was decoded does not decode again: %v", err)
		}
		if diff := cmp.Diff(ds, again, cmpopts.EquateEmpty()); diff != "" {
			t.Error("(-first +again)\n" + diff)
		}
	})
}
