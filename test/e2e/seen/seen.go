// Package seen is what the pods of the end-to-end test tell the test.
package seen

import (
	"net/http"
	"time"
)

// A Request is one that the receiver got.
type Request struct {
	Path   string
	Header http.Header
	Body   []byte
	Time   time.Time
}

// Answer is what the dispatcher said to a producer.
type Answer struct {
	Status int
	Body   string
}

// Stream is what became of a producer's stream of events.
type Stream struct {
	Accepted    []string      // webhook-ids, in no order
	Refused     int           // posts that were not answered with 202, and were repeated
	LongestWait time.Duration // between two answers with 202
}
