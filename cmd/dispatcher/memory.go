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
	// gcPercent is what the heap may grow by between two collections. Go's own 100
	// costs a tenth more CPU per delivery. The memory limit comes first, as GOGC does.
	gcPercent = 200
)

// limitMemory has the collector keep the process below the memory limit of its
// container, for as long as ctx lasts. GOMEMLIMIT in the environment comes first.
func limitMemory(ctx context.Context, log *slog.Logger) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
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
func allocated() uint64 {
	sample := [1]metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
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
