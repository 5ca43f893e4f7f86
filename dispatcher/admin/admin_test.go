package admin_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/admin"
)

func open(next http.Handler) http.Handler { return next }

func check(name string, state admin.State, say string) admin.Check {
	return admin.Check{Name: name, Look: func() (admin.State, string) { return state, say }}
}

func get(t *testing.T, handler http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w
}

func TestHealthListsEveryCheck(t *testing.T) {
	tests := []struct {
		name   string
		checks []admin.Check
		status int
		text   string
	}{
		{"no checks", nil, 200, ""},
		{"all is well", []admin.Check{check("store", admin.OK, "open"), check("table", admin.OK, "loaded")}, 200, "[+]store: open\n[+]table: loaded\n"},
		{
			"a warning does not fail", []admin.Check{check("table", admin.Warning, "the newest was refused:\nbad CEL")},
			200, "[!]table: the newest was refused: bad CEL\n",
		},
		{
			"a failure fails, and the rest is still listed", []admin.Check{check("store", admin.Failed, "disk full"), check("table", admin.OK, "loaded")},
			503, "[-]store: disk full\n[+]table: loaded\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for path, options := range map[string]admin.Options{
				"/healthz": {Live: tt.checks, Ready: []admin.Check{check("other", admin.Failed, "")}},
				"/readyz":  {Ready: tt.checks, Live: []admin.Check{check("other", admin.Failed, "")}},
			} {
				options.Guard, options.Metrics, options.Reporter = open, admin.NewRegistry(), newReporter()
				w := get(t, admin.New(options), path)
				if diff := cmp.Diff(tt.text, w.Body.String()); diff != "" || w.Code != tt.status {
					t.Errorf("%s: status %d, text (-want +got):\n%s", path, w.Code, diff)
				}
			}
		})
	}
}

func TestMetricsTellOfGoAndTheProcess(t *testing.T) {
	w := get(t, admin.New(admin.Options{Guard: open, Metrics: admin.NewRegistry(), Reporter: newReporter()}), "/metrics")
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes"} {
		if !strings.Contains(w.Body.String(), "\n"+name+" ") {
			t.Errorf("no %s", name)
		}
	}
}

func TestAnUnknownPathIsAProblem(t *testing.T) {
	w := get(t, admin.New(admin.Options{Guard: open, Metrics: admin.NewRegistry(), Reporter: newReporter()}), "/v1/namespaces/shop/events")
	if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "problems/not-found") {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

func TestOnlyTheReportIsGuarded(t *testing.T) {
	closed := func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	}
	handler := admin.New(admin.Options{Guard: closed, Metrics: admin.NewRegistry(), Reporter: newReporter()})
	for path, status := range map[string]int{"/report?since=0": 403, "/healthz": 200, "/readyz": 200, "/metrics": 200} {
		if w := get(t, handler, path); w.Code != status {
			t.Errorf("%s: status %d, want %d", path, w.Code, status)
		}
	}
}
