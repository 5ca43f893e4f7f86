package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postrider/postrider/test/bench/figures"
	"github.com/postrider/postrider/test/bench/ledger"
	"github.com/postrider/postrider/test/bench/role"
)

// deadEvery is of how many receivers one is dead.
const deadEvery = 10

// isolation measures what receivers that never answer do to the others: the
// same load twice, first with all of them healthy.
func (b *Bench) isolation(ctx context.Context) (err error) {
	n := uint32(b.Size.IsolationRoutes)
	s, err := b.newStage(ctx, "isolation", ledger.Layout{Routes: n, Fanout: 1, Receivers: n}, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if _, _, err := s.deliver(ctx, role.Load{Duration: b.Size.Warm, Window: b.Size.Window}); err != nil {
		return err
	}
	saturated, err := s.saturateDispatcher(ctx, b.Size.Dispatcher)
	if err != nil {
		return err
	}
	rate := saturated.perSecond / 2

	sick := role.Conduct{Dead: deadEvery}
	healthy := func(route int) bool { return !sick.IsDead(route) }
	without, err := s.offer(ctx, rate, healthy)
	if err != nil {
		return err
	}
	if err := s.conduct(sick); err != nil {
		return err
	}
	with, err := s.offer(ctx, rate, healthy)
	if err != nil {
		return err
	}
	dead := s.book.Missing(with.events)

	// The receivers come to life. What does not arrive soon, the dispatcher
	// must know of.
	if err := s.conduct(role.Conduct{}); err != nil {
		return err
	}
	all := ledger.Range{First: 0, End: s.next}
	awake := time.Now().Add(b.Size.Wake)
	for time.Now().Before(awake) && s.book.Balance(all, nil).Missing > 0 && ctx.Err() == nil {
		time.Sleep(quietSlice)
	}
	lost, pending, err := s.unaccounted(all)
	if err != nil {
		return err
	}

	f := &figures.Isolation{
		HealthyRatio: figures.Number(with.perSecond / without.perSecond),
		P99Ratio:     figures.Number(milliseconds(with.latencies, 0.99) / milliseconds(without.latencies, 0.99)),
		Lost:         lost,
	}
	b.Figures.Isolation = f
	owed := 0
	for _, n := range dead {
		owed += n
	}
	t := &b.Table
	t.Part(fmt.Sprintf("ISOLATION: %d routes, one in %d receivers never answers", n, deadEvery), "with", "without", "ratio")
	t.Row("deliveries offered per second, to all", figures.Number(rate), figures.Number(rate))
	t.Row("deliveries per second to the healthy", figures.Number(with.perSecond), figures.Number(without.perSecond), f.HealthyRatio)
	for _, q := range []float64{0.50, 0.99} {
		with, without := milliseconds(with.latencies, q), milliseconds(without.latencies, q)
		t.Row(fmt.Sprintf("post to arrival at the healthy, p%.0f in ms", q*100), figures.Number(with), figures.Number(without), figures.Number(with/without))
	}
	t.Row("events refused", with.refused, without.refused)
	t.Row("owed to the dead when the load ended", owed)
	t.Row("of them pending after they came to life", pending)
	t.Row("lost", lost)
	return s.book.Err()
}

// An offer is what became of a load at a fixed rate, for the routes that count.
type offer struct {
	events    ledger.Range
	perSecond float64 // deliveries
	latencies []time.Duration
	refused   int
}

// offer offers events at a rate in an open loop and looks at the deliveries to
// the routes that count: how many per second arrive while it lasts, and after
// how long.
func (s *stage) offer(ctx context.Context, rate float64, counts func(route int) bool) (offer, error) {
	length := s.bench.Size.Isolation
	t, events, err := s.post(role.Load{Rate: rate, Duration: length})
	if err != nil {
		return offer{}, err
	}
	took := time.Since(t.Began).Seconds()
	arrived := float64(len(s.book.Latencies(events, counts)))
	// What is late still counts for the latencies.
	for late := time.Now().Add(stallPatience); s.book.Balance(events, counts).Missing > 0 && time.Now().Before(late) && ctx.Err() == nil; {
		time.Sleep(quietSlice)
	}
	return offer{
		events: events, perSecond: arrived / took,
		latencies: s.book.Latencies(events, counts), refused: t.Refused + t.Failed,
	}, ctx.Err()
}

// unaccounted compares what was accepted with what has arrived and what the
// dispatcher says it still owes: lost is what neither knows of.
func (s *stage) unaccounted(events ledger.Range) (lost, pending int, err error) {
	owed, err := s.dispatcher.owed()
	if err != nil {
		return 0, 0, err
	}
	// What arrives between the report and the count is not missing any more.
	for route, missing := range s.book.Missing(events) {
		known := owed[routeID(route)]
		lost += max(missing-known, 0)
		pending += min(missing, known)
	}
	return lost, pending, nil
}
