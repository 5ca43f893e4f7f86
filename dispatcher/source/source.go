// Package source keeps the routing table in force: from Secrets that it
// watches, or from a file, with the last good one remembered on disk.
package source

import (
	"errors"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider/postrider/dispatcher/route"
)

// A Keeper puts tables in force, and keeps the last good one when a newer one
// is refused.
type Keeper struct {
	current  *route.Current
	cache    string // file of the last good table, empty for none
	changed  func() // called after each change of what State returns
	log      *slog.Logger
	loaded   chan struct{} // closed when the first table is in force
	rejected prometheus.Gauge
	routes   prometheus.Gauge
	held     *prometheus.GaugeVec

	mu    sync.Mutex
	fault string
}

// NewKeeper makes a Keeper that puts tables into current. dir is where the last
// good table is remembered; changed is called when the table or its state changes.
func NewKeeper(current *route.Current, dir string, changed func(), r prometheus.Registerer, log *slog.Logger) *Keeper {
	k := &Keeper{
		current: current, changed: changed, log: log, loaded: make(chan struct{}),
		rejected: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "postrider_source_table_rejected", Help: "1 while the newest table is refused and an older one is in force.",
		}),
		routes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "postrider_source_routes", Help: "Routes of the table in force.",
		}),
		held: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "postrider_source_held_routes", Help: "Routes of the table in force that nothing is sent to, by why.",
		}, []string{"hold"}),
	}
	if dir != "" {
		k.cache = filepath.Join(dir, "last-good-table.bin")
		k.tidy()
	}
	r.MustRegister(k.rejected, k.routes, k.held)
	k.countHeld(nil)
	return k
}

// Loaded is closed once a table is in force.
func (k *Keeper) Loaded() <-chan struct{} { return k.loaded }

// State returns the digest of the table in force, empty before the first, and
// why the newest table was refused, empty when it was not.
func (k *Keeper) State() (digest, fault string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r := k.current.Load(); r != nil {
		digest = r.Digest()
	}
	return digest, k.fault
}

// offer puts the table that blobs are in force if it is complete and builds,
// and reports whether it is incomplete: then the rest may be on its way. Any
// other mistake is kept as the fault.
func (k *Keeper) offer(blobs [][]byte) (incomplete bool) {
	table, err := route.Decode(blobs)
	if errors.Is(err, route.ErrIncomplete) {
		k.log.Info("the newest table is incomplete, waiting for the rest", "secrets", len(blobs))
		return true
	}
	var router *route.Router
	if err == nil {
		router, err = route.Build(table)
	}
	if err != nil {
		k.reject(err)
		return false
	}
	// Remembered first: a restart must not go back behind what was in force.
	if err := k.remember(blobs); err != nil {
		k.log.Warn("the table cannot be remembered for the next start", "err", err)
	}
	k.accept(router)
	return false
}

// accept puts r in force, the newest table.
func (k *Keeper) accept(r *route.Router) {
	k.mu.Lock()
	changed := k.swap(r) || k.fault != ""
	k.fault = ""
	k.rejected.Set(0)
	k.mu.Unlock()
	if changed {
		k.log.Info("a table is in force", "digest", r.Digest(), "routes", r.Len())
		k.changed()
	}
}

// swap puts r in force and reports whether that changed anything. k.mu is held.
func (k *Keeper) swap(r *route.Router) bool {
	first := k.current.Load() == nil
	changed := k.current.Swap(r)
	k.routes.Set(float64(r.Len()))
	k.countHeld(r.Entries())
	if first {
		close(k.loaded)
	}
	return changed
}

func (k *Keeper) reject(err error) {
	k.mu.Lock()
	news := k.fault != err.Error()
	k.fault = err.Error()
	k.rejected.Set(1)
	k.mu.Unlock()
	if news {
		k.log.Error("the newest table is refused, the last good one stays in force", "err", err)
		k.changed()
	}
}
