package event_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	ce "github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/event"
)

// sdkEvent is an event of the official SDK and what Postrider makes of it.
func sdkEvent(tb testing.TB, id, contentType string, data any) (ce.Event, event.Event) {
	tb.Helper()
	e := ce.New()
	e.SetID(id)
	e.SetSource("https://cms.example.com/pages?a=1#b")
	e.SetType("item:added")
	e.SetSubject("page/1")
	e.SetTime(now.Add(-time.Second))
	e.SetDataSchema("https://cms.example.com/page.json")
	e.SetExtension("region", "eu")
	e.SetExtension("retries", 3)
	e.SetExtension("last", true)
	if err := e.SetData(contentType, data); err != nil {
		tb.Fatal(err)
	}
	return e, event.Event{
		Namespace: "shop", Accepted: now,
		ID: id, Source: "https://cms.example.com/pages?a=1#b", Type: "item:added", Subject: "page/1",
		Time: now.Add(-time.Second), ContentType: contentType, Schema: "https://cms.example.com/page.json",
		Extensions: map[string]string{"region": "eu", "retries": "3", "last": "true"},
		Data:       e.Data(),
	}
}

// send has the official SDK write a request and returns what arrives.
func send(t *testing.T, write func(*http.Request) error) []event.Event {
	t.Helper()
	var events []event.Event
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if events, err = event.Read(r.Header, body, "shop", now); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := write(request); err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return events
}

func TestWhatTheOfficialSDKSendsArrivesUnchanged(t *testing.T) {
	payloads := map[string]any{
		"application/json": map[string]any{"a": []int{1, 2}},
		"text/plain":       "line \"one\"\n\\",
		"image/png":        []byte{0x89, 'P', 0xff, 0},
	}
	for contentType, data := range payloads {
		sent, want := sdkEvent(t, "1", contentType, data)
		for name, with := range map[string]func(*http.Request) error{
			"binary": func(r *http.Request) error {
				return cehttp.WriteRequest(binding.WithForceBinary(t.Context()), (*binding.EventMessage)(&sent), r)
			},
			"structured": func(r *http.Request) error {
				return cehttp.WriteRequest(binding.WithForceStructured(t.Context()), (*binding.EventMessage)(&sent), r)
			},
		} {
			t.Run(name+" "+contentType, func(t *testing.T) {
				if diff := cmp.Diff([]event.Event{want}, send(t, with)); diff != "" {
					t.Error("events (-want +got):\n" + diff)
				}
			})
		}
	}
}

func TestABatchOfTheOfficialSDKArrivesUnchanged(t *testing.T) {
	first, wantFirst := sdkEvent(t, "1", "application/json", 1)
	second, wantSecond := sdkEvent(t, "2", "text/plain", "two")
	request, err := cehttp.NewHTTPRequestFromEvents(t.Context(), "http://ignored.invalid", []ce.Event{first, second})
	if err != nil {
		t.Fatal(err)
	}
	got := send(t, func(r *http.Request) error {
		r.Header, r.Body, r.ContentLength = request.Header, request.Body, request.ContentLength
		return nil
	})
	if diff := cmp.Diff([]event.Event{wantFirst, wantSecond}, got); diff != "" {
		t.Error("events (-want +got):\n" + diff)
	}
}
