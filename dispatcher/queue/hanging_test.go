package queue_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/fanout"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/queue"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
)

// unequal is a network where the hosts of one namespace never answer, and those
// of the other take everything at once.
type unequal struct {
	hang            chan struct{} // closed at the end
	hanging, healed atomic.Int64
	delivered       atomic.Int64
}

func (u *unequal) Post(ctx context.Context, p *egress.Post) (egress.Response, error) {
	if !strings.HasPrefix(p.Request(ctx).URL.Host, "dead-") {
		u.delivered.Add(1)
		return egress.Response{Status: http.StatusOK}, nil
	}
	u.hanging.Add(1)
	<-u.hang
	u.healed.Add(1)
	return egress.Response{Status: http.StatusOK}, nil
}

func (u *unequal) Keep(*deliver.Record) {}

func TestReceiversThatHangDoNotCloseTheGateOfTheStore(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), func(o *queue.Options) { o.MaxBytes = 1 << 30 })
	const dead = 300
	to := func(id, host, events string) route.Route {
		return route.Route{
			ID: id, Events: []string{events}, URL: "http://" + host + "/", Timeout: time.Minute, Concurrency: 10,
			Retry: route.Retry{Backoff: []time.Duration{time.Minute}, MaxAge: time.Hour},
		}
	}
	table := route.Table{Routes: []route.Route{to("cms/a", "healthy", "item:added")}}
	for i := range dead {
		table.Routes = append(table.Routes, to(fmt.Sprint("hog/r", i), fmt.Sprint("dead-", i), fmt.Sprint("large:", i)))
	}
	built, err := route.Build(table)
	if err != nil {
		t.Fatal(err)
	}
	router := new(route.Current)
	router.Swap(built)
	network := &unequal{hang: make(chan struct{})}
	lanes := deliver.NewLanes(deliver.Options{
		Router: router, Backlog: s.Queue, Client: network, Recorder: outcome.NewRecorder(), Log: network,
		Metrics: deliver.NewMetrics(prometheus.NewRegistry(), deliver.MetricsOptions{}), Logger: slog.New(slog.DiscardHandler),
	})

	ctx, cancel := context.WithCancel(t.Context())
	var feeding, running sync.WaitGroup
	running.Go(func() { lanes.Run(ctx) })
	feeding.Go(func() {
		s.Events(ctx, lanes.Wait, fanout.New(router, lanes, outcome.NewRecorder(), prometheus.NewRegistry(), slog.New(slog.DiscardHandler)).Event)
	})
	defer running.Wait()
	defer close(network.hang)
	defer feeding.Wait()
	defer cancel()

	const rounds, size = 200, 512 << 10 // more than the gate lets in
	for i := range rounds {
		large, small := anEvent(fmt.Sprint("large-", i)), anEvent(fmt.Sprint("small-", i))
		large.Namespace, large.Type = "hog", fmt.Sprint("large:", i%dead)
		large.Data = []byte(`"` + strings.Repeat("x", size>>3<<(i%5)-2) + `"`) // of 64 KiB to 1 MiB
		if err := s.Append(t.Context(), []event.Event{large, small}); err != nil {
			t.Fatal(err)
		}
	}
	eventually.True(t, "all events of the other namespace to be delivered", func() bool { return network.delivered.Load() == rounds })
	if network.hanging.Load() == 0 || network.healed.Load() != 0 {
		t.Errorf("of the others %d hang and %d were answered", network.hanging.Load(), network.healed.Load())
	}
}
