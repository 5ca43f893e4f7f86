package queue_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/queue"
	"github.com/postrider/postrider/internal/eventually"
)

// aRecord is an attempt as it usually is.
func aRecord(route string, n int) *deliver.Record {
	e := anEvent(fmt.Sprint("e", n))
	return &deliver.Record{
		Delivery: deliver.DeliveryID(uint64(n), e.Key()), Route: route,
		EventID: e.ID, EventType: e.Type, WebhookID: e.Key().String(),
		Attempt: 2, Started: time.Date(2026, 11, 22, 8, 0, 0, n, time.UTC),
		Reason: outcome.ReceiverError, Next: time.Date(2026, 11, 22, 8, 5, 0, 0, time.UTC),
		Request: deliver.RequestRecord{Host: "receiver.example.com", Bytes: 1024, Header: http.Header{
			"Content-Type": {"application/json"}, "User-Agent": {"Postrider/1.0"}, "Authorization": {"[redacted]"},
			"Webhook-Id": {e.Key().String()}, "Webhook-Timestamp": {"1795334400"}, "Webhook-Signature": {"[redacted]"},
		}},
		Response: &deliver.ResponseRecord{Status: 503, Bytes: 21, Body: "come back later, please", Header: http.Header{
			"Content-Type": {"text/plain; charset=utf-8"}, "Date": {"Sun, 22 Nov 2026 08:00:00 GMT"}, "Content-Length": {"21"},
		}},
		Timings: egress.Timings{DNS: 1e6, Connect: 2e6, TLS: 3e6, FirstByte: 7e6, Total: 8e6},
	}
}

// attempts pages through the log of a route.
func (s *store) attempts(tb testing.TB, route string, limit int) (all []deliver.Record) {
	tb.Helper()
	before := uint64(0)
	for {
		page, next, err := s.Attempts(tb.Context(), route, before, limit)
		if err != nil {
			tb.Fatal(err)
		}
		if len(page) > limit {
			tb.Fatalf("a page has %d records, at most %d were asked for", len(page), limit)
		}
		if all = append(all, page...); next == 0 {
			return all
		}
		before = next
	}
}

// recorded waits until the newest record of a route is that of event "e<n>".
func (s *store) recorded(tb testing.TB, route string, n int) {
	tb.Helper()
	eventually.True(tb, "the record to be written", func() bool {
		page, _, err := s.Attempts(tb.Context(), route, 0, 1)
		return err == nil && len(page) == 1 && page[0].EventID == fmt.Sprint("e", n)
	})
}

func TestAttemptsAreListedNewestFirstByRoute(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), func(o *queue.Options) { o.MaxAttempts = 50 })
	routes := []string{"cms/a", "cms/a.b", "shop/a"}
	const n = 120
	for i := range n {
		for _, route := range routes {
			s.Keep(aRecord(route, i))
		}
	}
	for _, route := range routes {
		s.recorded(t, route, n-1)
		var want []deliver.Record
		for i := range 50 {
			want = append(want, *aRecord(route, n-1-i))
		}
		for _, limit := range []int{7, 50, 1000} {
			if diff := cmp.Diff(want, s.attempts(t, route, limit)); diff != "" {
				t.Errorf("%s, pages of %d (-want +got)\n%s", route, limit, diff)
			}
		}
	}
	if got := s.attempts(t, "cms/none", 10); got != nil {
		t.Errorf("a route without attempts has %v", got)
	}
	for _, route := range []string{"cms/*", "*/a", "cms/>", "", "cms"} {
		if got, _, err := s.Attempts(t.Context(), route, 0, 10); err == nil || got != nil {
			t.Errorf("%q is taken for a route and has %d records", route, len(got))
		}
	}
	if n := s.DroppedRecords(); n != 0 {
		t.Errorf("%d records were dropped", n)
	}
}

func TestClosingWritesTheRecordsInHand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	const n = 400
	for i := range n {
		s.Keep(aRecord("cms/a", i))
	}
	s.close()
	if got := open(t, dir).attempts(t, "cms/a", 100); len(got) != n {
		t.Errorf("%d of %d records were written", len(got), n)
	}
}

func TestKeepingARecordNeverWaits(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	s.close() // nobody writes any more
	const more = 10
	for i := range queue.MaxUnwritten + more {
		s.Keep(aRecord("cms/a", i))
	}
	if n := s.DroppedRecords(); n != more {
		t.Errorf("%d records were dropped, want %d", n, more)
	}
}

func TestARecordOfNoRouteIsDroppedAndCounted(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	s.Keep(aRecord("cms/*", 0))
	s.Keep(aRecord("cms/a", 1))
	s.recorded(t, "cms/a", 1)
	if n := s.DroppedRecords(); n != 1 {
		t.Errorf("%d records were dropped, want 1", n)
	}
}

func TestRecordsExpire(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), func(o *queue.Options) { o.AttemptAge = 300 * time.Millisecond })
	s.Keep(aRecord("cms/a", 1))
	s.recorded(t, "cms/a", 1)
	eventually.True(t, "the record to expire", func() bool { return s.attempts(t, "cms/a", 10) == nil })
}

func TestTheAttemptLogIsBoundedAndNotSynced(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), func(o *queue.Options) { o.MaxBytes = 1 << 30 })
	stream := s.stream(t, "POSTRIDER_ATTEMPTS")
	type bounds struct {
		Mode     jetstream.PersistModeType
		Bytes    int64
		PerRoute int64
		Age      time.Duration
		Discard  jetstream.DiscardPolicy
	}
	c := stream.CachedInfo().Config
	want := bounds{jetstream.AsyncPersistMode, 32 << 20, 500, 7 * 24 * time.Hour, jetstream.DiscardOld}
	if diff := cmp.Diff(want, bounds{c.PersistMode, c.MaxBytes, c.MaxMsgsPerSubject, c.MaxAge, c.Discard}); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

func TestALargeRecordLosesWhatCameFromOutsideFirst(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", queue.MaxRecord)
	noBody := func(r *deliver.Record) { r.Response.Body = "" }
	noHeader := func(r *deliver.Record) { noBody(r); r.Response.Header = nil }
	noRequest := func(r *deliver.Record) { noHeader(r); r.Request.Header = nil }
	for _, tt := range []struct {
		name         string
		change, want func(*deliver.Record)
	}{
		{"a record of usual size", func(*deliver.Record) {}, func(*deliver.Record) {}},
		{"a long body", func(r *deliver.Record) { r.Response.Body = long }, noBody},
		{"a long header", func(r *deliver.Record) { r.Response.Header.Set("A", long) }, noHeader},
		{"a long header of the request", func(r *deliver.Record) { r.Request.Header.Set("A", long) }, noRequest},
		{"a long header of the request, no response", func(r *deliver.Record) { r.Response = nil; r.Request.Header.Set("A", long) },
			func(r *deliver.Record) { r.Response, r.Request.Header = nil, nil }},
	} {
		r, want := aRecord("cms/a", 1), aRecord("cms/a", 1)
		tt.change(r)
		tt.want(want)
		body := r.Response != nil && r.Response.Body == long
		b := queue.EncodeRecord(r)
		if len(b) > queue.MaxRecord {
			t.Errorf("%s has %d bytes", tt.name, len(b))
		}
		got, err := queue.DecodeRecord("cms/a", b)
		if diff := cmp.Diff(*want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", tt.name, err, diff)
		}
		if body && r.Response.Body != long {
			t.Errorf("%s: the record of the caller was changed", tt.name)
		}
	}
	r := aRecord("cms/a", 1)
	r.EventID = long
	if b := queue.EncodeRecord(r); b != nil {
		t.Errorf("a record that cannot be cut has %d bytes", len(b))
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add([]byte(`{}`))
	f.Add(queue.EncodeRecord(aRecord("cms/a", 1)))
	f.Add([]byte(`{"response":{},"request":{"header":{"a":null}},"next":"0001-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := queue.DecodeRecord("cms/a", b)
		if err != nil {
			return
		}
		if r.Route != "cms/a" {
			t.Fatalf("the route is %q", r.Route)
		}
		encoded := queue.EncodeRecord(&r)
		if len(encoded) > queue.MaxRecord {
			t.Fatalf("%d bytes", len(encoded))
		}
		if len(b) > queue.MaxRecord/12 || encoded == nil { // escapes grow
			return
		}
		again, err := queue.DecodeRecord("cms/a", encoded)
		if err != nil {
			t.Fatalf("what was decoded does not decode again: %v", err)
		}
		if diff := cmp.Diff(r, again, cmpopts.EquateEmpty()); diff != "" {
			t.Error("(-first +again)\n" + diff)
		}
	})
}

// cpu is what this process has used so far.

// BenchmarkKeep keeps records of 100 routes as fast as they are written, the
// store included.
func BenchmarkKeep(b *testing.B) {
	s := open(b, b.TempDir(), func(o *queue.Options) { o.MaxBytes = 8 << 30 })
	records := make([]*deliver.Record, 100)
	for i := range records {
		records[i] = aRecord(fmt.Sprint("cms/r", i), i)
	}
	before := cpu(b)
	n := 0
	for b.Loop() {
		s.KeepWaiting(records[n%len(records)])
		n++
	}
	s.close()
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(n), "cpu-µs/op")
}

// BenchmarkPage reads pages of 50 dead letters out of 10,000.
func BenchmarkPage(b *testing.B) {
	s := open(b, b.TempDir(), func(o *queue.Options) { o.MaxBytes = 1 << 30 })
	for i := range 20 {
		s.bury(b, letters("cms/a", fmt.Sprint(i, "-"), 500)...)
		s.bury(b, letters("cms/b", fmt.Sprint(i, "-"), 50)...)
	}
	for name, before := range map[string]uint64{"newest": 0, "middle": 5500} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if page, next, err := s.DeadLetters(b.Context(), "cms/a", before, 50); err != nil || len(page) != 50 || next == 0 {
					b.Fatal(len(page), next, err)
				}
			}
		})
	}
}
