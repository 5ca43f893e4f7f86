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
	events  *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	bytes   prometheus.Histogram
}

func newMetrics(registerer prometheus.Registerer) metrics {
	auto := promauto.With(registerer)
	m := metrics{
		events: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_ingest_events_total",
			Help: "Events that producers sent, by what became of the request.",
		}, []string{"result"}),
		seconds: auto.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "postrider_ingest_request_duration_seconds",
			Help:    "Time from a request's headers to its answer, by what became of it.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14), // 0.5 ms to 4 s
		}, []string{"result"}),
		bytes: auto.NewHistogram(prometheus.HistogramOpts{
			Name:    "postrider_ingest_body_bytes",
			Help:    "Size of the bodies that were read whole.",
			Buckets: prometheus.ExponentialBuckets(256, 4, 7), // 256 B to 1 MiB
		}),
	}
	for _, result := range []Result{Accepted, Refused, Full, Unavailable, Abandoned} {
		m.events.WithLabelValues(string(result)) // so that a rate exists before the first event
	}
	return m
}

func (m metrics) observe(result Result, events int, took time.Duration) {
	m.events.WithLabelValues(string(result)).Add(float64(events))
	m.seconds.WithLabelValues(string(result)).Observe(took.Seconds())
}
