package deliver

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider/postrider/dispatcher/outcome"
)

// gauges tell how the lanes are, at the moment when they are asked: deliveries
// pay nothing for them. They bring the series of webhooks with them.
type gauges struct{ m *Metrics }

var (
	byWebhook = []string{nameNamespace, nameWebhook}

	descWindow = prometheus.NewDesc("postrider_deliver_window_deliveries",
		"Deliveries in memory: in lanes that move, where they count against the window, and aside: in slow lanes, or out of the queues in the store.",
		[]string{"lanes"}, nil)
	descBytes = prometheus.NewDesc("postrider_deliver_held_bytes",
		"Bytes of the events in memory that no gate holds back: of attempts under way, and aside, see postrider_deliver_window_deliveries.",
		[]string{"what"}, nil)
	descDepth = prometheus.NewDesc("postrider_webhook_lane_depth",
		"Deliveries in memory, waiting and under way.", byWebhook, nil)
	descWaiting = prometheus.NewDesc("postrider_webhook_waiting",
		"Deliveries in the queue of the webhook in the store.", byWebhook, nil)
	descOldest = prometheus.NewDesc("postrider_webhook_oldest_pending_seconds",
		"Age of the event that waits longest in memory, 0 when none waits.", byWebhook, nil)
	descBreaker = prometheus.NewDesc("postrider_webhook_breaker_state",
		"State of the circuit breaker: 0 closed, 1 half-open, 2 open.", byWebhook, nil)
	descLatency = prometheus.NewDesc("postrider_webhook_latency_seconds",
		"From the acceptance of an event to its delivery.", byWebhook, nil)
	descAttempts = prometheus.NewDesc("postrider_webhook_attempts_total",
		"Attempts, by webhook and by how they ended.", append(byWebhook, nameReason), nil)
)

// Describe implements [prometheus.Collector].
func (g gauges) Describe(ch chan<- *prometheus.Desc) {
	ch <- descWindow
	ch <- descBytes
	if g.m.perWebhook {
		for _, d := range []*prometheus.Desc{descDepth, descWaiting, descOldest, descBreaker, descLatency, descAttempts} {
			ch <- d
		}
	}
}

// Collect implements [prometheus.Collector].
func (g gauges) Collect(ch chan<- prometheus.Metric) {
	l := g.m.lanes.Load()
	if l == nil {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(descWindow, float64(l.window.open.Load()), "moving")
	gauge(descBytes, float64(l.pools.underWay.used.Load()+l.pools.lone.used.Load()), "under_way")
	gauge(descBytes, float64(l.pools.aside.used.Load()), "aside")
	now, aside := time.Now(), 0
	for _, ln := range l.all() {
		s := ln.state(now)
		aside += s.aside
		if g.m.perWebhook {
			collectLane(ln.id, s, ch)
		}
	}
	gauge(descWindow, float64(aside), "aside")
}

// laneState is what the gauges show of a lane.
type laneState struct {
	depth, waiting int
	aside          int // of depth, what the window does not count
	oldest         time.Duration
	breaker        float64
	metrics        *laneMetrics // nil before the first attempt
}

func (ln *lane) state(now time.Time) laneState {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	s := laneState{depth: ln.fresh + ln.own, waiting: ln.waiting, aside: ln.own, metrics: ln.metrics}
	if ln.order != nil {
		s.waiting += ln.order.waiting
	}
	if ln.slow {
		s.aside = s.depth
	}
	if ln.queue.len() > 0 {
		s.oldest = now.Sub(ln.queue.cell(0).event.Accepted)
	}
	switch ln.breaker.state {
	case outcome.BreakerHalfOpen:
		s.breaker = 1
	case outcome.BreakerOpen:
		s.breaker = 2
	case outcome.BreakerClosed:
	}
	return s
}
