package conformance_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/process"
	"github.com/postrider/postrider/test/receiver"
)

func (d *target) following(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, token, query string
		status             int
	}{
		{"without a token", "-", "", 401},
		{"with a producer's token", *producer, "", 403},
		{"from no revision", *operator, "?since=yesterday", 400},
		{"for too long", *operator, "?wait=1h", 400},
		{"at once", *operator, "?since=0&wait=0s", 200},
	} {
		a := d.do(t, call{method: http.MethodGet, path: "/report" + tt.query, token: tt.token}, d.admin)
		if a.status != tt.status {
			t.Errorf("%s: the answer is %d, want %d: %s", tt.name, a.status, tt.status, a.body)
		}
		if tt.status >= 400 && a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: no problem document: %s", tt.name, a.body)
		}
	}

	rc := receiver.New(t, receiver.Options{})
	release := make(chan struct{})
	rc.On("/", receiver.Hang(release, receiver.Status(200)))
	n := d.tenant(t, hook("followed", rc.URL("/")))
	n.post(t, "t", "{}")
	rc.Wait(t, 1)
	revision := n.report(t).Revision
	close(release)
	// Other tests change other routes meanwhile, so it may take several answers.
	for {
		a := n.get(t, fmt.Sprintf("/report?wait=20s&since=%d", revision))
		var r outcome.Report
		unmarshal(t, a.body, &r)
		if r.Revision <= revision {
			t.Fatalf("after revision %d the answer, with nothing new, has %d", revision, r.Revision)
		}
		revision = r.Revision
		for _, s := range r.Summaries {
			if s.Route == n.namespace+"/followed" && s.Last != nil {
				if s.Last.Reason != outcome.Delivered || s.Last.Status != 200 || s.LastSuccess.IsZero() {
					t.Errorf("the report says %+v", s)
				}
				return
			}
		}
	}
}

func (d *target) pages(t *testing.T) {
	t.Parallel()
	eventually.True(t, "the first table", func() bool {
		return d.do(t, call{method: http.MethodGet, path: "/readyz", token: "-"}, d.admin).status == 200
	})
	for path, lines := range map[string][]string{
		"/healthz": {"[+]store: "},
		"/readyz":  {"[+]store: ", "[+]table: in force: "},
	} {
		a := d.do(t, call{method: http.MethodGet, path: path, token: "-"}, d.admin)
		for _, line := range lines {
			if a.status != 200 || !strings.Contains(string(a.body), line) {
				t.Errorf("%s answers %d without %q: %s", path, a.status, line, a.body)
			}
		}
	}

	rc := receiver.New(t, receiver.Options{})
	n := d.tenant(t, hook("one", rc.URL("/")))
	n.post(t, "t", "{}")
	n.attempted(t, "one", 1)
	a := d.do(t, call{method: http.MethodGet, path: "/metrics", token: "-"}, d.admin)
	for _, name := range []string{
		`postrider_access_decisions_total{decision="Allowed"}`, `postrider_access_decisions_total{decision="Denied"}`,
		`postrider_ingest_events_total{result="Accepted"}`, `postrider_ingest_events_total{result="Full"}`,
		"postrider_ingest_request_duration_seconds_count", "postrider_ingest_body_bytes_count",
		"postrider_fanout_routes_per_event_count", "postrider_fanout_condition_errors_total",
		`postrider_deliver_attempts_total{reason="Delivered"}`, "postrider_deliver_attempt_duration_seconds_count",
		"postrider_deliver_attempts_in_flight", "postrider_deliver_deferred_total", "postrider_deliver_dead_letters_total",
		"postrider_source_table_rejected", "postrider_source_routes",
		"process_resident_memory_bytes", "go_goroutines",
	} {
		if a.status != 200 || !strings.Contains(string(a.body), "\n"+name) {
			t.Errorf("/metrics answers %d and lacks %s", a.status, name)
		}
	}

	for _, tt := range []struct {
		method, path, problem string
		status                int
	}{
		{"GET", "/", "not-found", 404},
		{"GET", "/debug/pprof/", "not-found", 404},
		{"POST", "/report", "method-not-allowed", 405},
		{"PUT", "/metrics", "method-not-allowed", 405},
	} {
		a := d.do(t, call{method: tt.method, path: tt.path, token: "-"}, d.admin)
		if a.status != tt.status || !strings.Contains(string(a.body), "/problems/"+tt.problem+`"`) {
			t.Errorf("%s %s: the answer is %d, want %d: %s", tt.method, tt.path, a.status, tt.status, a.body)
		}
	}
}

func TestACorruptTableLeavesTheLastGoodOneInForceAndIsVisible(t *testing.T) {
	t.Parallel()
	p := process.New(t, process.Options{})
	p.Start(t)
	d := at(p)
	rc := receiver.New(t, receiver.Options{})
	n := d.tenant(t, hook("one", rc.URL("/")))
	good := n.report(t).Digest

	if err := os.WriteFile(p.RoutesFile(), []byte("\x1f\x8b garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the refusal in the report", func() bool { return n.report(t).TableError != "" })
	if got := n.report(t).Digest; got != good {
		t.Errorf("the table in force is %s, want %s", got, good)
	}
	ready := d.do(t, call{method: http.MethodGet, path: "/readyz", token: "-"}, d.admin)
	if ready.status != 200 || !strings.Contains(string(ready.body), "[!]table: the newest table is refused") {
		t.Errorf("readiness answers %d: %s", ready.status, ready.body)
	}
	if metrics := string(d.get(t, "/metrics").body); !strings.Contains(metrics, "\npostrider_source_table_rejected 1\n") {
		t.Error("the metrics do not count the refusal")
	}
	n.post(t, "t", "{}")
	rc.Wait(t, 1)

	n.route(t, hook("one", rc.URL("/healed")))
	if r := n.report(t); r.TableError != "" {
		t.Errorf("the refusal stays after a good table: %s", r.TableError)
	}
	n.post(t, "t", "{}")
	if got := rc.Wait(t, 2)[1].Target; got != "/healed" {
		t.Errorf("the new table sends to %s", got)
	}
}

func unmarshal(t *testing.T, text []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}
