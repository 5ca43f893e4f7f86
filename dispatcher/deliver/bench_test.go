package deliver_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

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

func benchLanes(b *testing.B, routes int, registry *prometheus.Registry) (*deliver.Lanes, *route.Router) {
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
		Metrics: deliver.NewMetrics(registry, deliver.MetricsOptions{PerWebhook: true}),
		Logger:  slog.New(slog.DiscardHandler),
	})
	return lanes, router
}

// BenchmarkAttempt is one attempt without its lane and without a network: the
// request made, signed, and its answer judged.
func BenchmarkAttempt(b *testing.B) {
	lanes, _ := benchLanes(b, 1, prometheus.NewRegistry())
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
			lanes, router := benchLanes(b, fanout, prometheus.NewRegistry())
			ctx, cancel := context.WithCancel(b.Context())
			var running sync.WaitGroup
			running.Go(func() { lanes.Run(ctx) })
			defer running.Wait()
			defer cancel()
			to := toAll(router)
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

// A discarded is an answer that nobody keeps.
type discarded struct{ header http.Header }

func (d discarded) Header() http.Header          { return d.header }
func (discarded) Write(text []byte) (int, error) { return len(text), nil }
func (discarded) WriteHeader(int)                {}

// toAll are the routes of an event that goes to all of them.
func toAll(r *route.Router) (to []route.Match) {
	for _, e := range r.Entries() {
		to = append(to, route.Match{Entry: e})
	}
	return to
}

// BenchmarkScrape is one read of the metrics of 10,000 webhooks that were attempted.
func BenchmarkScrape(b *testing.B) {
	registry := prometheus.NewRegistry()
	lanes, router := benchLanes(b, 10_000, registry)
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { lanes.Run(ctx) })
	defer running.Wait()
	defer cancel()
	settled := make(chan struct{})
	claim := event.NewClaim(func() { close(settled) })
	claim.Add(router.Len())
	lanes.Deliver(event.Stored{Event: benchEvent(0), Claim: claim}, toAll(router))
	claim.Done()
	<-settled
	page := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	ask := httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", http.NoBody)
	b.ReportAllocs()
	for b.Loop() {
		page.ServeHTTP(discarded{http.Header{}}, ask)
	}
}
