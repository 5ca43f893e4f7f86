package dispatcher

import (
	"math"
	"runtime/debug"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/queue"
)

const (
	// ample is the memory limit, in bytes, from which on all bounds are as they
	// are made: receivers that hang, backlogs that drain, and producers that
	// upload slowly, all of large events, then take less than half of it.
	ample = 768 << 20
	// paceShare is the part of the memory limit that may be written to the embedded
	// store in a second. It keeps that for a while, see [embedded.CacheTime]: a fifth
	// of the limit, at the most.
	paceShare = 16
)

// A budget is what the memory limit of the process leaves for its parts.
type budget struct {
	room float64 // part of the usual bounds on events in memory
	pace int64   // bytes that may be written to the embedded store in a second; 0 = no bound
}

// newBudget reads the limit that the collector keeps to.
func newBudget() budget {
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		return budget{room: 1}
	}
	return budget{
		room: min(max(float64(limit)/ample, deliver.MinRoom), 1),
		pace: max(limit/paceShare, queue.MinPace),
	}
}
