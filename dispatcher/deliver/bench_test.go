package deliver_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
)

// nowhere takes every request at once, without a network.
type nowhere struct{}

func (nowhere) Post(context.Context, *egress.Post) (egress.Response, error) {
	return egress.Response{Status: http.StatusOK, Reused: true}, nil
}

func benchLanes(b *testing.B, routes int) (*deliver.Lanes, *route.Router) {
	b.Helper()
	var table route.Table
	for i := range routes {
		rt := aRoute(fmt.Sprintf("cms/r%d", i), "http://receiver.example/hook")
		rt.Concurrency = 10
		rt.Signing = &route.Signing{Keys: []route.Secret{signingKey}}
		table.Routes = append(table.Routes, rt)
	}
	router, err := route.Build(table)
	if err != nil {
		b.Fatal(err)
	}
	current := new(route.Current)
	current.Swap(router)
	lanes := deliver.NewLanes(deliver.Options{
		Router: current, Backlog: &backlog{}, Client: nowhere{}, Recorder: outcome.NewRecorder(),
		Metrics: deliver.NewMetrics(prometheus.NewRegistry(), deliver.MetricsOptions{PerWebhook: true}),
		Logger:  slog.New(slog.DiscardHandler),
	})
	return lanes, router
}

// BenchmarkAttempt is one attempt without its lane and without a network: the
// request made, signed, and its answer judged.
func BenchmarkAttempt(b *testing.B) {
	lanes, _ := benchLanes(b, 1)
	attempt, err := lanes.Attempter(deliver.Deferral{Route: "cms/r0", Event: benchEvent(0)})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if o := attempt(); !o.OK() {
			b.Fatal(o)
		}
	}
}

func benchEvent(i int) *event.Event {
	return &event.Event{
		Namespace: "cms", ID: fmt.Sprint(i), Source: "/bench", Type: "x", ContentType: "application/json",
		Data: []byte(`{"filler":"` + strings.Repeat("x", 1000) + `"}`), Accepted: time.Now(),
	}
}

// BenchmarkDeliver is all that the lanes do for one delivery, from the handing in
// to the settling, without a network. An event goes to so many routes.
func BenchmarkDeliver(b *testing.B) {
	for _, fanout := range []int{1, 10, 100} {
		b.Run(fmt.Sprint("fanout=", fanout), func(b *testing.B) {
			lanes, router := benchLanes(b, fanout)
			ctx, cancel := context.WithCancel(b.Context())
			var running sync.WaitGroup
			running.Go(func() { lanes.Run(ctx) })
			defer running.Wait()
			defer cancel()
			var to []route.Match
			for _, e := range router.Entries() {
				to = append(to, route.Match{Entry: e})
			}
			e := benchEvent(0)
			var open sync.WaitGroup
			b.ReportAllocs()
			for n := 0; b.Loop(); n += fanout {
				if err := lanes.Wait(ctx); err != nil {
					b.Fatal(err)
				}
				// As many as are delivered; an op is a whole event.
				open.Add(1)
				claim := event.NewClaim(open.Done)
				claim.Add(fanout)
				lanes.Deliver(event.Stored{Event: e, Claim: claim}, to)
				claim.Done()
				if n%(100*fanout) == 0 {
					open.Wait()
				}
			}
			open.Wait()
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*fanout), "ns/delivery")
		})
	}
}
