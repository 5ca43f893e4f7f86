package trace_test

import (
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/ingest"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/trace"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/internal/secrecy"
	"github.com/postrider/postrider/internal/transcript"
)

const (
	parent  = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	traceID = "0af7651916cd43dd8448eb211c80319c"
)

// backend is an OTLP/HTTP receiver of traces.
type backend struct {
	mu       sync.Mutex
	spans    []*otlp.Span
	resource map[string]string
	refuse   bool
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.URL.Path != "/v1/traces" || b.refuse {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var request collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, rs := range request.GetResourceSpans() {
		b.resource = attributes(rs.GetResource().GetAttributes())
		for _, ss := range rs.GetScopeSpans() {
			b.spans = append(b.spans, ss.GetSpans()...)
		}
	}
}

func attributes(list []*common.KeyValue) map[string]string {
	m := map[string]string{}
	for _, kv := range list {
		switch v := kv.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			m[kv.GetKey()] = v.StringValue
		case *common.AnyValue_IntValue:
			m[kv.GetKey()] = strconv.FormatInt(v.IntValue, 10)
		}
	}
	return m
}

// tracer exports to a backend that ends with the test.
func tracer(t *testing.T, b *backend, log *slog.Logger) *trace.Tracer {
	t.Helper()
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	tr, err := trace.New(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// shelf is a store that keeps what it is given the way that a store does: encoded.
type shelf struct{ stored []*event.Event }

func (s *shelf) Append(_ context.Context, events []event.Event) error {
	for i := range events {
		e, _, err := event.Decode(events[i].Append(nil))
		if err != nil {
			return err
		}
		s.stored = append(s.stored, e)
	}
	return nil
}

// publish posts a body to an ingest behind tr and returns what is stored.
func publish(t *testing.T, tr *trace.Tracer, contentType, body string, header http.Header) []*event.Event {
	t.Helper()
	var s shelf
	mux := http.NewServeMux()
	mux.Handle(ingest.Pattern, tr.Ingest(ingest.New(trace.Keep(&s), prometheus.NewRegistry(), slog.New(slog.DiscardHandler))))
	server := httptest.NewServer(mux)
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/v1/namespaces/shop/events", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(r.Header, header)
	r.Header.Set("Content-Type", contentType)
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusAccepted {
		t.Fatalf("status %d", response.StatusCode)
	}
	return s.stored
}

// send makes an attempt at a receiver, which answers with status, and returns
// the header that it got.
func send(t *testing.T, tr *trace.Tracer, d trace.Delivery, status int) http.Header {
	t.Helper()
	var got http.Header
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		w.WriteHeader(status)
	}))
	defer receiver.Close()
	r, err := http.NewRequest(http.MethodPost, receiver.URL, http.NoBody) //nolint:noctx // it comes with Attempt
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := tr.Attempt(t.Context(), d, r.Header)
	response, err := receiver.Client().Do(r.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	end(outcome.Outcome{Reason: outcome.FromStatus(status), Status: status})
	return got
}

func TestWithoutTracingAContextComesThroughTheStoreToTheReceiver(t *testing.T) {
	const batch = `[{"specversion":"1.0","type":"a","source":"/s","id":"1"},{"specversion":"1.0","type":"a","source":"/s","id":"2","traceparent":"00-11111111111111111111111111111111-2222222222222222-00","tracestate":"own=1"}]`
	events := publish(t, nil, "application/cloudevents-batch+json", batch, http.Header{"Traceparent": {parent}, "Tracestate": {"a=1", "b=2"}})
	for i, want := range []http.Header{
		{"Traceparent": {parent}, "Tracestate": {"a=1,b=2"}},
		{"Traceparent": {"00-11111111111111111111111111111111-2222222222222222-00"}, "Tracestate": {"own=1"}},
	} {
		for n := 1; n <= 2; n++ {
			got := send(t, nil, trace.Delivery{Event: events[i], Route: "shop/a", Attempt: n}, 500)
			if got.Get("Traceparent") != want.Get("Traceparent") || got.Get("Tracestate") != want.Get("Tracestate") {
				t.Errorf("event %d, attempt %d: %v", i, n, got)
			}
		}
	}
}

func TestWhatIsNoTraceContextIsNotPassedOn(t *testing.T) {
	full := `{"type":"a"}`
	for name, header := range map[string]http.Header{
		"none":             {},
		"two":              {"Traceparent": {parent, parent}},
		"upper case":       {"Traceparent": {strings.ToUpper(parent)}},
		"no trace":         {"Traceparent": {"00-00000000000000000000000000000000-b7ad6b7169203331-01"}},
		"version ff":       {"Traceparent": {"ff" + parent[2:]}},
		"more than it may": {"Traceparent": {parent + "-x"}},
		"a state alone":    {"Tracestate": {"a=1"}},
	} {
		events := publish(t, nil, "application/json", full, header)
		if len(events[0].Extensions) > 0 {
			t.Errorf("%s: %v", name, events[0].Extensions)
		}
	}
	e := &event.Event{Namespace: "shop", Extensions: map[string]string{"traceparent": "made up", "tracestate": "a=1"}}
	if got := send(t, nil, trace.Delivery{Event: e, Attempt: 1}, 200); got.Get("Traceparent") != "" || got.Get("Tracestate") != "" {
		t.Errorf("the receiver got %v", got)
	}
	events := publish(t, nil, "application/json", full, http.Header{"Traceparent": {parent}, "Tracestate": {"not a state"}})
	if got := events[0].Extensions; got["traceparent"] != parent || got["tracestate"] != "" {
		t.Errorf("with a state that is none: %v", got)
	}
	long := make([]string, 30)
	for i := range long {
		long[i] = "k" + strings.Repeat("x", i) + "=" + strings.Repeat("v", 100)
	}
	events = publish(t, nil, "application/json", full, http.Header{"Traceparent": {parent}, "Tracestate": long})
	if got := events[0].Extensions; got["traceparent"] != parent || got["tracestate"] != "" {
		t.Errorf("with a state that is too long: %v", got)
	}
}

func TestAnEventWithoutRoomForATraceContextStaysAsItIs(t *testing.T) {
	body := `{"specversion":"1.0","type":"a","source":"/s","id":"1"`
	for i := range event.MaxExtensions {
		body += `,"x` + string(rune('a'+i%26)) + string(rune('a'+i/26)) + `":"1"`
	}
	events := publish(t, nil, "application/cloudevents+json", body+"}", http.Header{"Traceparent": {parent}})
	if len(events[0].Extensions) != event.MaxExtensions || events[0].Extensions["traceparent"] != "" {
		t.Errorf("%v", events[0].Extensions)
	}
}

func TestOneTraceGoesFromTheProducerThroughIngestAndAttemptsToTheReceiver(t *testing.T) {
	var b backend
	tr := tracer(t, &b, slog.New(slog.DiscardHandler))
	events := publish(t, tr, "application/json", `{"type":"order:paid","id":"7","data":"confidential"}`, http.Header{"Traceparent": {parent}, "Tracestate": {"vendor=1"}})
	failed := send(t, tr, trace.Delivery{Event: events[0], Route: "shop/erp", Attempt: 1}, 503)
	taken := send(t, tr, trace.Delivery{Event: events[0], Route: "shop/erp", Attempt: 2}, 204)
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	if len(b.spans) != 3 {
		t.Fatalf("%d spans", len(b.spans))
	}
	in, first, second := b.spans[0], b.spans[1], b.spans[2]
	for _, tt := range []struct {
		span   *otlp.Span
		name   string
		kind   otlp.Span_SpanKind
		parent string
		code   otlp.Status_StatusCode
		want   map[string]string
	}{
		{in, "ingest", otlp.Span_SPAN_KIND_SERVER, "b7ad6b7169203331", otlp.Status_STATUS_CODE_UNSET, map[string]string{
			"http.request.method": "POST", "http.route": ingest.Pattern, "http.response.status_code": "202",
		}},
		{first, "attempt", otlp.Span_SPAN_KIND_CLIENT, hex.EncodeToString(in.GetSpanId()), otlp.Status_STATUS_CODE_ERROR, map[string]string{
			"postrider.webhook": "shop/erp", "http.response.status_code": "503", "error.type": "ReceiverError", "http.request.resend_count": "0",
			"cloudevents.event_id": "7", "cloudevents.event_type": "order:paid", "k8s.namespace.name": "shop",
		}},
		{second, "attempt", otlp.Span_SPAN_KIND_CLIENT, hex.EncodeToString(in.GetSpanId()), otlp.Status_STATUS_CODE_UNSET, map[string]string{
			"postrider.outcome": "Delivered", "http.response.status_code": "204", "error.type": "", "http.request.resend_count": "1",
		}},
	} {
		s := tt.span
		if s.GetName() != tt.name || s.GetKind() != tt.kind || hex.EncodeToString(s.GetTraceId()) != traceID || hex.EncodeToString(s.GetParentSpanId()) != tt.parent || s.GetStatus().GetCode() != tt.code {
			t.Errorf("the span is %v", s)
		}
		got := attributes(s.GetAttributes())
		for key, want := range tt.want {
			if got[key] != want {
				t.Errorf("%s: %s is %q, want %q", tt.name, key, got[key], want)
			}
		}
		secrecy.AssertNo(t, "confidential", map[string]any{"span": s.String()})
		if strings.Contains(s.String(), "127.0.0.1") {
			t.Errorf("the span has the address: %v", s)
		}
	}
	for _, tt := range []struct {
		header http.Header
		span   *otlp.Span
	}{{failed, first}, {taken, second}} {
		if want := "00-" + traceID + "-" + hex.EncodeToString(tt.span.GetSpanId()) + "-01"; tt.header.Get("Traceparent") != want || tt.header.Get("Tracestate") != "vendor=1" {
			t.Errorf("the receiver got %q, want %q", tt.header, want)
		}
	}
	if b.resource["service.name"] != "postrider-dispatcher" || b.resource["deployment.environment.name"] != "test" {
		t.Errorf("the resource is %v", b.resource)
	}
}

func TestWithTracingAnEventWithoutAContextBeginsATrace(t *testing.T) {
	var b backend
	tr := tracer(t, &b, slog.New(slog.DiscardHandler))
	events := publish(t, tr, "application/json", `{"type":"a"}`, nil)
	got := send(t, tr, trace.Delivery{Event: events[0], Route: "shop/a", Attempt: 1}, 200)
	alone := send(t, tr, trace.Delivery{Event: &event.Event{Namespace: "shop", ID: "t", Type: "postrider.test"}, Route: "shop/a", Attempt: 1}, 200)
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(b.spans) != 3 || hex.EncodeToString(b.spans[0].GetTraceId()) != hex.EncodeToString(b.spans[1].GetTraceId()) || !strings.Contains(got.Get("Traceparent"), hex.EncodeToString(b.spans[1].GetTraceId())) {
		t.Errorf("%v, the receiver got %v", b.spans, got)
	}
	if hex.EncodeToString(b.spans[2].GetTraceId()) == hex.EncodeToString(b.spans[0].GetTraceId()) || alone.Get("Traceparent") == "" {
		t.Errorf("the test has %v", alone)
	}
}

func TestWhatIsNotSampledIsPassedOnAsNotSampled(t *testing.T) {
	var b backend
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
	tr := tracer(t, &b, slog.New(slog.DiscardHandler))
	events := publish(t, tr, "application/json", `{"type":"a"}`, nil)
	got := send(t, tr, trace.Delivery{Event: events[0], Route: "shop/a", Attempt: 1}, 200)
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(b.spans) != 0 || !strings.HasSuffix(got.Get("Traceparent"), "-00") {
		t.Errorf("%d spans, the receiver got %v", len(b.spans), got)
	}
}

func TestAFailureToExportIsLoggedAndDisturbsNothing(t *testing.T) {
	var log transcript.Transcript
	tr := tracer(t, &backend{refuse: true}, slog.New(slog.NewTextHandler(&log, nil)))
	publish(t, tr, "application/json", `{"type":"a"}`, nil)
	_ = tr.Close(t.Context()) // which may or may not say it too
	eventually.True(t, "the failure to be logged", func() bool { return strings.Contains(log.String(), "traces could not be exported") })
}

func TestASettingThatCannotBeReadIsToldWithoutWhatItHolds(t *testing.T) {
	const secret = "s3cr3t-material"
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization: Bearer "+secret) // it wants a "="
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://user:"+secret+"@collector:port")
	var said, elsewhere transcript.Transcript
	otel.SetLogger(funcr.New(func(_, args string) { _, _ = elsewhere.Write([]byte(args)) }, funcr.Options{}))
	tr, err := trace.New(t.Context(), slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, about := range []string{"parse headers", "parse url"} {
		if !strings.Contains(said.String(), about) {
			t.Errorf("nothing is said about %q: %s", about, said.String())
		}
	}
	if all := said.String() + elsewhere.String(); strings.Contains(all, secret) {
		t.Errorf("the log tells what the setting holds: %s", all)
	}
}

func TestAClosedTracerThatIsNoneIsClosed(t *testing.T) {
	var off *trace.Tracer
	if err := off.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func BenchmarkOff(b *testing.B) {
	e := &event.Event{Namespace: "shop", ID: "1", Type: "a"}
	var off *trace.Tracer
	header := http.Header{}
	ctx := b.Context()
	b.Run("attempt", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, end := off.Attempt(ctx, trace.Delivery{Event: e, Route: "shop/a", Attempt: 1}, header)
			end(outcome.Outcome{})
		}
	})
	b.Run("attempt with a context", func(b *testing.B) {
		with := *e
		with.Extensions = map[string]string{"traceparent": parent}
		b.ReportAllocs()
		for b.Loop() {
			_, end := off.Attempt(ctx, trace.Delivery{Event: &with, Route: "shop/a", Attempt: 1}, header)
			end(outcome.Outcome{})
		}
	})
	b.Run("ingest", func(b *testing.B) {
		events := []event.Event{*e}
		store := trace.Keep(discard{})
		handler := off.Ingest(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_ = store.Append(r.Context(), events)
		}))
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", nil)
		b.ReportAllocs()
		for b.Loop() {
			handler.ServeHTTP(nil, r)
		}
	})
}

type discard struct{}

func (discard) Append(context.Context, []event.Event) error { return nil }
