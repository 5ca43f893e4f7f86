package dispatcher

import (
	"context"
	"log/slog"
	"time"
)

const (
	// recountEvery is how often the counts of what is stored are put right: letters
	// expire, and other dispatchers are at work.
	recountEvery = 30 * time.Second
	// recountSoon follows a count that did not agree with what was known: it went on
	// while deliveries came and went, and may itself be what is wrong.
	recountSoon = 2 * time.Second
	// recountRarely bounds what counting takes to one part of so many of the time.
	recountRarely = 50
)

// keepCounting counts from time to time until ctx is done.
func keepCounting(ctx context.Context, count func(context.Context) (agreed bool, err error), log *slog.Logger) {
	timer := time.NewTimer(recountEvery)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		agreed, err := count(ctx)
		if err != nil && ctx.Err() == nil {
			log.Warn("what is stored could not be counted, trying again", "err", err)
		}
		next := recountEvery
		if !agreed && err == nil {
			next = min(max(recountSoon, recountRarely*time.Since(began)), recountEvery)
		}
		timer.Reset(next)
	}
}
