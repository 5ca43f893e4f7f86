package queue_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/queue"
	"github.com/postrider/postrider/internal/eventually"
)

// A cluster is three servers on loopback.
type cluster struct {
	nodes        [3]*server.Server
	dirs         [3]string
	ports, peers [3]int // for clients, and for each other
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{ports: freePorts(t), peers: freePorts(t)}
	for i := range c.nodes {
		c.dirs[i] = t.TempDir()
		c.start(t, i)
	}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.stop(i)
		}
	})
	c.wait(t)
	return c
}

// freePorts are ports that nobody listened on a moment ago.
func freePorts(t *testing.T) (ports [3]int) {
	t.Helper()
	for i := range ports {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if ports[i], err = strconv.Atoi(port); err != nil {
			t.Fatal(err)
		}
	}
	return ports
}

func (c *cluster) start(t *testing.T, i int) {
	t.Helper()
	opts := &server.Options{
		ServerName: fmt.Sprint("node-", i), Host: "127.0.0.1", Port: c.ports[i], NoSigs: true, NoLog: true, MaxPayload: 8 << 20,
		JetStream: true, StoreDir: c.dirs[i], JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: math.MaxInt64, SyncAlways: true,
		Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: c.peers[i]},
	}
	for _, port := range c.peers {
		opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats", Host: fmt.Sprint("127.0.0.1:", port)})
	}
	node, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	c.nodes[i] = node
	node.Start()
}

func (c *cluster) stop(i int) {
	c.nodes[i].Shutdown()
	c.nodes[i].WaitForShutdown()
}

// wait returns when the cluster has a leader that knows all of it.
func (c *cluster) wait(t *testing.T) {
	t.Helper()
	eventually.True(t, "the cluster to have a leader", func() bool {
		for _, node := range c.nodes {
			if node.JetStreamIsLeader() {
				return len(node.JetStreamClusterPeers()) == len(c.nodes)
			}
		}
		return false
	})
}

// connect opens a queue on the cluster.
func (c *cluster) connect(t *testing.T) *queue.Queue {
	t.Helper()
	var urls []string
	for _, port := range c.ports {
		urls = append(urls, fmt.Sprint("nats://127.0.0.1:", port))
	}
	log := slog.New(slog.DiscardHandler)
	nc, err := queue.Connect(queue.Servers{URLs: urls, Name: "test", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	q, err := queue.Open(t.Context(), nc, queue.Options{MaxBytes: 64 << 20, Replicas: 3, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	return q
}

// A harvest is what came, by who got it.
type harvest struct {
	mu  sync.Mutex
	got map[string]int // how often an event came
	by  [2]int         // how many each dispatcher got
}

func (h *harvest) add(i int, id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got[id]++
	h.by[i]++
}

func (h *harvest) distinct() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.got)
}

func TestTwoDispatchersShareAClusterThatLosesANode(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	queues := [2]*queue.Queue{c.connect(t), c.connect(t)}
	h := &harvest{got: map[string]int{}}
	ctx, cancel := context.WithCancel(t.Context())
	var takers sync.WaitGroup
	defer takers.Wait()
	defer cancel()
	for i, q := range queues {
		takers.Go(func() {
			q.Events(ctx, noGate, func(st event.Stored) { h.add(i, st.Event.ID); st.Claim.Done() })
		})
		takers.Go(func() {
			q.Due(ctx, noGate, func(d deliver.Deferral, c *event.Claim) { h.add(i, d.Event.ID); c.Done() })
		})
	}

	want := 0
	put := func(phase string, n int) {
		t.Helper()
		for k := range n {
			ids := []string{fmt.Sprint(phase, k, "event"), fmt.Sprint(phase, k, "due"), fmt.Sprint(phase, k, "waits")}
			var es []event.Event
			for _, id := range ids {
				es = append(es, anEvent(id))
			}
			q := queues[k%2]
			retry(t, "append", func() error { return q.Append(t.Context(), es[:1]) })
			retry(t, "defer", func() error {
				return q.Defer(t.Context(), deliver.Deferral{Route: "cms/a", Due: time.Now(), Event: &es[1]})
			})
			retry(t, "enqueue", func() error { return q.Enqueue(t.Context(), deliver.Deferral{Route: "cms/a", Event: &es[2]}) })
			want += len(ids)
		}
	}
	put("before", 20)
	leader := 0
	for i, node := range c.nodes {
		if node.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, "POSTRIDER_EVENTS") {
			leader = i
		}
	}
	c.stop(leader)
	put("without a node", 20)
	c.start(t, leader)
	put("after", 20)

	eventually.True(t, "all of it", func() bool {
		for i, q := range queues {
			ds, claims, err := q.Dequeue(t.Context(), deliver.QueueID{Route: "cms/a"})
			if err != nil {
				continue // the consumer may have no leader for a moment
			}
			for _, d := range ds {
				h.add(i, d.Event.ID)
			}
			settle(claims)
		}
		return h.distinct() == want
	})
	if h.by[0] == 0 || h.by[1] == 0 {
		t.Errorf("the dispatchers got %d and %d, the work is not shared", h.by[0], h.by[1])
	}
	eventually.True(t, "nothing to be owed", func() bool {
		stored, _, err := queues[0].Counts(t.Context())
		return err == nil && cmp.Equal(map[string]int{}, stored)
	})
	for _, q := range queues {
		if err := q.Ready(); err != nil {
			t.Error(err)
		}
	}
}

func TestPastEventsAndDeadLettersAreReadInAClusterToo(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.connect(t)
	q := c.connect(t) // which brings the settings of the streams up to date
	retry(t, "bury", func() error { return q.Bury(t.Context(), letters("cms/a", "d", 1)...) })
	eventually.True(t, "a replica to know the dead letter", func() bool {
		page, _, err := q.DeadLetters(t.Context(), "cms/a", 0, 10)
		return err == nil && cmp.Equal([]string{"d0"}, idsOf(page))
	})
	retry(t, "append", func() error { return q.Append(t.Context(), []event.Event{anEvent("1")}) })
	eventually.True(t, "a replica to know the event", func() bool {
		var got []string
		_, err := q.History(t.Context(), "cms", time.Now().Add(-time.Hour), time.Now().Add(time.Hour), 0, func(st event.Stored) error {
			got = append(got, st.Event.ID)
			return nil
		})
		return err == nil && cmp.Equal([]string{"1"}, got)
	})
}

// retry does what a producer and a lane do: try again what was not stored.
func retry(t *testing.T, what string, f func() error) {
	t.Helper()
	eventually.True(t, what, func() bool { return f() == nil })
}

func TestADispatcherThatStopsGivesBackWhatItHasNotTaken(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), func(o *queue.Options) { o.Exclusive = false })
	second := s.another(t)
	const n = queue.FetchSize
	for _, e := range events(n) { // a pack each
		if err := s.Append(t.Context(), []event.Event{e}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	taken := 0
	s.Events(ctx, noGate, func(st event.Stored) {
		taken++
		st.Claim.Done()
		cancel() // with the others of the fetch in hand
	})
	if taken != 1 {
		t.Fatalf("%d were taken after the stop", taken-1)
	}
	ctx, cancel = context.WithTimeout(t.Context(), queue.AckWait/2)
	defer cancel()
	got := 0
	second.Events(ctx, noGate, func(st event.Stored) {
		st.Claim.Done()
		if got++; got == n-1 {
			cancel()
		}
	})
	if got != n-1 {
		t.Errorf("%d of %d came to the other", got, n-1)
	}
}

func TestTheGateIsAskedBeforeEachPack(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	for _, e := range events(5) {
		if err := s.Append(t.Context(), []event.Event{e}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	allowed := 3
	gate := func(ctx context.Context) error {
		if allowed == 0 {
			<-ctx.Done()
		}
		return ctx.Err()
	}
	taken := 0
	s.Events(ctx, gate, func(st event.Stored) {
		taken++
		st.Claim.Done()
		if allowed--; allowed == 0 {
			time.AfterFunc(100*time.Millisecond, cancel)
		}
	})
	if taken != 3 {
		t.Errorf("%d packs came through a gate that was open for 3", taken)
	}
}

func TestWhatWaitsForTheGateIsNotGivenAway(t *testing.T) {
	t.Parallel()
	impatient := func(o *queue.Options) { o.Exclusive = false; o.Impatient(2 * time.Second) }
	s := open(t, t.TempDir(), impatient)
	for _, e := range events(3) {
		if err := s.Append(t.Context(), []event.Event{e}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var came []string
	s.Events(ctx, noGate, func(st event.Stored) {
		if len(came) == 0 { // the others are fetched and wait for longer than the servers do
			<-time.After(5 * time.Second)
		}
		came = append(came, st.Event.ID)
		st.Claim.Done()
		if len(came) == 3 {
			time.AfterFunc(500*time.Millisecond, cancel) // for what would come twice
		}
	})
	if diff := cmp.Diff([]string{"e0", "e1", "e2"}, came); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

func TestWhatAClusterKeepsIsListedFoundAndRemoved(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	s := store{Queue: c.connect(t)}
	es := events(3)
	retry(t, "append", func() error { return s.Append(t.Context(), es) })
	for _, d := range letters("cms/a", "a", 5) {
		retry(t, "bury", func() error { return s.Bury(t.Context(), d) })
	}
	retry(t, "bury for another route", func() error { return s.Bury(t.Context(), letters("cms/b", "b", 1)...) })

	var all []deliver.DeadLetter
	listed := func(want ...string) { // a replica may lag for a moment
		t.Helper()
		var err error
		eventually.True(t, fmt.Sprint("the dead letters ", want), func() bool {
			all, _, err = s.DeadLetters(t.Context(), "cms/a", 0, 10)
			return err == nil && cmp.Equal(want, idsOf(all))
		})
	}
	listed("a4", "a3", "a2", "a1", "a0")
	retry(t, "one dead letter", func() error {
		_, err := s.DeadLetter(t.Context(), "cms/a", all[0].ID)
		return err
	})
	retry(t, "an event that was accepted", func() error {
		_, err := s.Find(t.Context(), 1, es[0].Key())
		return err
	})
	eventually.True(t, "what was accepted in the last minute", func() bool {
		n := 0
		_, err := s.History(t.Context(), "cms", time.Now().Add(-time.Minute), time.Now().Add(time.Minute), 0, func(event.Stored) error { n++; return nil })
		return err == nil && n == len(es)
	})

	// What is there the leader knows, so nobody need wait for the others.
	other, _, err := s.DeadLetters(t.Context(), "cms/b", 0, 1)
	if err != nil || len(other) != 1 {
		t.Fatalf("%d letters of the other route, %v", len(other), err)
	}
	for _, want := range []int{2, 0} {
		if n, err := s.RemoveDead(t.Context(), "cms/a", all[4].ID, other[0].ID, all[1].ID, 1<<40); n != want || err != nil {
			t.Errorf("%d removed, %v, want %d", n, err, want)
		}
	}
	listed("a4", "a2", "a1")
	eventually.True(t, "a visit to those that are left", func() bool {
		var ids []string
		err := s.EachDead(t.Context(), "cms/a", func(d deliver.DeadLetter) error { ids = append(ids, d.Event.ID); return nil })
		return err == nil && cmp.Equal([]string{"a1", "a2", "a4"}, ids)
	})
}
