package event_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/event"
)

var now = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// headers makes a header from "name: value" lines.
func headers(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

var (
	plain      = headers("Content-Type: application/json")
	structured = headers("Content-Type: application/cloudevents+json")
	batched    = headers("Content-Type: application/cloudevents-batch+json")
)

func binary(more ...string) http.Header {
	return headers(append([]string{"ce-specversion: 1.0", "ce-id: 1", "ce-source: /cms", "ce-type: item:added"}, more...)...)
}

func TestReadTakesTheFourForms(t *testing.T) {
	at := time.Date(2026, 11, 22, 9, 59, 58, 500e6, time.UTC)
	tests := []struct {
		name   string
		header http.Header
		body   string
		want   []event.Event
	}{
		{
			"plain JSON with everything",
			headers("Content-Type: application/json; charset=utf-8"),
			` {"type":"item:added","data":{"a": [1, "]}"]},"id":"1","source":"/cms","subject":"page","time":"2026-11-22T09:59:58.5Z",
			   "datacontenttype":"application/vnd.page+json","dataschema":"https://cms.example.com/page.json"} `,
			[]event.Event{{
				ID: "1", Source: "/cms", Type: "item:added", Subject: "page", Time: at,
				ContentType: "application/vnd.page+json", Schema: "https://cms.example.com/page.json", Data: []byte(`{"a": [1, "]}"]}`),
			}},
		},
		{
			"plain JSON with its default source and content type", plain, `{"id":"1","type":"a","data":"text \"quoted\\"}`,
			[]event.Event{{
				ID: "1", Source: "/v1/namespaces/shop/events", Type: "a", ContentType: "application/json", Data: []byte(`"text \"quoted\\"`),
			}},
		},
		{
			"plain JSON that carries text", plain, `{"id":"1","type":"a","data":"<a>\n</a>","datacontenttype":"application/xml"}`,
			[]event.Event{{ID: "1", Source: "/v1/namespaces/shop/events", Type: "a", ContentType: "application/xml", Data: []byte("<a>\n</a>")}},
		},
		{
			"plain JSON without data, and null for absent", plain, `{"id":"1","type":"a","subject":null}`,
			[]event.Event{{ID: "1", Source: "/v1/namespaces/shop/events", Type: "a", ContentType: "application/json"}},
		},
		{
			"plain JSON with empty strings for absent", plain, `{"id":"1","type":"a","source":"","subject":"","time":"","datacontenttype":"","dataschema":""}`,
			[]event.Event{{ID: "1", Source: "/v1/namespaces/shop/events", Type: "a", ContentType: "application/json"}},
		},
		{
			"plain JSON with a name twice, the last of which counts", plain, `{"id":"1","type":"a","type":"b"}`,
			[]event.Event{{ID: "1", Source: "/v1/namespaces/shop/events", Type: "b", ContentType: "application/json"}},
		},
		{
			"plain JSON with null as data", plain, `{"id":"1","type":"a","data":null}`,
			[]event.Event{{ID: "1", Source: "/v1/namespaces/shop/events", Type: "a", ContentType: "application/json", Data: []byte("null")}},
		},
		{
			"binary mode with extensions and a percent-encoded header",
			binary("Content-Type: application/json", "ce-subject: Euro%20%E2%82%AC", "ce-time: 2026-11-22T09:59:58.5Z",
				"ce-dataschema: https://a.example/", "ce-TraceParent: 00-ab-01", `ce-quoted: "a \"b\""`, "ce-percent: 100%"),
			`{"a":1}`,
			[]event.Event{{
				ID: "1", Source: "/cms", Type: "item:added", Subject: "Euro €", Time: at, Schema: "https://a.example/", ContentType: "application/json",
				Extensions: map[string]string{"traceparent": "00-ab-01", "quoted": `a "b"`, "percent": "100%"}, Data: []byte(`{"a":1}`),
			}},
		},
		{
			"binary mode with bytes", binary("Content-Type: image/png"), "\x89PNG\xff",
			[]event.Event{{ID: "1", Source: "/cms", Type: "item:added", ContentType: "image/png", Data: []byte("\x89PNG\xff")}},
		},
		{
			"binary mode without body needs no content type", binary(), "",
			[]event.Event{{ID: "1", Source: "/cms", Type: "item:added"}},
		},
		{
			"structured mode with extensions of every type", structured,
			`{"specversion":"1.0","id":"1","source":"/cms","type":"a","text":"x","yes":true,"no":false,"number":-7,"gone":null,"data":[1, 2]}`,
			[]event.Event{{
				ID: "1", Source: "/cms", Type: "a", Data: []byte("[1, 2]"),
				Extensions: map[string]string{"text": "x", "yes": "true", "no": "false", "number": "-7"},
			}},
		},
		{
			"structured mode with text, its type after it", structured,
			`{"data":"a\u0041","specversion":"1.0","id":"1","source":"/cms","type":"a","datacontenttype":"text/plain"}`,
			[]event.Event{{ID: "1", Source: "/cms", Type: "a", ContentType: "text/plain", Data: []byte("aA")}},
		},
		{
			"structured mode with base64, whose slashes may be escaped", structured,
			`{"specversion":"1.0","id":"1","source":"/cms","type":"a","datacontenttype":"image/png","data_base64":"\/w=="}`,
			[]event.Event{{ID: "1", Source: "/cms", Type: "a", ContentType: "image/png", Data: []byte{0xff}}},
		},
		{
			"structured mode with data of a +json type", structured,
			`{"specversion":"1.0","id":"1","source":"/cms","type":"a","datacontenttype":"application/vnd.page+json; v=1","data": {"a": [1] } }`,
			[]event.Event{{ID: "1", Source: "/cms", Type: "a", ContentType: "application/vnd.page+json; v=1", Data: []byte(`{"a": [1] }`)}},
		},
		{
			"structured mode with a string of a +json type, which keeps its quotes", structured,
			`{"data":"1","specversion":"1.0","id":"1","source":"/cms","type":"a","datacontenttype":"application/vnd.page+json"}`,
			[]event.Event{{ID: "1", Source: "/cms", Type: "a", ContentType: "application/vnd.page+json", Data: []byte(`"1"`)}},
		},
		{
			"structured mode with names in capitals, which become small", structured,
			`{"specversion":"1.0","id":"1","source":"/cms","type":"a","traceParent":"00-ab-01"}`,
			[]event.Event{{ID: "1", Source: "/cms", Type: "a", Extensions: map[string]string{"traceparent": "00-ab-01"}}},
		},
		{
			"structured mode with a source that is percent-encoded to be a URI", structured,
			`{"specversion":"1.0","id":"1","source":"/café","type":"a"}`,
			[]event.Event{{ID: "1", Source: "/caf%C3%A9", Type: "a"}},
		},
		{
			"a batch in order", batched,
			`[ {"specversion":"1.0","id":"1","source":"/cms","type":"a","data":1} , {"specversion":"1.0","id":"2","source":"/cms","type":"b"} ]`,
			[]event.Event{
				{ID: "1", Source: "/cms", Type: "a", Data: []byte("1")},
				{ID: "2", Source: "/cms", Type: "b"},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for i := range tt.want {
				tt.want[i].Namespace, tt.want[i].Accepted = "shop", now
			}
			got, err := event.Read(tt.header, []byte(tt.body), "shop", now)
			if err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if len(got[i].Data) == 0 {
					got[i].Data = nil
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error("events (-want +got):\n" + diff)
			}
		})
	}
}

func TestReadRefusesAndSaysWhatToDo(t *testing.T) {
	long := strings.Repeat("x", event.MaxAttribute+1)
	minimal := `{"specversion":"1.0","id":"1","source":"/cms","type":"a"}`
	batch := func(n int) string { return "[" + strings.Repeat(minimal+",", n-1) + minimal + "]" }
	ce := func(more string) string { return strings.TrimSuffix(minimal, "}") + "," + more + "}" }
	many := func(format string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return strings.TrimSuffix(b.String(), ",")
	}

	tests := []struct {
		name   string
		header http.Header
		body   string
		reason event.Reason
		says   string // part of the detail
	}{
		{"no content type", headers(), `{}`, event.UnsupportedContentType, "application/cloudevents-batch+json"},
		{"an unknown content type", headers("Content-Type: text/plain"), `{}`, event.UnsupportedContentType, `"text/plain"`},
		{"a malformed content type", headers("Content-Type: /;"), `{}`, event.UnsupportedContentType, "malformed"},
		{"two content types", headers("Content-Type: a/b", "Content-Type: c/d"), `{}`, event.UnsupportedContentType, "2 Content-Types"},
		{"another event format", headers("Content-Type: application/cloudevents+xml"), `<a/>`, event.UnsupportedContentType, "cloudevents+xml"},

		{"JSON that breaks off", plain, `{"type":"a"`, event.InvalidJSON, "unexpected end"},
		{"JSON followed by something", plain, `{"type":"a"} {}`, event.InvalidJSON, "after top-level value"},
		{"no body", plain, ``, event.InvalidJSON, "unexpected end"},
		{"JSON that is not UTF-8", plain, "{\"type\":\"\xff\"}", event.InvalidJSON, "UTF-8"},

		{"plain JSON that is an array", plain, `[]`, event.InvalidEvent, "JSON object"},
		{"plain JSON without type", plain, `{"data":1}`, event.InvalidEvent, `"type" is missing`},
		{"plain JSON with an unknown member", plain, `{"type":"a","Item":{"Name":"b"}}`, event.InvalidEvent, `"Item" is unknown`},
		{"plain JSON with data_base64", plain, `{"type":"a","data_base64":""}`, event.InvalidEvent, `"data_base64" is unknown`},
		{"plain JSON that is a CloudEvent", plain, minimal, event.InvalidEvent, "application/cloudevents+json"},
		{"plain JSON with a type that is no string", plain, `{"type":1}`, event.InvalidEvent, `"type" is not a string`},
		{"text that is no string", plain, `{"type":"a","datacontenttype":"text/plain","data":{}}`, event.InvalidEvent, `"data" is not a string`},

		{"a long type", plain, `{"type":"` + long[:event.MaxType+1] + `"}`, event.AttributeTooLong, "255"},
		{"a long id", structured, ce(`"id":"` + long + `"`), event.AttributeTooLong, "1024"},
		{"a long extension", binary("ce-more: " + long), ``, event.AttributeTooLong, `"more"`},
		{"a control character", plain, `{"type":"a\u0000"}`, event.InvalidEvent, "control character"},
		{"a control character in a header", binary("ce-subject: %00"), ``, event.InvalidEvent, "control character"},
		{"structured mode with a time that is none", structured, ce(`"time":"yesterday"`), event.InvalidEvent, "RFC3339"},
		{"structured mode with a source that is none", structured, `{"specversion":"1.0","id":"1","type":"a","source":"%zz"}`, event.InvalidEvent, "%zz"},
		{"structured mode with text that is no string", structured, ce(`"datacontenttype":"text/plain","data":{}`), event.InvalidEvent, `"data" is not a string`},
		{"a time that is none", plain, `{"type":"a","time":"yesterday"}`, event.InvalidEvent, "RFC 3339"},
		{"a source that is none", plain, `{"type":"a","source":"%zz"}`, event.InvalidEvent, "URI reference"},
		{"a schema that is relative", plain, `{"type":"a","dataschema":"/a"}`, event.InvalidEvent, "absolute URI"},
		{"a data content type that is none", plain, `{"type":"a","datacontenttype":";"}`, event.InvalidEvent, "media type"},

		{"no specversion", structured, `{"id":"1","source":"/cms","type":"a"}`, event.InvalidEvent, `"specversion" is missing`},
		{"a specversion of null", structured, `{"specversion":null,"id":"1","source":"/cms","type":"a"}`, event.InvalidEvent, `"specversion" is missing`},
		{"an old specversion", structured, `{"specversion":"0.3","id":"1","source":"/cms","type":"a"}`, event.InvalidEvent, `send CloudEvents 1.0`},
		{"an unknown specversion", structured, `{"specversion":"2.0"}`, event.InvalidEvent, `send CloudEvents 1.0`},
		{"no id", structured, `{"specversion":"1.0","source":"/cms","type":"a"}`, event.InvalidEvent, `"id" is missing`},
		{"no source", structured, `{"specversion":"1.0","id":"1","type":"a"}`, event.InvalidEvent, `"source" is missing`},
		{"data_base64 that is no string", structured, ce(`"data_base64":1`), event.InvalidEvent, "the data is malformed"},
		{"data_base64 that is no base64", structured, ce(`"data_base64":"?"`), event.InvalidEvent, "illegal base64"},
		{"data_base64 that hides invalid JSON", structured, ce(`"data_base64":"ew=="`), event.InvalidJSON, "unexpected end"},
		{"data twice", structured, ce(`"data":1,"data_base64":""`), event.InvalidEvent, "both"},
		{"an empty member name", structured, ce(`"":1`), event.InvalidEvent, `"" is not an attribute`},
		{"an attribute with capitals", structured, ce(`"ID":"2"`), event.InvalidEvent, `"ID"`},
		{"an extension with a dash", structured, ce(`"trace-parent":"a"`), event.InvalidEvent, "names of a-z and 0-9"},
		{"an extension with the name of the data", structured, ce(`"Data":"a"`), event.InvalidEvent, `"data" is not the name`},
		{"an extension with a long name", structured, ce(`"` + long[:65] + `":"a"`), event.InvalidEvent, "64 bytes"},
		{"an extension that is an object", structured, ce(`"more":{}`), event.InvalidEvent, "goes into the data"},
		{"an extension beyond 32 bits", structured, ce(`"more":2147483648`), event.InvalidEvent, "goes into the data"},
		{"an extension that is a fraction", structured, ce(`"price":9.99`), event.InvalidEvent, `"price" is not an attribute`},
		{"an id that is a number", structured, `{"specversion":"1.0","id":1,"source":"/cms","type":"a"}`, event.InvalidEvent, `"id":1`},
		{"too many extensions", structured, ce(many(`"x%d":1,`, 33)), event.InvalidEvent, "32"},

		{"binary mode without version", headers("ce-type: a", "Content-Type: text/plain"), ``, event.InvalidEvent, "ce-specversion"},
		{"binary mode of another version", headers("ce-specversion: 2.0"), ``, event.InvalidEvent, "ce-specversion: 1.0"},
		{"binary mode with a header twice", binary("ce-id: 2"), ``, event.InvalidEvent, "2 times"},
		{"binary mode with a nameless header", binary("ce-: 2"), ``, event.InvalidEvent, "names of a-z and 0-9"},
		{"binary mode with the reserved name", binary("ce-data: 2"), ``, event.InvalidEvent, "not the name"},
		{"binary mode with a second content type", binary("ce-datacontenttype: a/b"), ``, event.InvalidEvent, `"datacontenttype"`},
		{"binary mode with a time that is none", binary("ce-time: yesterday"), ``, event.InvalidEvent, "yesterday"},
		{"binary mode with invalid JSON", binary("Content-Type: application/json"), `{`, event.InvalidJSON, "unexpected end"},
		{"binary mode with a body of no type", binary(), `{`, event.UnsupportedContentType, "says what the body is"},

		{"a batch that is no array", batched, `{}`, event.InvalidEvent, "not a JSON array"},
		{"an empty batch", batched, ` [ ] `, event.EmptyBatch, "at least one"},
		{"a batch of 1,001", batched, batch(event.MaxBatch + 1), event.BatchTooLarge, "more than 1000 events"},
		{"a batch with a string", batched, "[" + minimal + `,"a"]`, event.InvalidEvent, "event 1 of the batch"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			events, err := event.Read(tt.header, []byte(tt.body), "shop", now)
			refusal, ok := errors.AsType[*event.Refusal](err)
			if !ok || len(events) > 0 {
				t.Fatalf("got %d events and %v, want a refusal", len(events), err)
			}
			if refusal.Reason != tt.reason || !strings.Contains(refusal.Error(), tt.says) {
				t.Errorf("got %s %q, want %s with %q", refusal.Reason, refusal, tt.reason, tt.says)
			}
			if len(refusal.Detail) > 500 {
				t.Errorf("detail of %d bytes", len(refusal.Detail))
			}
		})
	}
}

func TestReadTakesTheLargestBatch(t *testing.T) {
	one := `{"specversion":"1.0","id":"1","source":"/cms","type":"a"}`
	events, err := event.Read(batched, []byte("["+strings.Repeat(one+",", event.MaxBatch-1)+one+"]"), "shop", now)
	if err != nil || len(events) != event.MaxBatch {
		t.Errorf("got %d events and %v", len(events), err)
	}
}

func TestReadGivesEachPlainEventWithoutIDItsOwn(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		events, err := event.Read(plain, []byte(`{"type":"a"}`), "shop", now)
		if err != nil {
			t.Fatal(err)
		}
		seen[events[0].ID] = true
	}
	if len(seen) != 100 {
		t.Errorf("100 events have %d ids", len(seen))
	}
}

func TestReadRefusesWhatIsNoNamespace(t *testing.T) {
	for _, namespace := range []string{"", "-a", "a-", "A", "a.b", "a/b", "a\x00", strings.Repeat("a", 64)} {
		_, err := event.Read(plain, []byte(`{"type":"a"}`), namespace, now)
		if refusal, ok := errors.AsType[*event.Refusal](err); !ok || refusal.Reason != event.InvalidNamespace {
			t.Errorf("namespace %q: %v", namespace, err)
		}
	}
}

func TestNoTwoEventsShareAKeyByMovingABorder(t *testing.T) {
	_, err := event.Read(structured, []byte(`{"specversion":"1.0","type":"a","source":"/a\u0000b","id":"c"}`), "shop", now)
	if err == nil {
		t.Error("a NUL, which separates what a key hashes, was accepted")
	}
}

func TestAPlainEventKeepsItsSourceAsAURIReference(t *testing.T) {
	for _, source := range []string{"/", "/cms", "/a//b/../c", "/A-Z_a.z~09", "//host/x", "a", "a:b", "/a:b", "/a?b=c#d", "/a%20b", "/a b", "/café", "urn:x:y", "/;a", "/a@b"} {
		u, err := url.Parse(source)
		if err != nil {
			t.Fatal(err)
		}
		events, err := event.Read(plain, fmt.Appendf(nil, `{"type":"a","source":%q}`, source), "shop", now)
		if err != nil || events[0].Source != u.String() {
			t.Errorf("%q becomes %q, want %q; err %v", source, events[0].Source, u, err)
		}
	}
}
