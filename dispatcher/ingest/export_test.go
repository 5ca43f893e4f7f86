package ingest

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider/postrider/dispatcher/share"
)

// Bounds are what producers may take up.
type Bounds struct {
	All, Share int64         // bytes of bodies in memory, and those of one namespace
	Time       time.Duration // that a body may wait, and then take
}

// NewWithin makes a Handler with other bounds.
func NewWithin(b Bounds, store Store, metrics prometheus.Registerer, log *slog.Logger) *Handler {
	h := New(store, metrics, log)
	h.held, h.time = share.New(b.All, b.Share), b.Time
	return h
}
