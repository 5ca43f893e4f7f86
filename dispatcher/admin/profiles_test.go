package admin_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/postrider/postrider/dispatcher/admin"
)

func TestThereAreNoProfilesUnlessTheyAreWanted(t *testing.T) {
	handler := admin.New(admin.Options{Guard: open, Metrics: admin.NewRegistry(), Reporter: newReporter()})
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile?seconds=1"} {
		if w := get(t, handler, path); w.Code != http.StatusNotFound {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
}

func TestProfilesAreGuardedByThemselves(t *testing.T) {
	closed := func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	}
	handler := admin.New(admin.Options{Guard: open, GuardProfiles: closed, Metrics: admin.NewRegistry(), Reporter: newReporter()})
	for path, status := range map[string]int{"/debug/pprof/": 403, "/debug/pprof/goroutine": 403, "/debug/pprof/trace": 403, "/report": 200, "/healthz": 200} {
		if w := get(t, handler, path); w.Code != status {
			t.Errorf("%s: status %d, want %d", path, w.Code, status)
		}
	}
}

func TestProfilesCanBeReadAndTheArgumentsCannot(t *testing.T) {
	server := httptest.NewServer(admin.New(admin.Options{Guard: open, GuardProfiles: open, Metrics: admin.NewRegistry(), Reporter: newReporter()}))
	defer server.Close()
	fetch := func(path string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { response.Body.Close() })
		return response
	}
	for _, path := range []string{"/debug/pprof/heap", "/debug/pprof/profile?seconds=1"} {
		response := fetch(path)
		text, err := gzip.NewReader(response.Body)
		if err != nil {
			t.Fatalf("%s: status %d: %v", path, response.StatusCode, err)
		}
		if n, err := io.Copy(io.Discard, text); err != nil || n == 0 {
			t.Errorf("%s: %d bytes, %v", path, n, err)
		}
	}
	if response := fetch("/debug/pprof/"); response.StatusCode != http.StatusOK {
		t.Errorf("the index: status %d", response.StatusCode)
	}
	if response := fetch("/debug/pprof/cmdline"); response.StatusCode != http.StatusNotFound {
		t.Errorf("the arguments: status %d", response.StatusCode)
	}
}
