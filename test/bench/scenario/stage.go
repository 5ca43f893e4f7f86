package scenario

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/test/bench/ledger"
	"github.com/postrider/postrider/test/bench/proc"
	"github.com/postrider/postrider/test/bench/role"
)

const (
	dataSize    = 1 << 10 // of an event, in bytes
	connections = 64      // of the generator, and of the bare client
	// stallPatience is after how long without any arrival nothing more is expected.
	stallPatience = 20 * time.Second
	// quietSlice is the time between two looks at the CPU, quietShare what a
	// quiet process takes of it at most, and quietPatience when to stop looking.
	quietSlice, quietShare, quietPatience = 50 * time.Millisecond, 0.04, 5 * time.Second
)

// A stage is a ledger, receivers, a generator, and the dispatcher.
type stage struct {
	bench      *Bench
	dir        string
	book       *ledger.Ledger
	receiver   *proc.Process
	generator  *proc.Process
	dispatcher *dispatcher
	addresses  []string // of the receivers
	next       int      // the event to be posted next
	roles      []*proc.Process
}

// newStage sets a stage. Its routes are what a table has for webhooks without a
// policy but for a signature; tune, unless it is nil, changes each.
func (b *Bench) newStage(ctx context.Context, name string, l ledger.Layout, tune func(*route.Route)) (_ *stage, err error) {
	s := &stage{bench: b, dir: filepath.Join(b.Dir, name)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("preparing: %w", err)
	}
	if s.book, err = ledger.Create(l); err != nil {
		return nil, err
	}
	if s.receiver, err = s.start(ctx, role.Receiver); err != nil {
		return nil, err
	}
	if s.generator, err = s.start(ctx, role.Generator); err != nil {
		return nil, err
	}
	if err := s.conduct(role.Conduct{}); err != nil {
		return nil, err
	}
	routes := s.routes()
	for i := range routes {
		if tune != nil {
			tune(&routes[i])
		}
	}
	s.dispatcher, err = b.newDispatcher(ctx, s.dir, routes)
	return s, err
}

// start starts this program once more, in a role.
func (s *stage) start(ctx context.Context, name string) (*proc.Process, error) {
	p, err := proc.Start(ctx, proc.Command{
		Name: name, Path: s.bench.Self, Args: []string{"--role=" + name},
		Log: filepath.Join(s.dir, name+".log"), Orders: true, Files: []*os.File{s.book.File()},
	})
	if err == nil {
		s.roles = append(s.roles, p)
	}
	return p, err
}

// conduct tells the receivers how to behave.
func (s *stage) conduct(c role.Conduct) error { return s.receiver.Ask(c, &s.addresses) }

// close ends all processes and removes what they stored.
func (s *stage) close() error {
	if s.dispatcher != nil && s.dispatcher.Process != nil {
		s.dispatcher.Kill()
	}
	for _, p := range s.roles {
		p.Kill()
	}
	err := os.RemoveAll(s.dir)
	if s.book != nil {
		err = errors.Join(err, s.book.Close())
	}
	return err
}

// routes have the defaults of timeout, concurrency and retries.
func (s *stage) routes() []route.Route {
	routes := make([]route.Route, s.book.Routes)
	for i := range routes {
		routes[i] = route.Route{
			ID: routeID(i), Generation: 1, Events: []string{role.EventType(i / int(s.book.Fanout))},
			URL:     role.URL(s.addresses, i),
			Signing: &route.Signing{Keys: []route.Secret{route.Secret("whsec_" + base64.StdEncoding.EncodeToString(role.Key(i)))}},
			Timeout: 10 * time.Second, Concurrency: 10,
			Retry: route.Retry{
				Backoff: []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour},
				Jitter:  0.2, MaxAge: 72 * time.Hour,
			},
		}
	}
	return routes
}

func routeID(i int) string { return fmt.Sprintf("%s/r%d", role.Namespace, i) }

// post lets the generator post a load, and returns which events these were.
func (s *stage) post(l role.Load) (role.Tally, ledger.Range, error) {
	l.Token, l.Connections, l.First = producerToken, connections, s.next
	if l.Size == 0 {
		l.Size = dataSize
	}
	if l.Target == "" {
		l.Target = s.dispatcher.events
	}
	var t role.Tally
	if err := s.generator.Ask(l, &t); err != nil {
		return t, ledger.Range{}, err
	}
	s.next = t.Next
	if t.Accepted == 0 {
		return t, ledger.Range{}, fmt.Errorf("no event was accepted: %d were refused and %d not answered\n%s", t.Refused, t.Failed, s.dispatcher.Complaints())
	}
	return t, ledger.Range{First: l.First, End: t.Next}, nil
}

// await waits until count has reached n, and no longer than stallPatience
// after it has last moved. Who counts what is missing will see it.
func (s *stage) await(ctx context.Context, n int, count func() int) {
	last, moved := count(), time.Now()
	for last < n && time.Since(moved) < stallPatience && ctx.Err() == nil {
		time.Sleep(pollPause)
		if now := count(); now != last {
			last, moved = now, time.Now()
		}
	}
}

// deliver posts a load and waits until all of it is delivered.
func (s *stage) deliver(ctx context.Context, l role.Load) (role.Tally, ledger.Range, error) {
	before := s.book.Delivered()
	t, r, err := s.post(l)
	if err != nil {
		return t, r, err
	}
	s.await(ctx, before+t.Accepted*int(s.book.Fanout), s.book.Delivered)
	return t, r, ctx.Err()
}

// quiet waits until p has nothing to do any more, and returns the CPU time that
// it has taken by then.
func quiet(p *proc.Process) (time.Duration, error) {
	cpu, err := p.CPU()
	for began := time.Now(); err == nil && time.Since(began) < quietPatience; {
		time.Sleep(quietSlice)
		before := cpu
		if cpu, err = p.CPU(); float64(cpu-before) < quietShare*float64(quietSlice) {
			break
		}
	}
	return cpu, err
}

// A round is one measurement of a contestant that is as busy as can be.
type round struct {
	perSecond float64       // deliveries
	cpu       time.Duration // per delivery
	events    ledger.Range
}

// measure counts what p spends on the deliveries that work makes: from before
// the first until p is quiet after the last.
func (s *stage) measure(p *proc.Process, work func() (ledger.Range, time.Time, error)) (round, error) {
	before, err := quiet(p)
	if err != nil {
		return round{}, err
	}
	s.book.Mark()
	delivered := s.book.Delivered()
	events, began, err := work()
	if err != nil {
		return round{}, err
	}
	after, err := quiet(p)
	if err != nil {
		return round{}, err
	}
	made := s.book.Delivered() - delivered
	_, last := s.book.Span()
	if made == 0 || !last.After(began) {
		return round{}, errors.New("nothing was delivered")
	}
	return round{perSecond: float64(made) / last.Sub(began).Seconds(), cpu: (after - before) / time.Duration(made), events: events}, nil
}

// saturate keeps p, which takes events at target, busy for a while in a closed loop.
func (s *stage) saturate(ctx context.Context, p *proc.Process, target string, length time.Duration) (round, error) {
	return s.measure(p, func() (ledger.Range, time.Time, error) {
		t, r, err := s.deliver(ctx, role.Load{Target: target, Duration: length, Window: s.bench.Size.Window})
		return r, t.Began, err
	})
}

// saturateDispatcher is saturate for the one that matters.
func (s *stage) saturateDispatcher(ctx context.Context, length time.Duration) (round, error) {
	return s.saturate(ctx, s.dispatcher.Process, s.dispatcher.events, length)
}
