package deliver_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
)

// A rig is Lanes at work, with what they work with.
type rig struct {
	*deliver.Lanes
	backlog  *backlog
	router   *route.Current
	recorder outcome.Recorder
	registry *prometheus.Registry
	log      *attemptLog
	stop     func() // and wait until they have stopped
	mu       sync.Mutex
	released map[string]bool
}

func start(t *testing.T, change func(*deliver.Options), routes ...route.Route) *rig {
	t.Helper()
	return startOn(t, &backlog{}, change, routes...)
}

// startOn does so with a backlog that has been used before.
func startOn(t *testing.T, b *backlog, change func(*deliver.Options), routes ...route.Route) *rig {
	t.Helper()
	b.restart()
	r := &rig{
		backlog: b, router: new(route.Current), recorder: outcome.NewRecorder(),
		registry: prometheus.NewRegistry(), log: &attemptLog{}, released: map[string]bool{},
	}
	r.table(t, routes...)
	o := deliver.Options{
		Router: r.router, Backlog: r.backlog, Recorder: r.recorder, Log: r.log,
		Client:  egress.New(egress.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}),
		Metrics: deliver.NewMetrics(r.registry, deliver.MetricsOptions{PerWebhook: true}), Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	r.Lanes = deliver.NewLanes(o)
	if err := r.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	r.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(func() {
		r.stop()
		for what, n := range r.Held() {
			if n != 0 {
				t.Errorf("after the stop %d are counted in %q", n, what)
			}
		}
	})
	return r
}

func (r *rig) table(t *testing.T, routes ...route.Route) {
	t.Helper()
	router, err := route.Build(route.Table{Routes: routes})
	if err != nil {
		t.Fatal(err)
	}
	r.router.Swap(router)
}

func (r *rig) claim(id string) *event.Claim {
	return event.NewClaim(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.released[id] = true
	})
}

func (r *rig) countReleased() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.released)
}

// post hands an event with the id to the routes with these ids, or to every
// route of the table.
func (r *rig) post(id string, routes ...string) { r.postData(id, []byte(`{}`), routes...) }

// postAll does so with n events, whose ids begin alike.
func (r *rig) postAll(prefix string, n int, routes ...string) {
	for i := range n {
		r.post(fmt.Sprint(prefix, i), routes...)
	}
}

// postData hands in an event that carries data.
func (r *rig) postData(id string, data []byte, routes ...string) {
	r.hand(r.accept(id, data), route.Match{}, routes...)
}

// postKey hands an event with the id to every route of the table, ordered by key.
func (r *rig) postKey(id string, key route.Key) { r.postKeyTo(id, key) }

// postKeyTo does so for the routes with these ids.
func (r *rig) postKeyTo(id string, key route.Key, routes ...string) {
	r.hand(r.accept(id, []byte(`{}`)), route.Match{Key: key}, routes...)
}

// accept makes an event that carries data.
func (r *rig) accept(id string, data []byte) event.Stored {
	st := event.Stored{Seq: 7, Claim: r.claim(id), Event: anEvent(id)}
	st.Event.Data = data
	return st
}

// hand hands in an event that matches in that manner.
func (r *rig) hand(st event.Stored, m route.Match, routes ...string) {
	var to []route.Match
	for _, m.Entry = range r.router.Load().Entries() {
		if len(routes) == 0 || slices.Contains(routes, m.Entry.ID) {
			to = append(to, m)
		}
	}
	st.Claim.Add(len(to))
	r.Deliver(st, to)
	st.Claim.Done()
}

// pass lets time pass, in which what was put off comes back when it is due.
func (r *rig) pass(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		pass(min(100*time.Millisecond, time.Until(end)))
		for _, p := range r.backlog.takeDue(time.Now()) {
			r.Resume(p.Deferral, event.NewClaim(func() { r.backlog.unpark(p) }))
		}
	}
	synctest.Wait()
}

// pass lets time pass, until nobody has anything left to do.
func pass(d time.Duration) { eventually.After(d) }

// aText is so many bytes of JSON.
func aText(n int) []byte { return []byte(`"` + strings.Repeat("x", n-2) + `"`) }

func anEvent(id string) *event.Event {
	return &event.Event{Namespace: "cms", ID: id, Source: "/test", Type: "x", Data: []byte(`{}`), Accepted: time.Now()}
}

func aRoute(name, url string) route.Route {
	if !strings.Contains(name, "/") {
		name = "cms/" + name
	}
	return route.Route{
		ID: name, Events: []string{"*"}, URL: url, Timeout: 5 * time.Second, Concurrency: 2,
		Retry: route.Retry{Backoff: []time.Duration{time.Minute}, MaxAge: time.Hour},
	}
}

// facts are those of the route cms/a.
func (r *rig) facts() outcome.Summary { return summary(r, "cms/a") }

// metric is the value of a series, by its name and the values of its labels.
func (r *rig) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if slices.Equal(values, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return -1
}

// histogram returns the only one of a name.
func (r *rig) histogram(t *testing.T, name string) *dto.Histogram {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name && len(f.GetMetric()) == 1 {
			return f.GetMetric()[0].GetHistogram()
		}
	}
	t.Fatalf("there is not one histogram %s", name)
	return nil
}

// attemptLog keeps records in memory.
type attemptLog struct {
	mu      sync.Mutex
	records []*deliver.Record
}

func (l *attemptLog) Keep(r *deliver.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, r)
}

func (l *attemptLog) all() []*deliver.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.records)
}

// summary are the facts of a route.
func summary(r *rig, id string) outcome.Summary {
	all, _ := r.recorder.Since(0)
	for _, s := range all {
		if s.Route == id {
			return s
		}
	}
	return outcome.Summary{}
}
