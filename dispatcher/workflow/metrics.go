package workflow

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Result is how a request ended. Its values are API: they are labels of metrics.
type Result string

// The results.
const (
	Submitted   Result = "Submitted"   // nobody stood in the way, and it is durable
	Repeated    Result = "Repeated"    // it had been submitted before
	Refused     Result = "Refused"     // by a validation action, or for want of its verdict
	Invalid     Result = "Invalid"     // no command: 4xx
	Full        Result = "Full"        // the store has no room, 429
	Unavailable Result = "Unavailable" // too many at once, 429; no table, or the store failed, 503
	Abandoned   Result = "Abandoned"   // the caller left before the answer
)

type metrics struct {
	commands map[Result]prometheus.Counter
	seconds  map[Result]prometheus.Observer
}

func newMetrics(registerer prometheus.Registerer) metrics {
	auto := promauto.With(registerer)
	commands := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "postrider_workflow_commands_total",
		Help: "Workflow commands, by what became of them.",
	}, []string{"result"})
	seconds := auto.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "postrider_workflow_command_duration_seconds",
		Help:    "Time from a workflow command's headers to its answer, by what became of it.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30},
	}, []string{"result"})
	m := metrics{map[Result]prometheus.Counter{}, map[Result]prometheus.Observer{}}
	for _, result := range []Result{Submitted, Repeated, Refused, Invalid, Full, Unavailable, Abandoned} { // all, so that a rate exists before the first
		m.commands[result], m.seconds[result] = commands.WithLabelValues(string(result)), seconds.WithLabelValues(string(result))
	}
	return m
}

func (m metrics) observe(result Result, took time.Duration) {
	m.commands[result].Inc()
	m.seconds[result].Observe(took.Seconds())
}
