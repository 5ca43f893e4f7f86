package payload_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	ce "github.com/cloudevents/sdk-go/v2/event"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/payload"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/scenario"
)

func read(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// render renders as a route of a format does that says nothing of itself.
func render(f route.Format, e *event.Event) ([]byte, string, error) {
	return payload.Render(&route.Route{Format: f}, e)
}

var (
	happened = time.Date(2026, 1, 31, 13, 0, 0, 120_000_000, time.FixedZone("CET", 3600))
	accepted = time.Date(2026, 1, 31, 12, 0, 1, 0, time.UTC)
)

// itemAdded is Sitecore's sample event, as an application posts it.
func itemAdded(tb testing.TB) event.Event {
	tb.Helper()
	return event.Event{
		Namespace: "cms", ID: "1f81eb52", Source: "/sitecore/master", Type: "item:added",
		Time: happened, ContentType: "application/json", Data: read(tb, "item-added.json"), Accepted: accepted,
	}
}

// minimal has what an event must have.
func minimal(contentType, data string) event.Event {
	return event.Event{
		Namespace: "cms", ID: "1", Source: "/s", Type: "t", ContentType: contentType,
		Data: []byte(data), Accepted: accepted,
	}
}

func TestTheFormatsAreThoseOfTheGoldenFiles(t *testing.T) {
	full := minimal("application/vnd.acme.order+json; charset=utf-8", `[1]`)
	full.Subject, full.Schema, full.Time = "orders/1 <&> \"ü\"", "https://acme.example/order.json", happened
	full.Extensions = map[string]string{"traceparent": "00-ab-cd-01", "sequence": "7"}

	for name, e := range map[string]event.Event{
		"item-added":     itemAdded(t),
		"all-attributes": full,
		"untyped-json":   minimal("", ` {"a": 1.0e5, "a": "<&>"} `),
		"no-data":        minimal("application/json", ""),
		"text":           minimal("text/plain; charset=UTF-8", "say \"hello\",\n<b>ü</b> & \u2028go\x00"),
		"xml":            minimal("application/atom+xml", `<a b="c">&amp;</a>`),
		"latin1":         minimal("text/plain; charset=ISO-8859-1", "\xfc"),
		"text-not-utf8":  minimal("text/plain", "\xfc"),
		"binary":         minimal("image/png", "\x89PNG\r\n"),
	} {
		for format, suffix := range map[route.Format]string{
			route.FormatStandard:    ".standard.golden",
			route.FormatCloudEvents: ".cloudevents.golden",
		} {
			t.Run(name+suffix, func(t *testing.T) {
				body, contentType, err := render(format, &e)
				if err != nil {
					t.Fatal(err)
				}
				if !json.Valid(body) {
					t.Errorf("the body is not valid JSON: %s", body)
				}
				got := contentType + "\n\n" + string(body) + "\n"
				scenario.Golden(t, filepath.Join("testdata", name+suffix), []byte(got))
			})
		}
	}
}

func TestTheDefaultFormatIsStandard(t *testing.T) {
	e := itemAdded(t)
	want, _, err := render(route.FormatStandard, &e)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := render("", &e)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %s and %v", got, err)
	}
}

func TestWhatIsNotWhatItDeclaresIsRefused(t *testing.T) {
	noSource := minimal("", "{}")
	noSource.Source = ""
	badExtension := minimal("", "{}")
	badExtension.Extensions = map[string]string{"not-a-name": "v"}
	notUTF8 := minimal("", "{}")
	notUTF8.Subject = "\xff"

	for name, tt := range map[string]struct {
		format route.Format
		event  event.Event
	}{
		"an unknown format":              {"XML", minimal("", "{}")},
		"Sitecore's without a name":      {route.FormatSitecore, minimal("", "{}")},
		"data that is not JSON":          {route.FormatStandard, minimal("application/json", `{"a":1`)},
		"data that would add a member":   {route.FormatStandard, minimal("", `1,"type":"forged"`)},
		"JSON that is not UTF-8":         {route.FormatStandard, minimal("", "\"\xfc\"")},
		"data that is not JSON, as CE":   {route.FormatCloudEvents, minimal("a/b+json", `{]`)},
		"an event without a source":      {route.FormatCloudEvents, noSource},
		"an extension that is no name":   {route.FormatCloudEvents, badExtension},
		"an attribute that is not UTF-8": {route.FormatCloudEvents, notUTF8},
	} {
		t.Run(name, func(t *testing.T) {
			if body, _, err := render(tt.format, &tt.event); err == nil {
				t.Errorf("rendered %s", body)
			}
		})
	}
}

func FuzzStandardIsAnObjectThatCarriesTheData(f *testing.F) {
	for _, e := range []event.Event{minimal("", `{"a":1}`), minimal("text/plain", "ü"), minimal("image/png", "\x00\xff"), minimal("", "")} {
		f.Add(e.Type, e.ContentType, e.Data)
	}
	f.Fuzz(func(t *testing.T, typ, contentType string, data []byte) {
		e := event.Event{Type: typ, ContentType: contentType, Data: data, Accepted: accepted}
		body, _, err := render(route.FormatStandard, &e)
		if err != nil {
			if e.IsJSON() && json.Valid(data) && utf8.Valid(data) {
				t.Errorf("valid JSON was refused: %v", err)
			}
			return
		}
		var got struct {
			Type       string          `json:"type"`
			Timestamp  time.Time       `json:"timestamp"`
			Data       json.RawMessage `json:"data"`
			DataBase64 []byte          `json:"data_base64"`
		}
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&got); err != nil || !utf8.Valid(body) {
			t.Fatalf("%v: %q", err, body)
		}
		if utf8.ValidString(typ) && got.Type != typ || !got.Timestamp.Equal(accepted) {
			t.Errorf("type and timestamp became %q and %v", got.Type, got.Timestamp)
		}
		checkData(t, &e, got.Data, got.DataBase64)
	})
}

func FuzzACloudEventIsReadBackByTheSDK(f *testing.F) {
	f.Add("1", "/s", "t", "subject", "", "value", []byte(`{"a":1}`))
	f.Add("1", "urn:uuid:6e8bc430", "t", "", "text/plain", "ü\"", []byte("hello"))
	f.Add("1", "https://example.com/a?b#c", "item:added", "", "a/b+json", "", []byte(`[]`))
	f.Fuzz(func(t *testing.T, id, source, typ, subject, contentType, extension string, data []byte) {
		e := event.Event{
			ID: id, Source: source, Type: typ, Subject: subject, ContentType: contentType, Time: happened,
			Extensions: map[string]string{"ext": extension}, Data: data, Accepted: accepted,
		}
		body, _, err := render(route.FormatCloudEvents, &e)
		if err != nil {
			return
		}
		if !utf8.Valid(body) {
			t.Fatalf("not UTF-8: %q", body)
		}
		var raw struct {
			Data       json.RawMessage `json:"data"`
			DataBase64 []byte          `json:"data_base64"`
		}
		if err := json.Unmarshal(body, &raw); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		checkData(t, &e, raw.Data, raw.DataBase64)

		var got ce.Event
		if err := json.Unmarshal(body, &got); err != nil {
			if !strings.Contains(strings.ToLower(contentType), "json") { // the SDK takes a type with "+json" for text
				t.Fatalf("%v: %s", err, body)
			}
			return
		}
		if got.ID() != id || got.Type() != typ || got.Subject() != subject || got.DataContentType() != contentType {
			t.Errorf("%+v became %s", e, body)
		}
		if v, _ := got.Extensions()["ext"].(string); v != extension || !got.Time().Equal(happened) {
			t.Errorf("extension and time became %q and %v", v, got.Time())
		}
	})
}

// checkData checks that data or inBase64 carries the data of e.
func checkData(t *testing.T, e *event.Event, data json.RawMessage, inBase64 []byte) {
	t.Helper()
	var text string
	switch {
	case len(e.Data) == 0 && (data == nil || string(data) == "null"):
	case e.IsJSON() && bytes.Equal(data, bytes.TrimSpace(e.Data)):
	case !e.IsJSON() && data != nil && json.Unmarshal(data, &text) == nil && text == string(e.Data):
	case !e.IsJSON() && data == nil && bytes.Equal(inBase64, e.Data):
	default:
		t.Errorf("the data %q of %q became %q and %q", e.Data, e.ContentType, data, base64.StdEncoding.EncodeToString(inBase64))
	}
}

func BenchmarkRender(b *testing.B) {
	e := itemAdded(b)
	for name, r := range map[string]*route.Route{
		"Standard": {Format: route.FormatStandard}, "CloudEvents": {Format: route.FormatCloudEvents},
		"Sitecore": sitecoreRoute(), "SitecoreXML": sitecoreRoute(inXML),
	} {
		b.Run(name, func(b *testing.B) {
			form, err := payload.NewForm(r)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(e.Data)))
			for b.Loop() {
				draft, err := form.Draft(&e)
				if err != nil {
					b.Fatal(err)
				}
				form.Body(draft)
			}
		})
	}
}
