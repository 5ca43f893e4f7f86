//go:build resilience

package resilience_test

import (
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/natscluster"
	"github.com/postrider/postrider/test/process"
)

// A fleet is several dispatchers that share one NATS cluster.
type fleet struct {
	nats    *natscluster.Cluster
	options process.Options

	mu   sync.Mutex
	up   []*process.Dispatcher // those that take events
	next int
}

// join starts another dispatcher.
func (f *fleet) join(t *testing.T) *process.Dispatcher {
	t.Helper()
	p := process.New(t, f.options)
	p.Start(t)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.up = append(f.up, p)
	return p
}

// leave takes p out of the addresses that producers use, as a Service does.
func (f *fleet) leave(p *process.Dispatcher) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, other := range f.up {
		if other == p {
			f.up = append(f.up[:i:i], f.up[i+1:]...)
			return
		}
	}
}

// events is the address of one after the other.
func (f *fleet) events() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	return f.up[f.next%len(f.up)].Events()
}

// attempts is how many attempts p has logged as ended. At the level DEBUG that is all of them.
func attempts(t *testing.T, p *process.Dispatcher) int {
	t.Helper()
	return strings.Count(p.Log(t), `"msg":"attempt"`)
}

// shows lets a failing test say what p reports.
func shows(tb testing.TB, p *process.Dispatcher) {
	tb.Helper()
	r, _ := ask(tb, p)
	for _, s := range r.Summaries {
		tb.Logf("%s: %d in memory, %d stored, %d dead letters", s.Route, s.Pending, s.Stored, s.DeadLetters)
	}
}

func TestDispatchersThatShareANATSClusterLoseNothingWhenMembersDie(t *testing.T) {
	t.Parallel()
	cluster := natscluster.Start(t, natscluster.Options{TLS: true})
	l := newLedger().open(reachable).open(unreachable)
	rc := newReceivers(t, l, reachable, unreachable)
	rc.set(unreachable, down)
	f := &fleet{nats: cluster, options: process.Options{
		Routes: []route.Route{aRoute(reachable, rc.url(reachable)), aRoute(unreachable, rc.url(unreachable))},
		Args: []string{
			"--nats-url", strings.Join(cluster.URLs(), ","), "--nats-replicas", "3", "--log-level", "DEBUG",
			"--nats-ca", cluster.Files.CA, "--nats-cert", cluster.Files.Cert, "--nats-key", cluster.Files.Key,
		},
	}}
	first, second := f.join(t), f.join(t)

	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		producers{ledger: l, events: f.events, hasty: true, stop: stop, every: 10 * time.Millisecond}.run(t.Context(), 8)
	}()
	// more waits until a few hundred more events are accepted: in between all works on.
	more := func(what string) {
		t.Helper()
		goal := l.count() + 200
		eventually.True(t, "200 more events after "+what, func() bool { return l.count() >= goal })
	}

	more("the start")
	leader := cluster.Leader(t, "POSTRIDER_EVENTS")
	cluster.Kill(t, leader)
	more("the death of the node that leads the events")
	cluster.Restart(t, leader)
	cluster.WaitHealthy(t)
	follower := (cluster.Leader(t, "POSTRIDER_EVENTS") + 1) % len(cluster.URLs())
	cluster.Kill(t, follower)
	more("the death of a node that follows")
	cluster.Restart(t, follower)
	cluster.WaitHealthy(t)

	f.leave(second)
	second.Kill(t)
	more("the death of a dispatcher")
	third := f.join(t)
	more("a third dispatcher")
	f.leave(first)
	first.Signal(t, syscall.SIGTERM)
	more("the orderly end of a dispatcher")
	close(stop)
	<-stopped

	rc.heal()
	// What the dead dispatcher had in hand comes to another after a minute of silence.
	within(t, 4*time.Minute, "every accepted event to arrive", func() bool { return l.missing() == 0 })
	within(t, 6*time.Minute, "nothing to be pending", func() bool { return pending(t, third) == 0 })
	shows(t, third)
	l.settle(t, deadLetters(t, third, l))
	for i, p := range []*process.Dispatcher{first, second, third} {
		n := attempts(t, p)
		t.Logf("dispatcher %d made %d attempts", i+1, n)
		if n == 0 {
			t.Errorf("dispatcher %d did no work", i+1)
		}
	}
	// What comes again is what was in hand when a member died: packs of a few
	// seconds, not everything.
	if b := l.balances()[reachable]; b.again > b.owed/2 {
		t.Errorf("%d of %d deliveries came again", b.again, b.owed)
	}
}
