package deliver_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
)

// backlog keeps in memory what a store keeps on disk, and fails while it is
// told to.
type backlog struct {
	mu      sync.Mutex
	failing bool
	takes   time.Duration      // a write that fails
	tries   int                // to write
	ds      []deliver.Deferral // that were ever put off
	parked  []*parked          // those of them that are
	ls      []deliver.DeadLetter
	queues  map[deliver.QueueID][]*pack
	writes  int // packs that were ever enqueued
	largest int // bytes of the events of one Enqueue
	reading int // Dequeues under way
	most    int // of them at once
	slow    chan struct{}
}

// A pack is what one Enqueue brought for one route.
type pack struct {
	ds    []deliver.Deferral
	at    time.Time
	taken bool
}

// A parked is a delivery that is put off.
type parked struct {
	deliver.Deferral
	taken bool
}

var errDisk = errors.New("the disk is gone")

func (b *backlog) write(keep func()) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tries++
	if b.failing {
		b.mu.Unlock()
		<-time.After(b.takes)
		b.mu.Lock()
		return errDisk
	}
	keep()
	return nil
}

func (b *backlog) Defer(_ context.Context, ds ...deliver.Deferral) error {
	return b.write(func() {
		b.ds = append(b.ds, ds...)
		for _, d := range ds {
			b.parked = append(b.parked, &parked{Deferral: d})
		}
	})
}

func (b *backlog) Bury(_ context.Context, ls ...deliver.DeadLetter) error {
	return b.write(func() { b.ls = append(b.ls, ls...) })
}

func (b *backlog) Enqueue(_ context.Context, ds ...deliver.Deferral) error {
	return b.write(func() {
		if b.queues == nil {
			b.queues = map[deliver.QueueID][]*pack{}
		}
		open := map[deliver.QueueID]*pack{}
		size := 0
		for _, d := range ds {
			size += d.Event.Size()
			b.largest = max(b.largest, size)
			p := open[d.Queue()]
			if p == nil || len(p.ds) == deliver.MaxDequeue || d.Key != 0 {
				p = &pack{at: time.Now()}
				b.queues[d.Queue()] = append(b.queues[d.Queue()], p)
				open[d.Queue()] = p
				b.writes++
			}
			p.ds = append(p.ds, d)
		}
	})
}

func (b *backlog) Dequeue(ctx context.Context, id deliver.QueueID) ([]deliver.Deferral, []*event.Claim, error) {
	b.mu.Lock()
	b.reading++
	b.most = max(b.most, b.reading)
	slow := b.slow
	b.mu.Unlock()
	if slow != nil {
		select {
		case <-slow:
		case <-ctx.Done():
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading--
	if b.failing {
		return nil, nil, errDisk
	}
	for _, p := range b.queues[id] {
		if p.taken {
			continue
		}
		p.taken = true
		claim := event.NewClaim(func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.queues[id] = slices.DeleteFunc(b.queues[id], func(q *pack) bool { return q == p })
		})
		claim.Add(len(p.ds) - 1)
		return p.ds, slices.Repeat([]*event.Claim{claim}, len(p.ds)), nil
	}
	return nil, nil, nil
}

func (b *backlog) Waiting(context.Context) (map[deliver.QueueID]int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failing {
		return nil, errDisk
	}
	counts := map[deliver.QueueID]int{}
	for id, packs := range b.queues {
		for _, p := range packs {
			if !p.taken {
				counts[id] += len(p.ds)
			}
		}
	}
	return counts, nil
}

func (b *backlog) Deferred(context.Context) (map[deliver.QueueID]int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failing {
		return nil, errDisk
	}
	counts := map[deliver.QueueID]int{}
	for _, p := range b.parked {
		if !p.taken {
			counts[p.Queue()]++
		}
	}
	return counts, nil
}

// takeDue takes what has come due.
func (b *backlog) takeDue(now time.Time) (due []*parked) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.parked {
		if !p.taken && !now.Before(p.Due) {
			p.taken = true
			due = append(due, p)
		}
	}
	return due
}

func (b *backlog) unpark(p *parked) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.parked = slices.DeleteFunc(b.parked, func(q *parked) bool { return q == p })
}

// restart forgets who has what.
func (b *backlog) restart() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.parked {
		p.taken = false
	}
	for _, packs := range b.queues {
		for _, p := range packs {
			p.taken = false
		}
	}
}

func (b *backlog) Oldest(_ context.Context, id string) (oldest deliver.QueueID, at time.Time, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failing {
		return oldest, at, errDisk
	}
	for q, packs := range b.queues {
		if q.Route == id && len(packs) > 0 && (at.IsZero() || packs[0].at.Before(at)) {
			oldest, at = q, packs[0].at
		}
	}
	return oldest, at, nil
}

func (b *backlog) fail(yes bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failing = yes
}

func (b *backlog) tried() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tries
}

// written counts the packs that were ever enqueued.
func (b *backlog) written() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.writes
}

// slowDown has each Dequeue wait until the channel is closed.
func (b *backlog) slowDown(until chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slow = until
}

// readAtOnce is how many Dequeues were under way at once, at most.
func (b *backlog) readAtOnce() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.most
}

func (b *backlog) kept() (deferred []deliver.Deferral, dead []deliver.DeadLetter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.ds), slices.Clone(b.ls)
}

// waiting are the deliveries in the queue of a route, or in that of a key of it.
func (b *backlog) waiting(id string, of ...route.Key) []deliver.Deferral {
	b.mu.Lock()
	defer b.mu.Unlock()
	from := deliver.QueueID{Route: id}
	for _, from.Key = range of {
	}
	var ds []deliver.Deferral
	for _, p := range b.queues[from] {
		ds = append(ds, p.ds...)
	}
	return ds
}

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

// postData does so with an event that carries data.
func (r *rig) postData(id string, data []byte, routes ...string) {
	st := event.Stored{Seq: 7, Claim: r.claim(id), Event: anEvent(id)}
	st.Event.Data = data
	r.hand(st, 0, routes...)
}

// postKey hands an event with the id to every route of the table, ordered by key.
func (r *rig) postKey(id string, key route.Key) { r.postKeyTo(id, key) }

// postKeyTo does so for the routes with these ids.
func (r *rig) postKeyTo(id string, key route.Key, routes ...string) {
	r.hand(event.Stored{Seq: 7, Claim: r.claim(id), Event: anEvent(id)}, key, routes...)
}

func (r *rig) hand(st event.Stored, key route.Key, routes ...string) {
	var to []route.Match
	for _, e := range r.router.Load().Entries() {
		if len(routes) == 0 || slices.Contains(routes, e.ID) {
			to = append(to, route.Match{Entry: e, Key: key})
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

// receivers answer without a network, so that time may pass as a test likes:
// by default at once, with 200.
type receivers struct {
	mu      sync.Mutex
	answers map[string]func(*http.Request) egress.Response // by host; nil never answers
	counts  map[string]int
	active  map[string]int
	most    map[string]int // at once
	order   []string
}

func newReceivers() *receivers {
	return &receivers{
		answers: map[string]func(*http.Request) egress.Response{},
		counts:  map[string]int{}, active: map[string]int{}, most: map[string]int{},
	}
}

func (r *receivers) options(o *deliver.Options) { o.Client = r }

// Post implements [deliver.Client].
func (r *receivers) Post(ctx context.Context, p *egress.Post) (egress.Response, error) {
	ctx, cancel := context.WithDeadline(ctx, p.Deadline)
	defer cancel()
	req := p.Request(ctx)
	host := req.URL.Host
	r.mu.Lock()
	r.counts[host]++
	r.active[host]++
	r.most[host] = max(r.most[host], r.active[host])
	r.order = append(r.order, req.URL.Host+req.URL.Path)
	answer, scripted := r.answers[host]
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.active[host]--
	}()
	if !scripted {
		return egress.Response{Status: http.StatusOK}, nil
	}
	if answer == nil {
		<-req.Context().Done()
		return egress.Response{}, req.Context().Err()
	}
	return answer(req), nil
}

// on has a host answer so from now on.
func (r *receivers) on(host string, answer func(*http.Request) egress.Response) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers[host] = answer
}

func (r *receivers) count(host string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[host]
}

func (r *receivers) atOnce(host string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.most[host]
}

// requests are the hosts and paths of all requests, in their order.
func (r *receivers) requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.order)
}

func (r *receivers) all() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counts)
}

// status answers at once.
func status(code int) func(*http.Request) egress.Response {
	return func(*http.Request) egress.Response { return egress.Response{Status: code} }
}

// after answers 200 after a while.
func after(d time.Duration) func(*http.Request) egress.Response {
	return func(req *http.Request) egress.Response {
		select {
		case <-time.After(d):
		case <-req.Context().Done():
		}
		return egress.Response{Status: http.StatusOK}
	}
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
