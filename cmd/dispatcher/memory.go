package main

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

const (
	// limitShare is the part of the container's memory that Go may use. The rest is
	// for the program itself, and for pages of the store, which count as ours.
	limitShare = 0.85
	// limitAgain is how often the limit is looked up: a pod may be resized.
	limitAgain = time.Minute
	// Between two collections the heap grows by about garbage, in bytes, but by no fewer
	// percent of what is live than leastGrowth and by no more than mostGrowth.
	// Least is Go's own: for a small heap it costs a tenth more CPU per delivery.
	// What most takes of a large one saves nothing any more.
	leastGrowth, mostGrowth = 100, 200
	garbage                 = 80 << 20
)

// limitMemory bounds garbage, and has the collector keep the process below the
// memory limit of its container, which comes first, for as long as ctx lasts.
// GOGC and GOMEMLIMIT in the environment are obeyed instead.
func limitMemory(ctx context.Context, log *slog.Logger) {
	if os.Getenv("GOGC") == "" {
		paceCollector(ctx)
	}
	limit, err := memlimit.Set(memlimit.WithRatio(limitShare), memlimit.WithRefreshInterval(ctx, limitAgain))
	switch {
	case errors.Is(err, memlimit.ErrNoCgroup), errors.Is(err, memlimit.ErrCgroupsNotSupported):
	case err != nil:
		log.Warn("the memory limit is not known; GOMEMLIMIT can give it", "err", err)
	case limit < math.MaxInt64:
		log.Info("memory is limited", "bytes", limit)
	}
}

// paceCollector sets how far the heap may grow, now and after each collection,
// until ctx is done.
func paceCollector(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	if percent := growth(read("/gc/heap/live:bytes")); uint64(percent) != read("/gc/gogc:percent") {
		debug.SetGCPercent(percent)
	}
	// What nobody refers to is found to be gone by the next collection.
	runtime.AddCleanup(new(*byte), paceCollector, ctx)
}

// growth is by how many percent a heap may grow of which so many bytes are live, in
// steps: to change it stops the world.
func growth(live uint64) int {
	const step = 50
	percent := (100*garbage/max(live, 1) + step/2) / step * step
	return int(min(max(percent, leastGrowth), mostGrowth))
}

const (
	// After restTime in which no second allocates more than restRate, what the
	// work before it has left is given back, if that allocated workedBytes. Go by
	// itself takes some minutes for it.
	restTime, restRate = 10 * time.Second, 4 << 20
	workedBytes        = 256 << 20
)

// giveBack returns memory to the system when the process comes to rest, until
// ctx is done.
func giveBack(ctx context.Context) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	r := rest{last: allocated(), given: allocated()}
	for {
		select {
		case <-ctx.Done():
			return
		case <-second.C:
		}
		if r.comes(allocated()) {
			runtime.GC() // what pools keep goes at the second collection
			debug.FreeOSMemory()
		}
	}
}

// allocated is how many bytes the heap has been asked for since the start.
func allocated() uint64 { return read("/gc/heap/allocs:bytes") }

// read is a number that the runtime counts.
func read(name string) uint64 {
	sample := [1]metrics.Sample{{Name: name}}
	metrics.Read(sample[:])
	return sample[0].Value.Uint64()
}

// A rest is what is known of how busy the process is.
type rest struct {
	last  uint64 // allocated a second ago
	given uint64 // allocated when memory was given back last
	quiet time.Duration
}

// comes takes what is allocated by now, a second after it was asked before, and
// reports whether a rest has come that is worth giving memory back.
func (r *rest) comes(now uint64) bool {
	r.quiet += time.Second
	if now-r.last > restRate {
		r.quiet = 0
	}
	r.last = now
	if r.quiet < restTime || now-r.given < workedBytes {
		return false
	}
	r.given = now
	return true
}
