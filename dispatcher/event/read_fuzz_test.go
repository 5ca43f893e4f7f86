package event_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/postrider/postrider/dispatcher/event"
)

// FuzzReadJSON covers the three JSON forms: Read answers with events that keep
// the contract, or with a refusal, and never panics.
func FuzzReadJSON(f *testing.F) {
	for _, body := range []string{
		`{"type":"item:added","data":{"a":[1,"]}\"\\"]}}`,
		`{"specversion":"1.0","id":"1","source":"/cms","type":"a","data":"x","datacontenttype":"text/plain"}`,
		`[{"specversion":"1.0","id":"1","source":"/cms","type":"a","data_base64":"AA=="},{"specversion":"1.0"}]`,
		`{"specversion":"1.0","data_base64":1}`,
		`{"datacontentencoding":"","specversion":"0.3"}`,
		`{"":1,"\u0000":"\ud800"}`, `[]`, `[1]`, ` {} `, `null`, `"`, `{"data":-0.1e+2}`, "\xef\xbb\xbf{}", `[[[[{"a":[{}]}]]]]`,
	} {
		for form := range uint8(3) {
			f.Add(form, []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, form uint8, body []byte) {
		header := []http.Header{plain, structured, batched}[form%3]
		events, err := event.Read(header, body, "shop", now)
		contract(t, events, err)
		if err == nil && !json.Valid(body) {
			t.Error("invalid JSON was accepted")
		}
	})
}

// FuzzReadBinary covers the headers of binary mode.
func FuzzReadBinary(f *testing.F) {
	f.Add("id", "1", "application/json", []byte(`{"a":1}`))
	f.Add("", "", "", []byte(`{`))
	f.Add("time", "2026-01-01T00:00:00Z", "text/plain", []byte("\xff"))
	f.Add("subject", `"%E2%82%AC \" %"`, "application/x+json; a=b", []byte{})
	f.Add("source", "HTTP://[::1]/%zz", ";", []byte("1"))
	f.Fuzz(func(t *testing.T, name, value, contentType string, body []byte) {
		header := binary("Content-Type: " + contentType)
		header[http.CanonicalHeaderKey("ce-"+name)] = []string{value}
		events, err := event.Read(header, body, "shop", now)
		contract(t, events, err)
	})
}

// contract checks what every caller of Read relies on.
func contract(t *testing.T, events []event.Event, err error) {
	t.Helper()
	if err != nil {
		if refusal, ok := errors.AsType[*event.Refusal](err); !ok || refusal.Detail == "" || len(events) > 0 {
			t.Errorf("got %d events and the error %#v", len(events), err)
		}
		return
	}
	if len(events) == 0 || len(events) > event.MaxBatch {
		t.Errorf("%d events", len(events))
	}
	for _, e := range events {
		if e.Namespace != "shop" || !e.Accepted.Equal(now) || e.ID == "" || e.Source == "" || e.Type == "" {
			t.Errorf("incomplete: %+v", e)
		}
		if len(e.Type) > event.MaxType || len(e.Extensions) > event.MaxExtensions {
			t.Errorf("type of %d bytes, %d extensions", len(e.Type), len(e.Extensions))
		}
		for _, s := range []string{e.ID, e.Source, e.Subject, e.ContentType, e.Schema} {
			if len(s) > event.MaxAttribute || strings.ContainsRune(s, 0) {
				t.Errorf("attribute %q", s)
			}
		}
		if e.IsJSON() && len(e.Data) > 0 && !json.Valid(e.Data) {
			t.Errorf("data is declared %q and is not JSON: %q", e.ContentType, e.Data)
		}
	}
}
