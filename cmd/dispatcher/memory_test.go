package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/postrider/postrider/internal/eventually"
)

func TestALargeHeapHasLittleGarbage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		live uint64 // MiB
		want int    // percent
	}{
		{0, 200}, {10, 200}, {40, 200}, {50, 150}, {64, 150}, {70, 100}, {80, 100}, {1000, 100},
	} {
		if got := growth(tt.live << 20); got != tt.want {
			t.Errorf("a heap with %d MiB live may grow by %d %%, want %d", tt.live, got, tt.want)
		}
	}
}

// It is not parallel: it changes the heap of the process, and looks at it.
func TestTheCollectorFollowsTheLiveHeap(t *testing.T) {
	before := debug.SetGCPercent(77)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() {
		cancel()
		debug.SetGCPercent(before)
	})
	paceCollector(ctx)
	held := make([]byte, 2*garbage)
	becomes := func(percent uint64) {
		eventually.True(t, fmt.Sprintf("the heap grows by %d %%", percent), func() bool {
			runtime.GC()
			return read("/gc/gogc:percent") == percent
		})
	}
	becomes(leastGrowth)
	runtime.KeepAlive(held) // and no longer
	becomes(mostGrowth)
}

func TestMemoryIsGivenBackOnceWhenWorkIsFollowedByRest(t *testing.T) {
	t.Parallel()
	var r rest
	var now uint64
	// pass lets seconds pass that allocate so much each, and returns how often a rest came.
	pass := func(seconds int, each uint64) (times int) {
		for range seconds {
			if now += each; r.comes(now) {
				times++
			}
		}
		return times
	}
	for _, step := range []struct {
		what    string
		seconds int
		each    uint64
		want    int
	}{
		{"a start is no work", 60, 1 << 20, 0},
		{"work", 60, 100 << 20, 0},
		{"a pause", 9, 1 << 20, 0},
		{"work again", 1, 100 << 20, 0},
		{"rest", 60, 1 << 20, 1},
		{"a metrics page now and then is no work", 1, 60 << 20, 0},
		{"more rest", 60, 1 << 20, 0},
	} {
		if got := pass(step.seconds, step.each); got != step.want {
			t.Errorf("%s: memory is given back %d times, want %d", step.what, got, step.want)
		}
	}
}
