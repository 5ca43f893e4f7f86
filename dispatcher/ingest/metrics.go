package ingest

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Result is how a request ended. Its values are API: they are labels of metrics.
type Result string

// The results.
const (
	Accepted    Result = "Accepted"    // durable, 202
	Refused     Result = "Refused"     // by the contract, 4xx; counts one event per request
	Full        Result = "Full"        // no room, 429
	Unavailable Result = "Unavailable" // the store failed, 503
	Abandoned   Result = "Abandoned"   // the producer left before the answer
)

type metrics struct {
	results map[Result]measures
	bytes   prometheus.Histogram
}

// measures are what is kept of the requests with one result.
type measures struct {
	events  prometheus.Counter
	seconds prometheus.Observer
}

func newMetrics(registerer prometheus.Registerer) metrics {
	auto := promauto.With(registerer)
	events := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "postrider_ingest_events_total",
		Help: "Events that producers sent, by what became of the request.",
	}, []string{"result"})
	seconds := auto.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "postrider_ingest_request_duration_seconds",
		Help:    "Time from a request's headers to its answer, by what became of it.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14), // 0.5 ms to 4 s
	}, []string{"result"})
	m := metrics{
		results: map[Result]measures{},
		bytes: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "postrider_ingest_body_bytes",
			Help:    "Size of the bodies that were read whole.",
			Buckets: prometheus.ExponentialBuckets(256, 4, 7), // 256 B to 1 MiB
		}),
	}
	for _, result := range []Result{Accepted, Refused, Full, Unavailable, Abandoned} { // all, so that a rate exists before the first event
		m.results[result] = measures{events.WithLabelValues(string(result)), seconds.WithLabelValues(string(result))}
	}
	return m
}

func (m metrics) observe(result Result, events int, took time.Duration) {
	kept := m.results[result]
	kept.events.Add(float64(events))
	kept.seconds.Observe(took.Seconds())
}
