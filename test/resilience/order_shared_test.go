//go:build resilience

package resilience_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/natscluster"
	"github.com/postrider/postrider/test/process"
	"github.com/postrider/postrider/test/receiver"
)

// owner is which dispatcher was the last to say that it delivers what is ordered,
// of those that run; nil when none has.
func owner(t *testing.T, all []*process.Dispatcher, dead map[*process.Dispatcher]bool) (found *process.Dispatcher) {
	t.Helper()
	for _, p := range all {
		if !dead[p] && strings.Contains(p.Log(t), "this dispatcher delivers what is ordered") {
			found = p
		}
	}
	return found
}

const frost = "a frost"

// ends are what an owner suffers.
var ends = []struct {
	name string
	does func(*testing.T, *process.Dispatcher)
}{
	{"kill -9", func(t *testing.T, p *process.Dispatcher) { t.Helper(); p.Kill(t) }},
	{frost, func(t *testing.T, p *process.Dispatcher) { t.Helper(); p.Freeze(t) }},
	{"an orderly end", func(t *testing.T, p *process.Dispatcher) { t.Helper(); p.Signal(t, syscall.SIGTERM) }},
}

func TestDispatchersThatShareANATSClusterKeepTheOrderWhenTheOwnerDies(t *testing.T) {
	t.Parallel()
	dice := newDice(t)
	cluster := natscluster.Start(t, natscluster.Options{})
	s := &sequence{dice: rand.New(rand.NewPCG(dice.Uint64(), 0)), delivered: map[string]int{}} //nolint:gosec // which answers fail is no secret
	kit := receiver.New(t, receiver.Options{IDsOnly: true})
	kit.On("/", s.answer)
	f := &fleet{nats: cluster, options: process.Options{
		Routes: []route.Route{anOrderedRoute(kit.URL("/"))},
		Args:   []string{"--nats-url", strings.Join(cluster.URLs(), ","), "--nats-replicas", "3"},
	}}
	all := []*process.Dispatcher{f.join(t), f.join(t), f.join(t)}
	dead := map[*process.Dispatcher]bool{}
	var led *process.Dispatcher
	leads := func() *process.Dispatcher {
		t.Helper()
		within(t, time.Minute, "a dispatcher to deliver what is ordered", func() bool {
			led = owner(t, all, dead)
			return led != nil
		})
		return led
	}
	leads()

	const keys = 12
	stop := make(chan struct{})
	posted := make([]int, keys)
	var producing sync.WaitGroup
	for k := range keys {
		producing.Go(func() {
			posted[k] = count(t.Context(), f.events, fmt.Sprint("key-", k), stop, time.Duration(20+k*5)*time.Millisecond)
		})
	}
	// more waits until some hundred more events are taken: the order goes on.
	more := func(what string) {
		t.Helper()
		goal := s.taken() + 300
		eventually.True(t, "300 more events to be taken after "+what, func() bool { return s.taken() >= goal })
	}
	more("the start")
	for n := range rounds(3) {
		victim := leads()
		f.leave(victim)
		dead[victim] = true
		end := ends[n%len(ends)]
		end.does(t, victim)
		began := time.Now()
		leads()
		t.Logf("after %s of the owner, another has taken over in %s", end.name, time.Since(began).Round(time.Millisecond))
		more(end.name + " of the owner")
		if end.name == frost {
			victim.Thaw(t)
			victim.Wait(t) // it finds out, and ends by itself
			more("its return")
		}
		all = append(all, f.join(t))
	}
	leader := cluster.Leader(t, "POSTRIDER_OWNER")
	cluster.Kill(t, leader)
	more("the death of a node")
	cluster.Restart(t, leader)
	cluster.WaitHealthy(t)
	close(stop)
	producing.Wait()
	s.heal()

	total := 0
	for _, n := range posted {
		total += n
	}
	within(t, 3*time.Minute, "every event of every key to be delivered", func() bool { return s.taken() >= total })
	within(t, 3*time.Minute, "nothing to be pending", func() bool { return pending(t, all[len(all)-1]) == 0 })
	s.report(t, total, keys)
}

// rounds is how often something is done: n times, or more often where long
// scenarios were asked for.
func rounds(n int) int {
	if long() {
		return 4 * n
	}
	return n
}
