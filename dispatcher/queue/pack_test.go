package queue_test

import (
	"bytes"
	"encoding/hex"
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

	ds := []deliver.Deferral{{Route: "cms/a", Attempts: 3, Event: events[0]}, {Route: "cms/b.with.dots", Event: events[1]},
		{Route: "cms/a", Key: 1, Attempts: 1 << 20, Event: events[2]}, {Route: "cms/a", Key: 1<<64 - 1, Unchecked: true, Event: events[2]},
	}
	back, err := queue.DecodeDeferrals(encodeDeferrals(ds))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ds, back); diff != "" {
		t.Error("deferrals (-want +got)\n" + diff)
	}
}

// Stores are opened by later versions: what is stored must be read as it was.
func TestStoredDeliveriesStayReadable(t *testing.T) {
	t.Parallel()
	e := event.Event{
		Namespace: "cms", ID: "1", Source: "/s", Type: "item:added", ContentType: "application/json", Data: []byte("{}"),
		Accepted: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC),
	}
	const rest = "636d732f61" + "013500000003636d730131022f730a6974656d3a616464656400106170706c69636174696f6e2f6a736f6e00ffdb8ff9ce0300808495b00d0000027b7d"
	for _, tt := range []struct {
		stored string
		want   deliver.Deferral
	}{
		{"03ac0205" + rest, deliver.Deferral{Route: "cms/a", Attempts: 3, Seq: 300, Event: &e}}, // as before there were keys
		{"83808003ac02050123456789abcdef" + rest, deliver.Deferral{Route: "cms/a", Key: 0x0123456789abcdef, Unchecked: true, Attempts: 3, Seq: 300, Event: &e}},
		{"80808001000500000000000000ff" + rest, deliver.Deferral{Route: "cms/a", Key: 255, Event: &e}},
		{"808080020005" + rest, deliver.Deferral{Route: "cms/a", Unchecked: true, Event: &e}},
	} {
		stored, err := hex.DecodeString(tt.stored)
		if err != nil {
			t.Fatal(err)
		}
		got, err := queue.DecodeDeferrals(stored)
		if err != nil {
			t.Fatalf("%s: %v", tt.stored, err)
		}
		if diff := cmp.Diff([]deliver.Deferral{tt.want}, got); diff != "" {
			t.Error("(-want +got)\n" + diff)
		}
		if again := queue.AppendDeferral(nil, tt.want); !bytes.Equal(stored, again) {
			t.Errorf("it is stored as %x, want %x", again, stored)
		}
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
	ds := encodeDeferrals([]deliver.Deferral{{Route: "cms/a", Key: 7, Attempts: 300, Event: full("1")}})
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
	f.Add(encodeDeferrals([]deliver.Deferral{{Route: "cms/a", Key: 1 << 63, Unchecked: true, Attempts: 1, Event: full("1")}}))
	f.Add([]byte("\x80\x80\x80\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
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
