package queue

import (
	"context"
	"encoding/json"
	"time"

	"github.com/postrider/postrider/dispatcher/outcome"
)

// Successes tells when each route last took a delivery, as far as the attempt
// log knows. It reads all of the log: a few seconds when that is full.
func (q *Queue) Successes(ctx context.Context) (map[string]time.Time, error) {
	log := shelf{q.side, streamAttempts, subjectAttempts + ">"}
	end, err := log.end(ctx)
	if err != nil {
		return nil, err
	}
	newest := map[string]time.Time{}
	err = log.each(ctx, request{}, end, func(it item) error {
		if route, ended, ok := success(it.data); ok && ended.After(newest[route]) {
			newest[route] = ended
		}
		return ctx.Err()
	})
	return newest, err
}

// success reads of a record which route took a delivery, and when. What cannot
// be read is told to who lists the attempts of a route.
func success(record []byte) (route string, ended time.Time, ok bool) {
	var r struct { // of a deliver.Record
		Route   string
		Test    bool
		Started time.Time
		Reason  outcome.Reason
		Timings struct{ Total time.Duration }
	}
	err := json.Unmarshal(record, &r)
	return r.Route, r.Started.Add(r.Timings.Total), err == nil && r.Reason == outcome.Delivered && !r.Test
}
