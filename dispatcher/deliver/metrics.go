package deliver

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider/postrider/dispatcher/outcome"
)

// Metrics count what the lanes do. Their names are API.
type Metrics struct {
	attempts *prometheus.CounterVec
	duration prometheus.Histogram
	inFlight prometheus.Gauge
	deferred prometheus.Counter
	dead     prometheus.Counter
}

// NewMetrics makes the metrics and registers them with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postrider_deliver_attempts_total", Help: "Attempts, by how they ended.",
		}, []string{"reason"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "postrider_deliver_attempt_duration_seconds", Help: "How long attempts lasted.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "postrider_deliver_attempts_in_flight", Help: "Attempts under way.",
		}),
		deferred: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_deliver_deferred_total", Help: "Deliveries put off: to be retried, without room in their lane, or held.",
		}),
		dead: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "postrider_deliver_dead_letters_total", Help: "Deliveries given up.",
		}),
	}
	r.MustRegister(m.attempts, m.duration, m.inFlight, m.deferred, m.dead)
	return m
}

func (m *Metrics) attempt(o outcome.Outcome) {
	m.attempts.WithLabelValues(string(o.Reason)).Inc()
	m.duration.Observe(o.Took.Seconds())
}
