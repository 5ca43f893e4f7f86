package queue_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/queue"
	"github.com/postrider/postrider/dispatcher/queue/embedded"
	"github.com/postrider/postrider/dispatcher/route"
)

// A store is a queue on an embedded server whose files outlive it.
type store struct {
	*queue.Queue
	server *embedded.Server
	conn   *nats.Conn
	once   sync.Once
}

func open(tb testing.TB, dir string, change ...func(*queue.Options)) *store {
	tb.Helper()
	server, err := embedded.Start(dir, true, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	s := &store{server: server}
	s.Queue, s.conn = openOn(tb, server, queue.Options{MaxBytes: 64 << 20, Exclusive: true}, change...)
	tb.Cleanup(s.close)
	return s
}

// openOn opens a queue on a server in this process.
func openOn(tb testing.TB, server *embedded.Server, opts queue.Options, change ...func(*queue.Options)) (*queue.Queue, *nats.Conn) {
	tb.Helper()
	nc, err := server.Connect()
	if err != nil {
		tb.Fatal(err)
	}
	opts.Alive, opts.Log = server.Healthy, slog.New(slog.DiscardHandler)
	for _, c := range change {
		c(&opts)
	}
	q, err := queue.Open(tb.Context(), nc, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return q, nc
}

// another is a second dispatcher on the server of s.
func (s *store) another(t *testing.T, change ...func(*queue.Options)) *queue.Queue {
	t.Helper()
	q, _ := openOn(t, s.server, queue.Options{MaxBytes: 64 << 20}, change...)
	t.Cleanup(q.Close)
	return q
}

func (s *store) close() {
	s.once.Do(func() {
		s.Close()
		s.server.Close()
	})
}

func anEvent(id string) event.Event {
	return event.Event{
		Namespace: "cms", ID: id, Source: "/test", Type: "item:added", ContentType: "application/json",
		Data: []byte(`{"n":1}`), Accepted: time.Now().UTC().Truncate(time.Microsecond),
	}
}

func events(n int) []event.Event {
	es := make([]event.Event, n)
	for i := range es {
		es[i] = anEvent(fmt.Sprint("e", i))
	}
	return es
}

func noGate(ctx context.Context) error { return ctx.Err() }

// take consumes until n events came, settles those that settle accepts, and
// returns the ids of all.
func (s *store) take(t *testing.T, n int, settle func(id string) bool) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var ids []string
	s.Events(ctx, noGate, func(st event.Stored) {
		ids = append(ids, st.Event.ID)
		if settle(st.Event.ID) {
			st.Claim.Done()
		}
		if len(ids) == n {
			cancel()
		}
	})
	return ids
}

func every(string) bool { return true }

// js is for looking at the store behind the back of the queue.
func (s *store) js(tb testing.TB) jetstream.JetStream {
	tb.Helper()
	js, err := jetstream.New(s.conn)
	if err != nil {
		tb.Fatal(err)
	}
	return js
}

func (s *store) stream(tb testing.TB, name string) jetstream.Stream {
	tb.Helper()
	stream, err := s.js(tb).Stream(tb.Context(), name)
	if err != nil {
		tb.Fatal(err)
	}
	return stream
}

func (s *store) enqueue(tb testing.TB, ds ...deliver.Deferral) {
	tb.Helper()
	if err := s.Enqueue(tb.Context(), ds...); err != nil {
		tb.Fatal(err)
	}
}

// due takes n deferrals that come due.
func (s *store) due(t *testing.T, n int) (ds []deliver.Deferral, claims []*event.Claim) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s.Due(ctx, noGate, func(d deliver.Deferral, c *event.Claim) {
		if ds, claims = append(ds, d), append(claims, c); len(ds) == n {
			cancel()
		}
	})
	return ds, claims
}

// A way is one of the two to take from a queue.
type way struct {
	name      string
	exclusive bool
}

var ways = []way{{"alone", true}, {"shared", false}}

func (w way) options(o *queue.Options) { o.Exclusive = w.exclusive }

func owed(route string, ids ...int) []deliver.Deferral {
	ds := make([]deliver.Deferral, len(ids))
	for i, id := range ids {
		e := anEvent(fmt.Sprint(id))
		ds[i] = deliver.Deferral{Route: route, Attempts: id % 3, Seq: uint64(id), Event: &e}
	}
	return ds
}

func upTo(n int) []int {
	ids := make([]int, n)
	for i := range ids {
		ids[i] = i
	}
	return ids
}

func ids(ds []deliver.Deferral) []string {
	var all []string
	for _, d := range ds {
		all = append(all, d.Event.ID)
	}
	return all
}

func settle(claims []*event.Claim) {
	for _, c := range claims {
		c.Done()
	}
}

// dequeue takes a pack, which must be there.
func dequeue(t *testing.T, q *queue.Queue, route string) ([]deliver.Deferral, []*event.Claim) {
	t.Helper()
	ds, c, err := q.Dequeue(t.Context(), deliver.QueueID{Route: route})
	if err != nil || len(ds) == 0 {
		t.Fatalf("%d deliveries of %s came, error %v", len(ds), route, err)
	}
	return ds, c
}

func nothingIn(t *testing.T, q *queue.Queue, route string) {
	t.Helper()
	emptyQueue(t, q, deliver.QueueID{Route: route})
}

// keyed are deliveries under a key.
func keyed(id string, key route.Key, ids ...int) []deliver.Deferral {
	ds := owed(id, ids...)
	for i := range ds {
		ds[i].Key, ds[i].Unchecked = key, i%2 == 1
	}
	return ds
}

// dequeueOne takes the next delivery of a queue, which must be there.
func dequeueOne(t *testing.T, q *queue.Queue, from deliver.QueueID) (deliver.Deferral, *event.Claim) {
	t.Helper()
	ds, claims, err := q.Dequeue(t.Context(), from)
	if err != nil || len(ds) != 1 || len(claims) != 1 {
		t.Fatalf("%d deliveries of %v came, error %v; want one", len(ds), from, err)
	}
	return ds[0], claims[0]
}

func emptyQueue(t *testing.T, q *queue.Queue, from deliver.QueueID) {
	t.Helper()
	if ds, _, err := q.Dequeue(t.Context(), from); err != nil || len(ds) != 0 {
		t.Errorf("%d deliveries of %v came, error %v; want none", len(ds), from, err)
	}
}
