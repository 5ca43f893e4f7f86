package queue_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/queue"
	"github.com/postrider/postrider/dispatcher/queue/embedded"
)

// cpu is what this process has used so far.
func cpu(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchStore is a store with room for a benchmark, synced as always.
func benchStore(b *testing.B, change ...func(*queue.Options)) *queue.Queue {
	b.Helper()
	server, err := embedded.Start(b.TempDir(), true, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	q := openBench(b, server, change...)
	b.Cleanup(func() { q.Close(); server.Close() })
	return q
}

func openBench(b *testing.B, server *embedded.Server, change ...func(*queue.Options)) *queue.Queue {
	b.Helper()
	q, _ := openOn(b, server, queue.Options{MaxBytes: 8 << 30, Exclusive: true}, change...)
	return q
}

// openDir opens the store in a folder, until shut is called.
func openDir(b *testing.B, dir string) (q *queue.Queue, shut func()) {
	b.Helper()
	server, err := embedded.Start(dir, true, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	q = openBench(b, server)
	return q, func() { q.Close(); server.Close() }
}

// fill appends n events of 1 KiB, one per call, by so many callers at once.
func fill(b *testing.B, q *queue.Queue, callers, n int) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				e := anEvent(fmt.Sprint("bench-", i))
				e.Data = make([]byte, 1024)
				if err := q.Append(b.Context(), []event.Event{e}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkAppend is one event of 1 KiB per call, durable when it returns. CPU
// is that of the whole process, the server included.
func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			q := benchStore(b)
			b.ReportAllocs()
			before := cpu(b)
			b.ResetTimer()
			fill(b, q, callers, b.N)
			b.StopTimer()
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-µs/event")
		})
	}
}

// BenchmarkEvents takes stored events, in packs as 64 callers make them, and settles them.
func BenchmarkEvents(b *testing.B) {
	q := benchStore(b)
	fill(b, q, 64, b.N)
	b.ReportAllocs()
	before := cpu(b)
	b.ResetTimer()
	ctx, cancel := context.WithCancel(b.Context())
	n := 0
	q.Events(ctx, noGate, func(st event.Stored) {
		st.Claim.Done()
		if n++; n == b.N {
			cancel()
		}
	})
	b.StopTimer()
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-µs/event")
}

// BenchmarkDequeue empties the queues of 200 routes, each of packs of 64.
func BenchmarkDequeue(b *testing.B) {
	const routes, each = 200, 64
	for _, way := range ways {
		b.Run(way.name, func(b *testing.B) {
			q := benchStore(b, way.options)
			packs := b.N/(routes*each) + 1
			for p := range packs {
				for r := range routes {
					if err := q.Enqueue(b.Context(), owed(fmt.Sprintf("cms/r%d", r), upTo(each)...)...); err != nil {
						b.Fatal(err, p)
					}
				}
			}
			before := cpu(b)
			b.ResetTimer()
			var wg sync.WaitGroup
			for r := range routes {
				wg.Go(func() {
					for {
						ds, claim, err := q.Dequeue(b.Context(), deliver.QueueID{Route: fmt.Sprintf("cms/r%d", r)})
						if err != nil {
							b.Error(err)
						}
						if len(ds) == 0 {
							return
						}
						settle(claim)
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(packs*routes*each), "cpu-µs/delivery")
		})
	}
}

// BenchmarkDefer parks and schedules deliveries in packs of one: no two are due
// at the same time.
func BenchmarkDefer(b *testing.B) {
	q := benchStore(b)
	before := cpu(b)
	b.ResetTimer()
	deferApart(b, q, b.N)
	b.StopTimer()
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-µs/deferral")
}

func deferApart(b *testing.B, q *queue.Queue, n int) {
	b.Helper()
	due := time.Now().Add(24 * time.Hour)
	for done := 0; done < n; done += 1000 {
		ds := make([]deliver.Deferral, min(1000, n-done))
		for i := range ds {
			e := anEvent(fmt.Sprint(done + i))
			e.Data = make([]byte, 1024)
			ds[i] = deliver.Deferral{
				Route: fmt.Sprintf("cms/r%d", i), Attempts: 1, Event: &e,
				Due: due.Add(time.Duration(done+i) * time.Minute),
			}
		}
		if err := q.Defer(b.Context(), ds...); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRestart opens a store that holds 100,000 deferrals, each in a pack
// of its own, counts them and delivers one event.
func BenchmarkRestart(b *testing.B) {
	const deferrals = 100_000
	dir := b.TempDir()
	q, shut := openDir(b, dir)
	deferApart(b, q, deferrals)
	shut()
	var opened, counted, used time.Duration
	for b.Loop() {
		start, before := time.Now(), cpu(b)
		q, shut := openDir(b, dir)
		opened += time.Since(start)
		stored, _, err := q.Counts(b.Context())
		if err != nil || len(stored) != 1000 || stored["cms/r7"] != deferrals/1000 {
			b.Fatal(len(stored), stored["cms/r7"], err)
		}
		counted += time.Since(start)
		used += cpu(b) - before
		b.StopTimer()
		shut()
		b.StartTimer()
	}
	b.ReportMetric(float64(opened.Milliseconds())/float64(b.N), "open-ms")
	b.ReportMetric(float64(counted.Milliseconds())/float64(b.N), "counted-ms")
	b.ReportMetric(float64(used.Milliseconds())/float64(b.N), "cpu-ms")
}
