package deliver

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/postrider/postrider/dispatcher/outcome"
)

// The series of webhooks are made when they are read. With tens of thousands of
// them, the metrics of the library would cost ten times the memory all the time,
// and each its own labels at each reading.

// latencyBounds are the buckets of the latency, in seconds.
var latencyBounds = [...]float64{.01, .05, .1, .5, 1, 5, 30, 300, 3600, 86400}

// laneMetrics count the attempts of one webhook. The nil laneMetrics count nothing.
type laneMetrics struct {
	attempts []atomic.Uint64 // as [outcome.AttemptReasons]

	latencies [len(latencyBounds) + 1]atomic.Uint64 // of deliveries, the last beyond all bounds
	latency   atomic.Int64                          // the sum of them, in microseconds
}

func newLaneMetrics() *laneMetrics {
	return &laneMetrics{attempts: make([]atomic.Uint64, len(outcome.AttemptReasons))}
}

// attempt counts one that ended with o, so long after the event was accepted.
func (m *laneMetrics) attempt(o outcome.Outcome, age time.Duration) {
	if m == nil {
		return
	}
	m.attempts[slices.Index(outcome.AttemptReasons, o.Reason)].Add(1) // another reason is our mistake
	if !o.OK() {
		return
	}
	i := 0
	for i < len(latencyBounds) && age.Seconds() > latencyBounds[i] {
		i++
	}
	m.latencies[i].Add(1)
	m.latency.Add(age.Microseconds())
}

// A reading is the value of a counter or a gauge.
type reading struct {
	desc    *prometheus.Desc
	labels  []*dto.LabelPair
	counter bool
	value   float64
}

// Desc implements [prometheus.Metric].
func (r *reading) Desc() *prometheus.Desc { return r.desc }

// Write implements [prometheus.Metric].
func (r *reading) Write(m *dto.Metric) error {
	m.Label = r.labels
	if r.counter {
		m.Counter = &dto.Counter{Value: &r.value}
	} else {
		m.Gauge = &dto.Gauge{Value: &r.value}
	}
	return nil
}

// A latencyReading is the histogram of the latencies of a webhook.
type latencyReading struct {
	labels    []*dto.LabelPair
	histogram dto.Histogram

	// What it refers to, so that it is one allocation.
	buckets [len(latencyBounds)]dto.Bucket
	list    [len(latencyBounds)]*dto.Bucket
	counts  [len(latencyBounds)]uint64
	count   uint64
	sum     float64
}

func newLatencyReading(m *laneMetrics, labels []*dto.LabelPair) *latencyReading {
	r := &latencyReading{labels: labels}
	for i := range r.buckets {
		r.count += m.latencies[i].Load()
		r.counts[i] = r.count
		r.buckets[i].UpperBound, r.buckets[i].CumulativeCount = &latencyBounds[i], &r.counts[i]
		r.list[i] = &r.buckets[i]
	}
	r.count += m.latencies[len(latencyBounds)].Load()
	r.sum = float64(m.latency.Load()) / 1e6
	r.histogram.Bucket, r.histogram.SampleCount, r.histogram.SampleSum = r.list[:], &r.count, &r.sum
	return r
}

// Desc implements [prometheus.Metric].
func (r *latencyReading) Desc() *prometheus.Desc { return descLatency }

// Write implements [prometheus.Metric].
func (r *latencyReading) Write(m *dto.Metric) error {
	m.Label, m.Histogram = r.labels, &r.histogram
	return nil
}

// Labels have to come in the order of their names.
var (
	nameNamespace, nameReason, nameWebhook = "namespace", "reason", "webhook"

	labelsOfReasons = func() (labels []*dto.LabelPair) { // as [outcome.AttemptReasons]
		for _, reason := range outcome.AttemptReasons {
			labels = append(labels, &dto.LabelPair{Name: &nameReason, Value: new(string(reason))})
		}
		return labels
	}()
)

// collectLane reads the series of the webhook of a lane.
func collectLane(id string, s laneState, ch chan<- prometheus.Metric) {
	namespace, name := namespaceOf(id)
	inNamespace := &dto.LabelPair{Name: &nameNamespace, Value: &namespace}
	ofWebhook := &dto.LabelPair{Name: &nameWebhook, Value: &name}
	labels := []*dto.LabelPair{inNamespace, ofWebhook}
	gauges := [...]reading{
		{descDepth, labels, false, float64(s.depth)},
		{descWaiting, labels, false, float64(s.waiting)},
		{descOldest, labels, false, s.oldest.Seconds()},
		{descBreaker, labels, false, s.breaker},
	}
	for i := range gauges {
		ch <- &gauges[i]
	}
	if s.metrics == nil { // it was not attempted
		return
	}
	ch <- newLatencyReading(s.metrics, labels)
	for i, reason := range outcome.AttemptReasons {
		if n := s.metrics.attempts[i].Load(); n > 0 || reason == outcome.Delivered {
			ch <- &reading{descAttempts, []*dto.LabelPair{inNamespace, labelsOfReasons[i], ofWebhook}, true, float64(n)}
		}
	}
}
