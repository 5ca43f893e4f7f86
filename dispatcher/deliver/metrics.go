package deliver

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider/postrider/dispatcher/outcome"
)

// MetricsOptions choose what is measured.
type MetricsOptions struct {
	// PerWebhook adds series for each webhook: about twenty for one that was
	// attempted.
	PerWebhook bool
}

// Metrics count what the lanes do. Their names are API.
type Metrics struct {
	attempts map[outcome.Reason]prometheus.Counter
	duration prometheus.Histogram
	inFlight prometheus.Gauge
	deferred prometheus.Counter
	enqueued prometheus.Counter
	dead     prometheus.Counter
	reused   prometheus.Counter
	dialled  prometheus.Counter

	conditionErrors prometheus.Counter

	perWebhook      bool
	webhookAttempts *prometheus.CounterVec
	webhookLatency  *prometheus.HistogramVec

	lanes atomic.Pointer[Lanes] // that are looked at when metrics are collected
}

// NewMetrics makes the metrics and registers them with r. They are for one Lanes.
func NewMetrics(r prometheus.Registerer, o MetricsOptions) *Metrics {
	attempts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "postrider_deliver_attempts_total", Help: "Attempts, by how they ended.",
	}, []string{"reason"})
	connections := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "postrider_deliver_connections_total", Help: "Answers, by whether they came on a new connection or on one that had been used before.",
	}, []string{"state"})
	m := &Metrics{
		attempts: map[outcome.Reason]prometheus.Counter{},
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "postrider_deliver_attempt_duration_seconds", Help: "How long attempts lasted.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "postrider_deliver_attempts_in_flight", Help: "Attempts under way.",
		}),
		deferred: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_deliver_deferred_total", Help: "Deliveries put off until their next attempt is due.",
		}),
		enqueued: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_deliver_enqueued_total", Help: "Deliveries put into the queue of their webhook in the store: it had no room in memory, is held, or its breaker is open.",
		}),
		dead: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_deliver_dead_letters_total", Help: "Deliveries given up.",
		}),
		reused:  connections.WithLabelValues("reused"),
		dialled: connections.WithLabelValues("new"),

		conditionErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_deliver_condition_errors_total", Help: "Conditions left to the lanes that failed with something else than no, by type mismatch or cost.",
		}),

		perWebhook: o.PerWebhook,
		webhookAttempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_webhook_attempts_total", Help: "Attempts, by webhook and by how they ended.",
		}, []string{"namespace", "webhook", "reason"}),
		webhookLatency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "postrider_webhook_latency_seconds", Help: "From the acceptance of an event to its delivery.",
			Buckets: []float64{.01, .05, .1, .5, 1, 5, 30, 300, 3600, 86400},
		}, []string{"namespace", "webhook"}),
	}
	for _, reason := range outcome.AttemptReasons {
		m.attempts[reason] = attempts.WithLabelValues(string(reason))
	}
	r.MustRegister(attempts, connections, m.duration, m.inFlight, m.deferred, m.enqueued, m.dead, m.conditionErrors, gauges{m})
	if o.PerWebhook {
		r.MustRegister(m.webhookAttempts, m.webhookLatency)
	}
	return m
}

// watch has the gauges look at l.
func (m *Metrics) watch(l *Lanes) { m.lanes.Store(l) }

func (m *Metrics) attempt(o outcome.Outcome) {
	m.attempts[o.Reason].Inc() // a reason that is no [outcome.AttemptReasons] is our mistake
	m.duration.Observe(o.Took.Seconds())
}

func (m *Metrics) connection(reused bool) {
	if reused {
		m.reused.Inc()
	} else {
		m.dialled.Inc()
	}
}

// laneMetrics are the series of one webhook that has been attempted. The nil
// laneMetrics count nothing.
type laneMetrics struct {
	of                 *Metrics
	namespace, webhook string
	latency            prometheus.Observer
	delivered          prometheus.Counter

	mu     sync.Mutex
	failed map[outcome.Reason]prometheus.Counter // made at the first of each
}

// lane makes the series of a route, nil when there are none per webhook.
func (m *Metrics) lane(route string) *laneMetrics {
	if !m.perWebhook {
		return nil
	}
	namespace, webhook := namespaceOf(route)
	return &laneMetrics{
		of: m, namespace: namespace, webhook: webhook,
		latency:   m.webhookLatency.WithLabelValues(namespace, webhook),
		delivered: m.webhookAttempts.WithLabelValues(namespace, webhook, string(outcome.Delivered)),
		failed:    map[outcome.Reason]prometheus.Counter{},
	}
}

// attempt counts one that ended with o, so long after the event was accepted.
func (m *laneMetrics) attempt(o outcome.Outcome, age time.Duration) {
	switch {
	case m == nil:
	case o.OK():
		m.delivered.Inc()
		m.latency.Observe(age.Seconds())
	default:
		m.failure(o.Reason).Inc()
	}
}

func (m *laneMetrics) failure(reason outcome.Reason) prometheus.Counter {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.failed[reason]
	if c == nil {
		c = m.of.webhookAttempts.WithLabelValues(m.namespace, m.webhook, string(reason))
		m.failed[reason] = c
	}
	return c
}

// forget drops the series of a route.
func (m *Metrics) forget(route string) {
	if !m.perWebhook {
		return
	}
	namespace, webhook := namespaceOf(route)
	labels := prometheus.Labels{"namespace": namespace, "webhook": webhook}
	m.webhookAttempts.DeletePartialMatch(labels)
	m.webhookLatency.Delete(labels)
}
