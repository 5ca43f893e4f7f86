package queue_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/outcome"
)

func TestTheAttemptLogTellsWhenEachRouteLastSucceeded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	if got, err := s.Successes(t.Context()); err != nil || len(got) != 0 {
		t.Fatalf("an empty log says %v, %v", got, err)
	}
	const n = 600 // more than one reading brings
	keep := func(route string, i int, change func(*deliver.Record)) {
		r := aRecord(route, i)
		r.Started = r.Started.Add(time.Duration(i) * time.Second)
		change(r)
		s.Keep(r)
	}
	delivered := func(r *deliver.Record) { r.Reason = outcome.Delivered }
	for i := range n {
		keep("cms/fails", i, func(*deliver.Record) {})
	}
	s.recorded(t, "cms/fails", n-1)
	keep("cms/ok", 1, delivered)
	keep("cms/ok", 2, delivered)
	keep("cms/ok.too", 3, delivered)
	keep("cms/failed-since", 4, delivered)
	keep("cms/failed-since", 5, func(*deliver.Record) {})
	keep("cms/tested", 6, func(r *deliver.Record) { r.Reason, r.Test = outcome.Delivered, true })
	s.recorded(t, "cms/tested", 6)
	ended := func(i int) time.Time {
		return time.Date(2026, 11, 22, 8, 0, i, i, time.UTC).Add(8 * time.Millisecond)
	}
	got, err := s.Successes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]time.Time{"cms/ok": ended(2), "cms/ok.too": ended(3), "cms/failed-since": ended(4)}, got); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}
