package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/postrider/postrider/test/bench/figures"
	"github.com/postrider/postrider/test/bench/ledger"
	"github.com/postrider/postrider/test/bench/proc"
	"github.com/postrider/postrider/test/bench/role"
)

const (
	fanoutRoutes = 100
	// profileLength is long enough for some thousand samples, a hundred for each
	// second of CPU.
	profileLength = 15 * time.Second
)

// contest is a dispatcher beside the two yardsticks, on the same stage. They
// take turns, so that a noisy neighbour troubles all of them alike.
type contest struct {
	*stage
	relay, client *proc.Process
	target        string // of the relay
	owned         []ledger.Range

	rounds, relays, clients []round
}

// fanout measures what a delivery costs when each event goes to n routes.
func (b *Bench) fanout(ctx context.Context, n int, into **figures.Fanout) (err error) {
	s, err := b.newStage(ctx, fmt.Sprintf("fanout_%d", n), ledger.Layout{Routes: fanoutRoutes, Fanout: uint32(n), Receivers: fanoutRoutes}, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	c := &contest{stage: s}
	if err := c.prepare(ctx); err != nil {
		return err
	}
	for i := range b.Size.Rounds {
		if err := c.turn(ctx); err != nil {
			return err
		}
		b.say("  round %d: %.0f deliveries/s; CPU per delivery: dispatcher %s, relay %s, client %s",
			i+1, c.rounds[i].perSecond, c.rounds[i].cpu, c.relays[i].cpu, c.clients[i].cpu)
	}
	peak, err := s.dispatcher.PeakRSS()
	if err != nil {
		return err
	}
	perSecond := median(each(c.rounds, func(r round) float64 { return r.perSecond }))
	half, err := c.half(ctx, perSecond/2)
	if err != nil {
		return err
	}
	if err := c.profile(ctx, n); err != nil {
		return err
	}

	f := &figures.Fanout{
		CPUPerDelivery:    figures.Number(median(each(c.rounds, cpu))),
		CPURatioNullRelay: figures.Number(median(ratios(c.rounds, c.relays))),
		CPURatioClient:    figures.Number(median(ratios(c.rounds, c.clients))),
		DeliveriesPerS:    figures.Number(perSecond),
		P50:               figures.Number(milliseconds(half.latencies, 0.50)),
		P99:               figures.Number(milliseconds(half.latencies, 0.99)),
	}
	for _, r := range c.owned {
		balance := s.book.Balance(r, nil)
		f.Lost += balance.Missing
		f.Duplicates += balance.Duplicates
	}
	*into = f
	c.report(n, f, half, peak)
	return s.book.Err()
}

// prepare starts the yardsticks, and lets everybody fill pools and caches.
func (c *contest) prepare(ctx context.Context) (err error) {
	if c.relay, err = c.start(ctx, role.Relay); err != nil {
		return err
	}
	if err := c.relay.Ask(c.addresses, &c.target); err != nil {
		return err
	}
	if c.client, err = c.start(ctx, role.Client); err != nil {
		return err
	}
	warm := c.bench.Size.Warm
	_, r, err := c.deliver(ctx, role.Load{Duration: warm, Window: c.bench.Size.Window})
	if err != nil {
		return err
	}
	c.owned = append(c.owned, r)
	_, _, err = c.deliver(ctx, role.Load{Target: c.target, Duration: warm / 2, Window: c.bench.Size.Window})
	if err != nil {
		return err
	}
	_, _, err = c.stint(warm / 4)
	return err
}

// turn is one round for each.
func (c *contest) turn(ctx context.Context) error {
	mine, err := c.saturateDispatcher(ctx, c.bench.Size.Dispatcher)
	if err != nil {
		return err
	}
	c.owned = append(c.owned, mine.events)
	relay, err := c.saturate(ctx, c.relay, c.target, c.bench.Size.Yardstick)
	if err != nil {
		return err
	}
	client, err := c.measure(c.client, func() (ledger.Range, time.Time, error) { return c.stint(c.bench.Size.Yardstick) })
	if err != nil {
		return err
	}
	c.rounds, c.relays, c.clients = append(c.rounds, mine), append(c.relays, relay), append(c.clients, client)
	return nil
}

// stint lets the bare client send for a while.
func (c *contest) stint(length time.Duration) (ledger.Range, time.Time, error) {
	var t role.Tally
	err := c.client.Ask(role.Stint{
		Receivers: c.addresses, Size: dataSize, First: c.next, Connections: connections, Duration: length,
	}, &t)
	r := ledger.Range{First: c.next, End: t.Next}
	c.next = max(c.next, t.Next)
	return r, t.Began, err
}

// halfLoad is what a dispatcher does that is not in a hurry.
type halfLoad struct {
	perSecond        float64 // deliveries offered
	latencies, waits []time.Duration
	cpu              time.Duration // per delivery
}

// half offers perSecond deliveries in an open loop.
func (c *contest) half(ctx context.Context, perSecond float64) (halfLoad, error) {
	m, err := c.measure(c.dispatcher.Process, func() (ledger.Range, time.Time, error) {
		t, r, err := c.deliver(ctx, role.Load{Rate: perSecond / float64(c.book.Fanout), Duration: c.bench.Size.Latent})
		return r, t.Began, err
	})
	if err != nil {
		return halfLoad{}, err
	}
	c.owned = append(c.owned, m.events)
	return halfLoad{perSecond, c.book.Latencies(m.events, nil), c.book.Waits(m.events), m.cpu}, nil
}

// profile saves a CPU profile of one more saturated round, if that is wanted
// and the dispatcher can.
func (c *contest) profile(ctx context.Context, n int) error {
	if !c.dispatcher.pprof {
		if c.bench.Profiles != "" {
			c.bench.say("  no profile: the dispatcher has no flag %s", pprofFlag)
		}
		return nil
	}
	if err := os.MkdirAll(c.bench.Profiles, 0o755); err != nil { //nolint:gosec // for everybody to read
		return fmt.Errorf("making the folder for profiles: %w", err)
	}
	saved := make(chan error, 1)
	go func() {
		saved <- c.dispatcher.profile(profileLength, filepath.Join(c.bench.Profiles, fmt.Sprintf("fanout_%d.pprof", n)))
	}()
	m, err := c.saturateDispatcher(ctx, profileLength)
	c.owned = append(c.owned, m.events)
	return errors.Join(err, <-saved)
}

func (c *contest) report(n int, f *figures.Fanout, half halfLoad, peak int64) {
	t := &c.bench.Table
	t.Part(fmt.Sprintf("FAN-OUT %d: each event goes to %d of %d routes", n, n, fanoutRoutes), "median", "lowest", "highest")
	spread := func(name string, values []float64) {
		t.Row(name, figures.Number(median(values)), figures.Number(slices.Min(values)), figures.Number(slices.Max(values)))
	}
	spread("deliveries per second, saturated", each(c.rounds, func(r round) float64 { return r.perSecond }))
	spread("dispatcher, CPU µs per delivery", each(c.rounds, cpu))
	spread("null relay, CPU µs per delivery", each(c.relays, cpu))
	spread("bare client, CPU µs per POST", each(c.clients, cpu))
	spread("dispatcher to null relay", ratios(c.rounds, c.relays))
	spread("dispatcher to bare client", ratios(c.rounds, c.clients))
	t.Row("dispatcher, peak RSS in MB", figures.Number(megabytes(peak)))
	t.Row("half load: deliveries offered per second", figures.Number(half.perSecond))
	t.Row("half load: post to arrival, p50 in ms", f.P50)
	t.Row("half load: post to arrival, p99 in ms", f.P99)
	t.Row("half load: post to 202, p50 in ms", figures.Number(milliseconds(half.waits, 0.50)))
	t.Row("half load: post to 202, p99 in ms", figures.Number(milliseconds(half.waits, 0.99)))
	t.Row("half load: dispatcher, CPU µs per delivery", figures.Number(microseconds(half.cpu)))
	t.Row("lost", f.Lost)
	t.Row("duplicates", f.Duplicates)
}
