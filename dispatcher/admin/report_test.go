package admin_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/admin"
	"github.com/postrider/postrider/dispatcher/outcome"
)

// reporter is what a dispatcher makes of its Recorder.
type reporter struct{ outcome.Recorder }

func newReporter() reporter { return reporter{outcome.NewRecorder()} }

func (r reporter) Report(since uint64) outcome.Report {
	summaries, revision := r.Since(since)
	return outcome.Report{Instance: "dispatcher-0", Revision: revision, Summaries: summaries}
}

// ask asks for the report and tells how long that took.
func ask(ctx context.Context, t *testing.T, handler http.Handler, query string) (outcome.Report, time.Duration) {
	t.Helper()
	start := time.Now()
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/report?"+query, nil))
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	var report outcome.Report
	if err := json.Unmarshal(w.Body.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	return report, time.Since(start)
}

func serve(r reporter) http.Handler {
	return admin.New(admin.Options{Guard: open, Metrics: admin.NewRegistry(), Reporter: r})
}

func TestTheReportHoldsWhatChangedSince(t *testing.T) {
	r := newReporter()
	r.Pending("shop/orders", 1)
	r.Pending("shop/users", 2)
	for query, want := range map[string][]outcome.Summary{
		"":        {{Route: "shop/orders", Pending: 1}, {Route: "shop/users", Pending: 2}},
		"since=0": {{Route: "shop/orders", Pending: 1}, {Route: "shop/users", Pending: 2}},
		"since=1": {{Route: "shop/users", Pending: 2}},
		"since=2": nil,
	} {
		report, _ := ask(t.Context(), t, serve(r), query)
		if diff := cmp.Diff(outcome.Report{Instance: "dispatcher-0", Revision: 2, Summaries: want}, report); diff != "" {
			t.Errorf("%q (-want +got):\n%s", query, diff)
		}
	}
}

func TestFollowingAnswersAtOnceAtTheNextChangeOrAtTheEnd(t *testing.T) {
	tests := []struct {
		name   string
		before bool          // a change before the call
		after  time.Duration // a change this long after the call, 0 = none
		leaves time.Duration // the listener shuts down after this, 0 = never
		took   time.Duration
		change int
	}{
		{"at once", true, 0, 0, 0, 1},
		{"at the next change", false, 3 * time.Second, 0, 3 * time.Second, 1},
		{"when the wait ends", false, 0, 0, 20 * time.Second, 0},
		{"when the listener shuts down", false, 0, time.Second, time.Second, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newReporter()
				if tt.before {
					r.Pending("shop/orders", 1)
				}
				if tt.after > 0 {
					time.AfterFunc(tt.after, func() { r.Pending("shop/orders", 1) })
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.leaves > 0 {
					time.AfterFunc(tt.leaves, cancel)
				}
				report, took := ask(ctx, t, serve(r), "since=0&wait=20s")
				if took != tt.took || len(report.Summaries) != tt.change {
					t.Errorf("after %s: %+v", took, report)
				}
			})
		})
	}
}

func TestABusyDispatcherAnswersFollowersFiveTimesASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReporter()
		ctx, stop := context.WithCancel(t.Context())
		var busy sync.WaitGroup
		defer busy.Wait()
		defer stop()
		busy.Go(func() {
			for ctx.Err() == nil {
				r.Pending("shop/orders", 1)
				<-time.After(time.Millisecond)
			}
		})
		handler, since, answers := serve(r), uint64(0), 0
		for start := time.Now(); time.Since(start) < 10*time.Second; answers++ {
			report, _ := ask(t.Context(), t, handler, "wait=20s&since="+strconv.FormatUint(since, 10))
			if report.Revision == since {
				t.Fatal("an answer tells of no change")
			}
			since = report.Revision
		}
		if answers < 45 || answers > 51 {
			t.Errorf("%d answers in 10 s", answers)
		}
	})
}

func TestAQueryThatIsWrongIsAProblem(t *testing.T) {
	for _, query := range []string{"since=-1", "since=a", "wait=5", "wait=-1s", "wait=61s", "wait=forever"} {
		w := get(t, serve(newReporter()), "/report?"+query)
		if w.Code != http.StatusBadRequest || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: status %d: %s", query, w.Code, w.Body)
		}
	}
}
