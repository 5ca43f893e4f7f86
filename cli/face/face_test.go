package face_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/cli/face"
)

// answering is a client of a server that answers everything in one way.
func answering(t *testing.T, answer http.HandlerFunc) *face.Client {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return &face.Client{Server: server.URL + "/", HTTP: server.Client(), Token: func(context.Context) (string, error) { return "t", nil }}
}

func TestWhatIsRefusedIsTold(t *testing.T) {
	for _, tt := range []struct {
		name, media, body string
		status            int
		says              string
	}{
		{"a problem", "application/problem+json", `{"type": "https://postrider.dev/problems/store-full", "title": "The store is full", "status": 429, "detail": "Send it later."}`, 429, "429 store-full: Send it later."},
		{"one event of a batch", "application/problem+json; charset=utf-8", `{"type": "x/invalid-event", "detail": "No type.", "index": 2}`, 400, "400 invalid-event: event 2 of the batch: No type."},
		{"without a detail", "application/problem+json", `{"type": "x/not-found", "title": "There is nothing"}`, 404, "404 not-found: There is nothing"},
		{"an answer of something else", "text/html", "<h1>Bad gateway</h1>", 502, "502 Bad Gateway, and not that of a dispatcher"},
		{"a problem that is none", "application/problem+json", "<h1>", 500, "not that of a dispatcher"},
		{"a redirect", "text/html", "", 302, "302 Found, and not that of a dispatcher"},
		{"a success of something else", "text/html", "<h1>It works</h1>", 200, "is not that of a dispatcher"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tt.media)
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body)) // a client that has gone fails the test
			})
			_, err := c.Send(t.Context(), "shop", "application/json", []byte("{}"))
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("it says %v, want %q", err, tt.says)
			}
			if p, ok := err.(*face.Problem); ok && p.RetryAfter != 7*time.Second { //nolint:errorlint // it is not wrapped
				t.Errorf("it asks for %s of patience", p.RetryAfter)
			}
		})
	}
}

func TestOnlyWhatTakesTimeIsTemporary(t *testing.T) {
	for status, want := range map[int]bool{400: false, 403: false, 404: false, 409: false, 429: true, 503: true} {
		if got := (&face.Problem{Status: status}).Temporary(); got != want {
			t.Errorf("%d is temporary: %t", status, got)
		}
	}
}

func TestNamesCannotLeaveTheirPlaceInAPath(t *testing.T) {
	var path string
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.EscapedPath()
		_, _ = w.Write([]byte("{}")) // likewise
	})
	if _, err := c.Redeliver(t.Context(), "shop", "a/../b", "1-x?y"); err != nil {
		t.Fatal(err)
	}
	if want := "/v1/namespaces/shop/webhooks/a%2F..%2Fb/deliveries/1-x%3Fy/redeliver"; path != want {
		t.Errorf("the path is %s", path)
	}
}

func TestADispatcherThatIsStuckIsNotWaitedForForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}
		_, _, err := face.Ready(t.Context(), stuck, "http://dispatcher")
		if err == nil || !strings.Contains(err.Error(), "has not answered in time") {
			t.Errorf("it says %v", err)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestChecksAreReadFromTheReadinessPage(t *testing.T) {
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" || r.Header.Get("Authorization") != "" {
			t.Errorf("it asks for %s with %v", r.URL.Path, r.Header)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("[+]store: fine\n[-]table: none: yet\n[!]x: look\nelse\n")) // likewise
	})
	checks, certificate, err := face.Ready(t.Context(), c.HTTP, c.Server)
	want := []face.Check{{"store", '+', "fine"}, {"table", '-', "none: yet"}, {"x", '!', "look"}}
	if err != nil || certificate != nil || len(checks) != len(want) {
		t.Fatalf("%v, %v, %v", checks, certificate, err)
	}
	for i := range want {
		if checks[i] != want[i] {
			t.Errorf("check %d is %+v", i, checks[i])
		}
	}
}
