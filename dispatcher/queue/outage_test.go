package queue_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/queue"
	"github.com/postrider/postrider/internal/eventually"
)

// An outside is a server in another place, which can go away and come back.
type outside struct {
	*server.Server
	dir  string
	port int
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	o := &outside{dir: t.TempDir(), port: -1}
	o.start(t)
	addr, ok := o.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal("no TCP")
	}
	o.port = addr.Port
	return o
}

func (o *outside) start(t *testing.T) {
	t.Helper()
	o.Server = aServer(t, func(so *server.Options) { so.StoreDir, so.Port = o.dir, o.port })
}

func (o *outside) stop() {
	o.Shutdown()
	o.WaitForShutdown()
}

func (o *outside) open(t *testing.T) *queue.Queue {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	nc, err := queue.Connect(queue.Servers{URLs: []string{fmt.Sprint("nats://127.0.0.1:", o.port)}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	q, err := queue.Open(t.Context(), nc, queue.Options{MaxBytes: 64 << 20, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	return q
}

// drain takes all that waits for the routes.
func drain(t *testing.T, q *queue.Queue, routes []string) (ids map[string]bool, claims []*event.Claim) {
	t.Helper()
	ids = map[string]bool{}
	for _, route := range routes {
		for {
			ds, cs, err := q.Dequeue(t.Context(), deliver.QueueID{Route: route})
			if err != nil {
				t.Fatal(err)
			}
			if len(ds) == 0 {
				break
			}
			for _, d := range ds {
				ids[d.Event.ID] = true
			}
			claims = append(claims, cs...)
		}
	}
	return ids, claims
}

func TestAStopEndsAlsoWhileTheServersAreAway(t *testing.T) {
	t.Parallel()
	o := newOutside(t)
	q := o.open(t)
	var routes []string
	for i := range 100 {
		routes = append(routes, fmt.Sprint("cms/r", i))
	}
	want := 0
	for want < queue.MaxRemovals+2*len(routes) { // a pack each, and more than wait for their removal
		var ds []deliver.Deferral
		for _, route := range routes {
			e := anEvent(fmt.Sprint("e", want))
			ds = append(ds, deliver.Deferral{Route: route, Event: &e})
			want++
		}
		if err := q.Enqueue(t.Context(), ds...); err != nil {
			t.Fatal(err)
		}
	}
	ids, claims := drain(t, q, routes)
	if len(ids) != want {
		t.Fatalf("%d of %d came", len(ids), want)
	}

	o.stop()
	settled := make(chan struct{})
	go func() { settle(claims); close(settled) }()
	eventually.True(t, "nothing more to be taken for removal", func() bool { return q.Removing() == queue.MaxRemovals })
	select {
	case <-settled:
		t.Fatal("nobody waits: the test proves nothing")
	default:
	}
	closed := make(chan struct{})
	q.Halt()
	eventually.True(t, "what is settled to wait no more", func() bool { return isClosed(settled) })
	go func() { q.Close(); close(closed) }()
	eventually.True(t, "the queue to close", func() bool { return isClosed(closed) })

	o.start(t)
	if again, _ := drain(t, o.open(t), routes); len(again) != want {
		t.Errorf("%d of %d come again, which nobody has removed", len(again), want)
	}
}

func TestWhoNobodyPostsToIsReadyAgainWhenTheServersAreBack(t *testing.T) {
	t.Parallel()
	o := newOutside(t)
	q := o.open(t)
	o.stop()
	if err := q.Append(t.Context(), []event.Event{anEvent("lost")}); err == nil {
		t.Fatal("it is stored, and no server is there")
	}
	if q.Ready() == nil || q.Healthy() != nil {
		t.Errorf("ready: %v, healthy: %v", q.Ready(), q.Healthy())
	}
	o.start(t)
	eventually.True(t, "it to be ready again", func() bool { return q.Ready() == nil })

	// What it has tried that with is no event.
	if err := q.Append(t.Context(), []event.Event{anEvent("after")}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var came []string
	q.Events(ctx, noGate, func(st event.Stored) {
		came = append(came, st.Event.ID)
		st.Claim.Done()
		if st.Event.ID == "after" {
			cancel()
		}
	})
	if !slices.Contains(came, "after") {
		t.Errorf("only %v came", came)
	}
	nc, err := nats.Connect(o.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	s := store{Queue: q, conn: nc}
	eventually.True(t, "all to be settled", func() bool { return s.unsettled(t, "POSTRIDER_EVENTS", "fanout") == 0 })
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
