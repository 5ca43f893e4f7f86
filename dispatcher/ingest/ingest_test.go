package ingest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/ingest"
)

// store is a Store made of a function.
type store func(context.Context, []event.Event) error

func (s store) Append(ctx context.Context, events []event.Event) error { return s(ctx, events) }

func kept(context.Context, []event.Event) error { return nil }

// serve starts a server with a Handler over s and returns it and its metrics.
func serve(t *testing.T, s store, log *slog.Logger) (*httptest.Server, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	mux := http.NewServeMux()
	mux.Handle(ingest.Pattern, ingest.New(s, registry, log))
	server := start(t, mux)
	return server, registry
}

// start serves h as the dispatcher does.
func start(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Listener = ingest.Listen(server.Config, server.Listener)
	server.Start()
	t.Cleanup(server.Close)
	return server
}

const path = "/v1/namespaces/shop/events"

// post sends body and returns the answer, its body read.
func post(t *testing.T, server *httptest.Server, contentType string, body io.Reader) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(answer)
}

// counts checks postrider_ingest_events_total.
func counts(t *testing.T, registry *prometheus.Registry, want map[string]int) {
	t.Helper()
	var b strings.Builder
	b.WriteString("# HELP postrider_ingest_events_total Events that producers sent, by what became of the request.\n# TYPE postrider_ingest_events_total counter\n")
	for _, result := range []string{"Abandoned", "Accepted", "Full", "Refused", "Unavailable"} {
		fmt.Fprintf(&b, "postrider_ingest_events_total{result=%q} %d\n", result, want[result])
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(b.String()), "postrider_ingest_events_total"); err != nil {
		t.Error(err)
	}
}

func TestStoredEventsAreAnsweredInOrderWithWhatReceiversSee(t *testing.T) {
	var got []event.Event
	server, registry := serve(t, func(_ context.Context, events []event.Event) error {
		got = events
		return nil
	}, slog.New(slog.DiscardHandler))

	response, body := post(t, server, "application/cloudevents-batch+json", strings.NewReader(
		`[{"specversion":"1.0","id":"b","source":"/cms","type":"page:added"},{"specversion":"1.0","id":"a","source":"/cms","type":"page:added"}]`))

	if response.StatusCode != http.StatusAccepted || response.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %s", response.Status, response.Header.Get("Content-Type"))
	}
	if len(got) != 2 || got[0].Namespace != "shop" || got[0].Accepted.IsZero() {
		t.Fatalf("stored %+v", got)
	}
	want := fmt.Sprintf(`{"events":[{"id":"b","source":"/cms","webhookID":%q},{"id":"a","source":"/cms","webhookID":%q}]}`+"\n", got[0].Key(), got[1].Key())
	if diff := cmp.Diff(want, body); diff != "" {
		t.Error("answer (-want +got):\n" + diff)
	}
	counts(t, registry, map[string]int{"Accepted": 2})
}

func TestTheAnswerWaitsForTheStore(t *testing.T) {
	stored := false
	server, _ := serve(t, func(context.Context, []event.Event) error {
		stored = true
		return nil
	}, slog.New(slog.DiscardHandler))
	if _, body := post(t, server, "application/json", strings.NewReader(`{"type":"a"}`)); !stored {
		t.Errorf("answered %s before the store did", body)
	}
}

func TestWhatIsRefusedNeverReachesTheStore(t *testing.T) {
	const event1 = `{"specversion":"1.0","id":"1","source":"/cms","type":"a"}`
	tests := []struct {
		name, contentType string
		body              io.Reader
		status            int
		problem           string
		members           map[string]any // beyond those of every problem
	}{
		{"a body of 2 MiB", "application/json", bytes.NewReader(make([]byte, 2<<20)), 413, "body-too-large", map[string]any{"limit": 1048576.0}},
		{
			"a body of 2 MiB that does not tell its length", "application/json", io.MultiReader(bytes.NewReader(make([]byte, 2<<20))),
			413, "body-too-large", map[string]any{"limit": 1048576.0},
		},
		{"a wrong content type", "text/plain", strings.NewReader("a"), 415, "unsupported-content-type", nil},
		{"invalid JSON", "application/json", strings.NewReader("{"), 400, "invalid-json", nil},
		{"a missing type", "application/json", strings.NewReader("{}"), 400, "invalid-event", nil},
		{
			"a long type", "application/json", strings.NewReader(`{"type":"` + strings.Repeat("a", 256) + `"}`),
			400, "attribute-too-long", map[string]any{"limit": 255.0},
		},
		{"an empty batch", "application/cloudevents-batch+json", strings.NewReader("[]"), 400, "empty-batch", nil},
		{
			"1,001 events", "application/cloudevents-batch+json", strings.NewReader("[" + strings.Repeat(event1+",", 1000) + event1 + "]"),
			413, "batch-too-large", map[string]any{"limit": 1000.0},
		},
		{
			"a batch whose first event is wrong", "application/cloudevents-batch+json", strings.NewReader("[{}," + event1 + "]"),
			400, "invalid-event", map[string]any{"index": 0.0},
		},
		{"an event of Sitecore without its item", "application/json", strings.NewReader(`{"type":"item:added","data":{}}`), 400, "invalid-sitecore-event", nil},
		{
			"a batch with one", "application/cloudevents-batch+json", strings.NewReader(`[` + event1 + `,{"specversion":"1.0","id":"1","source":"/cms","type":"item:added"}]`),
			400, "invalid-sitecore-event", map[string]any{"index": 1.0},
		},
		{"a workflow command", "application/json", strings.NewReader(`{"type":"workflow:command","data":{"DataItem":` + item + `}}`), 400, "reserved-type", nil},
		{
			"what would count as a workflow command that was submitted", "application/json",
			strings.NewReader(`{"type":"a","id":"1","source":"/v1/namespaces/shop/workflow-commands/00"}`), 400, "invalid-event", nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server, registry := serve(t, func(context.Context, []event.Event) error {
				t.Error("it reached the store")
				return nil
			}, slog.New(slog.DiscardHandler))
			response, body := post(t, server, tt.contentType, tt.body)

			var document map[string]any
			if err := json.Unmarshal([]byte(body), &document); err != nil {
				t.Fatalf("%v: %s", err, body)
			}
			if response.StatusCode != tt.status || document["type"] != "https://postrider.dev/problems/"+tt.problem {
				t.Errorf("%s: %s", response.Status, body)
			}
			if got := response.Header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("content type %q", got)
			}
			for _, name := range []string{"type", "title", "status", "detail"} {
				delete(document, name)
			}
			if tt.members == nil {
				tt.members = map[string]any{}
			}
			if diff := cmp.Diff(tt.members, document); diff != "" {
				t.Error("members (-want +got):\n" + diff)
			}
			counts(t, registry, map[string]int{"Refused": 1})
		})
	}
}

const item = `{"Language":"en","Version":1,"Id":"110d559f-dea5-42ea-9c1c-8a5df7e70ef9","Name":"Home","ParentId":"0de95ae4-41ab-4d01-9eb0-67441b7c2450","TemplateId":"76036f5e-cbce-46d1-af0a-4143f9b557aa"}`

func TestWhatIsWrongWithAnEventOfSitecoreIsNamed(t *testing.T) {
	server, _ := serve(t, kept, slog.New(slog.DiscardHandler))
	response, body := post(t, server, "application/json", strings.NewReader(`{"type":"item:moved","data":{"Item":`+strings.Replace(item, "TemplateId", "Template", 1)+`}}`))
	for _, part := range []string{"Item.TemplateId is missing", "item:moved", "add it"} {
		if response.StatusCode != http.StatusBadRequest || !strings.Contains(body, part) {
			t.Errorf("%s does not say %q: %s", response.Status, part, body)
		}
	}
	if response, body = post(t, server, "application/json", strings.NewReader(`{"type":"item:added","data":{"Item":`+item+`}}`)); response.StatusCode != http.StatusAccepted {
		t.Errorf("a good one: %s %s", response.Status, body)
	}
}

func TestALenientHandlerTakesWhatSitecoreWouldNotSend(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle(ingest.Pattern, ingest.New(store(kept), prometheus.NewRegistry(), slog.New(slog.DiscardHandler)).Lenient(true))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	for eventType, want := range map[string]int{"item:added": http.StatusAccepted, "workflow:command": http.StatusBadRequest} {
		if response, body := post(t, server, "application/json", strings.NewReader(`{"type":"`+eventType+`","data":7}`)); response.StatusCode != want {
			t.Errorf("%s: %s %s", eventType, response.Status, body)
		}
	}
}

// unreadable fails the test when it is read.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}
func (unreadable) Close() error { return nil }

func TestABodyThatAnnouncesTooMuchIsNotRead(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, unreadable{t})
	r.ContentLength = event.MaxBody + 1
	w := httptest.NewRecorder()
	ingest.New(store(kept), prometheus.NewRegistry(), slog.New(slog.DiscardHandler)).ServeHTTP(w, r)
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", w.Code)
	}
}

func TestABodyOfExactlyTheLimitIsTaken(t *testing.T) {
	body := `{"type":"a","data":"`
	body += strings.Repeat("x", event.MaxBody-len(body)-2) + `"}`
	server, _ := serve(t, kept, slog.New(slog.DiscardHandler))
	for name, reader := range map[string]io.Reader{"announced": strings.NewReader(body), "chunked": io.MultiReader(strings.NewReader(body))} {
		if response, answer := post(t, server, "application/json", reader); response.StatusCode != http.StatusAccepted {
			t.Errorf("%s: %s %s", name, response.Status, answer)
		}
	}
}

func TestAStoreThatDoesNotTakeEventsAsksForThemAgain(t *testing.T) {
	tests := []struct {
		name            string
		err             error
		status          int
		problem, result string
		retryAfter      string
		log             string
	}{
		{"full", fmt.Errorf("appending: %w", event.ErrFull), 429, "store-full", "Full", "10", ""},
		{"broken", errors.New("disk quota"), 503, "store-unavailable", "Unavailable", "5", "disk quota"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			server, registry := serve(t, func(context.Context, []event.Event) error { return tt.err }, slog.New(slog.NewTextHandler(&log, nil)))
			response, body := post(t, server, "application/json", strings.NewReader(`{"type":"a"}`))

			if response.StatusCode != tt.status || !strings.Contains(body, "/problems/"+tt.problem) || response.Header.Get("Retry-After") != tt.retryAfter {
				t.Errorf("%s, Retry-After %q: %s", response.Status, response.Header.Get("Retry-After"), body)
			}
			if strings.Contains(body, "disk quota") {
				t.Error("the answer shows the inside of the store")
			}
			if (tt.log == "") != (log.Len() == 0) || !strings.Contains(log.String(), tt.log) {
				t.Errorf("log %q, want %q", log.String(), tt.log)
			}
			counts(t, registry, map[string]int{tt.result: 1})
		})
	}
}

func TestAProducerThatLeftIsNeverToldThatItsEventWasAccepted(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	appending := store(func(ctx context.Context, _ []event.Event) error {
		leave()
		return ctx.Err()
	})
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader(`{"type":"a"}`))
	r.Header.Set("Content-Type", "application/json")
	r.SetPathValue(ingest.Namespace, "shop")
	w := httptest.NewRecorder()
	registry := prometheus.NewRegistry()
	ingest.New(appending, registry, slog.New(slog.DiscardHandler)).ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d", w.Code)
	}
	counts(t, registry, map[string]int{"Abandoned": 1})
}

func TestAnotherMethodIsToldTheRightOne(t *testing.T) {
	server, _ := serve(t, kept, slog.New(slog.DiscardHandler))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusMethodNotAllowed || response.Header.Get("Allow") != http.MethodPost {
		t.Errorf("%s, Allow %q", response.Status, response.Header.Get("Allow"))
	}
}

// The whole handler without network and store, body 1 KiB.
func BenchmarkServeHTTP(b *testing.B) {
	body := `{"type":"page:added","data":{"Item":{"Name":"` + strings.Repeat("page ", 190) + `"}}}`
	handler := ingest.New(store(kept), prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.SetPathValue(ingest.Namespace, "shop")
		w := httptest.NewRecorder()
		if handler.ServeHTTP(w, r); w.Code != http.StatusAccepted {
			b.Fatal(w.Body)
		}
	}
}
