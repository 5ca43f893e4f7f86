package queue_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/queue"
	"github.com/postrider/postrider/dispatcher/queue/embedded"
)

func TestAPaceIsKeptAndEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const second = queue.MinPace
		began := time.Now()
		p := queue.NewPace(second)
		for range 12 { // a second's worth at once, and the rest in two seconds
			p.Wait(t.Context(), second/4)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("three seconds' worth was written in %s", took)
		}
		p.Wait(t.Context(), 100*second) // what is larger than the pace takes its turn too
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		before := time.Now()
		p.Wait(ctx, second)
		if took := time.Since(before); took != 0 {
			t.Errorf("the end was waited for %s", took)
		}
		before = time.Now()
		queue.NewPace(0).Wait(t.Context(), 1<<40)
		if took := time.Since(before); took != 0 {
			t.Errorf("without a bound it took %s", took)
		}
	})
}

// Whoever appends is held back by the pace, and loses nothing by it.
func TestEventsAreAppendedAtThePaceOfTheStore(t *testing.T) {
	t.Parallel()
	server, err := embedded.Start(t.TempDir(), false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	q, _ := openOn(t, server, queue.Options{MaxBytes: 1 << 30, Exclusive: true, Pace: queue.MinPace})
	t.Cleanup(q.Close)
	began := time.Now()
	const written = 2 * queue.MinPace
	for i := range written >> 19 {
		e := anEvent(fmt.Sprint("large-", i))
		e.Data = make([]byte, 1<<19)
		if err := q.Append(t.Context(), []event.Event{e}); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("%d bytes were written in %s, at a pace of %d a second", written, took, queue.MinPace)
	}
}
