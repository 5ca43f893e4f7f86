package queue

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// measures are what was found when the store was measured last.
type measures struct{ stored, dead atomic.Int64 } // bytes, messages

// Register has r tell how full the store is, as it was measured within the last
// second. Dispatchers that share a store tell the same.
func (q *Queue) Register(r prometheus.Registerer) {
	gauge := func(name, help string, value func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("postrider_queue_stored_bytes", "Bytes that the store holds, the attempt log left out.",
		func() float64 { return float64(q.measures.stored.Load()) })
	gauge("postrider_queue_room_bytes", "Bytes that it may hold; from nine tenths of them on, events are refused.",
		func() float64 { return float64(q.opts.MaxBytes) })
	gauge("postrider_queue_dead_letters", "Dead letters that are kept.",
		func() float64 { return float64(q.measures.dead.Load()) })
}
