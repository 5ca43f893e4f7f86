package deliver

import (
	"sync/atomic"

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

	perWebhook bool

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
	}
	for _, reason := range outcome.AttemptReasons {
		m.attempts[reason] = attempts.WithLabelValues(string(reason))
	}
	r.MustRegister(attempts, connections, m.duration, m.inFlight, m.deferred, m.enqueued, m.dead, m.conditionErrors, gauges{m})
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

// lane makes what counts the attempts of a webhook, nil when there are no series
// per webhook.
func (m *Metrics) lane() *laneMetrics {
	if !m.perWebhook {
		return nil
	}
	return newLaneMetrics()
}
