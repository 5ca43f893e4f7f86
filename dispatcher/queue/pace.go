package queue

import (
	"context"

	"golang.org/x/time/rate"
)

// MinPace is the least that a pace may be, in bytes a second.
const MinPace = 4 << 20

// attemptShare is the part of the pace by which attempts may be recorded besides.
const attemptShare = 4

// A pace bounds how fast the store is written to. The embedded server keeps in
// memory what was written in the last seconds: who writes fast needs memory.
// The zero pace is no bound.
type pace struct{ limiter *rate.Limiter }

// newPace allows so many bytes a second, and as many at once; 0 = no bound.
func newPace(bytes int64) pace {
	if bytes == 0 {
		return pace{}
	}
	return pace{rate.NewLimiter(rate.Limit(bytes), int(bytes))}
}

// wait returns when n bytes may be written, or when ctx is done.
func (p pace) wait(ctx context.Context, n int) {
	if p.limiter == nil {
		return
	}
	_ = p.limiter.WaitN(ctx, min(n, p.limiter.Burst())) // it fails only with ctx, which has no deadline
}
