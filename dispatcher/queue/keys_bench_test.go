package queue_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/route"
)

// resident is how much memory this process has, the server included.
func resident(tb testing.TB) float64 {
	tb.Helper()
	runtime.GC()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		tb.Fatal(err)
	}
	var size, pages int
	if _, err := fmt.Fscan(strings.NewReader(string(text)), &size, &pages); err != nil {
		tb.Fatal(err)
	}
	return float64(pages*os.Getpagesize()) / (1 << 20)
}

// BenchmarkKeys has 100,000 deliveries of 1 KiB wait, each under a key of its
// own: it stores them, opens the store again, counts them and takes the first
// 10,000 in turn.
func BenchmarkKeys(b *testing.B) {
	const keys, taken = 100_000, 10_000
	for range b.N {
		dir := b.TempDir()
		report := func(what string, start time.Time) {
			b.ReportMetric(float64(time.Since(start).Milliseconds()), what+"-ms")
		}
		start := time.Now()
		q, shut := openDir(b, dir)
		for done := 0; done < keys; done += 1000 {
			ds := make([]deliver.Deferral, 1000)
			for i := range ds {
				n := done + i
				ds[i] = keyed(fmt.Sprintf("cms/r%d", n%10), route.Key(n+1)*0x9e3779b97f4a7c15, n)[0]
				ds[i].Event.Data = make([]byte, 1024)
			}
			if err := q.Enqueue(b.Context(), ds...); err != nil {
				b.Fatal(err)
			}
		}
		report("store", start)
		shut()
		b.ReportMetric(resident(b), "rss-before-MB")
		start = time.Now()
		q, shut = openDir(b, dir)
		report("open", start)
		b.ReportMetric(resident(b), "rss-open-MB")
		for _, again := range []string{"count", "count-again"} {
			start, before := time.Now(), cpu(b)
			waiting, err := q.Waiting(b.Context())
			if err != nil || len(waiting) != keys {
				b.Fatal(len(waiting), err)
			}
			report(again, start)
			b.ReportMetric(float64((cpu(b) - before).Milliseconds()), again+"-cpu-ms")
			b.ReportMetric(resident(b), "rss-"+again+"-MB")
		}
		start = time.Now()
		if _, _, err := q.Oldest(b.Context(), "cms/r0"); err != nil {
			b.Fatal(err)
		}
		report("oldest", start)
		start = time.Now()
		if _, err := q.Deferred(b.Context()); err != nil {
			b.Fatal(err)
		}
		report("deferred", start)
		start, before := time.Now(), cpu(b)
		var next atomic.Int64
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for n := next.Add(1); n <= taken; n = next.Add(1) {
					n := n * 7 % keys // not in the order of the store
					ds, claims, err := q.Dequeue(b.Context(), deliver.QueueID{Route: fmt.Sprintf("cms/r%d", n%10), Key: route.Key(n+1) * 0x9e3779b97f4a7c15})
					if err != nil || len(ds) != 1 {
						b.Error(len(ds), err)
					}
					settle(claims)
				}
			})
		}
		wg.Wait()
		b.ReportMetric(float64((cpu(b)-before).Microseconds())/taken, "cpu-µs/taken")
		b.ReportMetric(taken/time.Since(start).Seconds(), "taken/s")
		b.ReportMetric(resident(b), "rss-taken-MB")
		shut()
	}
}
