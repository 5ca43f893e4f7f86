package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/problem"
)

// A Reporter knows what became of deliveries.
//
// A revision counts every change that a report shows, of the table as well as
// of summaries: a report has the revision that it was asked for exactly when
// nothing has changed since.
type Reporter interface {
	// Report returns what changed after revision since; 0 means everything.
	Report(since uint64) outcome.Report
	// Changed returns a channel that is closed at the next change.
	Changed() <-chan struct{}
}

const (
	// maxWait bounds how long a caller may ask to wait, so that a connection
	// whose other end has silently gone does not stay for long.
	maxWait = time.Minute
	// pace is the least time between two answers to callers who wait: with a
	// busy dispatcher, an answer then tells of many changes.
	pace = 200 * time.Millisecond
)

// report answers GET /report?since=REVISION&wait=DURATION.
type report struct {
	reporter Reporter
	last     atomic.Int64 // Unix nanoseconds: when a caller who waits was last answered
}

func newReport(reporter Reporter) *report { return &report{reporter: reporter} }

func (h *report) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	since, wait, err := parse(r)
	if err != nil {
		problem.Write(w, problem.Problem{Name: problem.InvalidQuery, Detail: err.Error()})
		return
	}
	var answer outcome.Report
	if wait == 0 {
		answer = h.reporter.Report(since)
	} else {
		ctx, cancel := context.WithTimeout(r.Context(), wait)
		defer cancel()
		answer = h.follow(ctx, since)
	}

	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(answer) // a caller that has gone asks again
}

// follow returns a report once something has changed, or when ctx ends.
func (h *report) follow(ctx context.Context, since uint64) outcome.Report {
	for {
		changed := h.reporter.Changed() // before Report, so that no change falls between them
		if h.reporter.Report(since).Revision != since {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return h.reporter.Report(since)
		}
	}

	select {
	case <-time.After(time.Until(time.Unix(0, h.last.Load()).Add(pace))):
	case <-ctx.Done():
	}
	h.last.Store(time.Now().UnixNano())
	return h.reporter.Report(since)
}

func parse(r *http.Request) (since uint64, wait time.Duration, err error) {
	query := r.URL.Query()
	if s := query.Get("since"); s != "" {
		if since, err = strconv.ParseUint(s, 10, 64); err != nil {
			return 0, 0, errors.New(`"since" is not a revision: send the "revision" of the last report, or 0`)
		}
	}
	if s := query.Get("wait"); s != "" {
		if wait, err = time.ParseDuration(s); err != nil || wait < 0 || wait > maxWait {
			return 0, 0, fmt.Errorf(`"wait" is not a duration from 0s to %s: send one like 20s`, maxWait)
		}
	}
	return since, wait, nil
}
