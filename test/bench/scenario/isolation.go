package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postrider/postrider/test/bench/figures"
	"github.com/postrider/postrider/test/bench/ledger"
	"github.com/postrider/postrider/test/bench/role"
)

// deadEvery is of how many receivers one is dead.
const deadEvery = 10

// isolation measures what receivers that never answer do to the others: the
// same load with all of them healthy and with some dead, in turns.
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
	var turns []turn
	for i := range b.Size.IsolationTurns {
		t, err := s.isolationTurn(ctx, rate)
		if err != nil {
			return err
		}
		b.say("  turn %d: p99 %.1f ms with, %.1f ms without", i+1, t.with.p(0.99), t.without.p(0.99))
		turns = append(turns, t)
	}
	lost, pending, err := s.unaccounted(ledger.Range{First: 0, End: s.next})
	if err != nil {
		return err
	}
	b.reportIsolation(rate, turns, lost, pending)
	return s.book.Err()
}

// A turn is one measurement without dead receivers, and one with.
type turn struct {
	without, with offer
	owed          int // to the dead, when the load ended
}

// isolationTurn ends when the dead have come to life, and what they were owed
// has come to them, or a while later: that is none of the next turn's.
func (s *stage) isolationTurn(ctx context.Context, rate float64) (t turn, err error) {
	sick := role.Conduct{Dead: deadEvery}
	healthy := func(route int) bool { return !sick.IsDead(route) }
	if t.without, err = s.offer(ctx, rate, s.bench.Size.Without, healthy); err != nil {
		return t, err
	}
	if err := s.conduct(sick); err != nil {
		return t, err
	}
	if t.with, err = s.offer(ctx, rate, s.bench.Size.With, healthy); err != nil {
		return t, err
	}
	for _, n := range s.book.Missing(t.with.events) {
		t.owed += n
	}
	if err := s.conduct(role.Conduct{}); err != nil {
		return t, err
	}
	all := ledger.Range{First: 0, End: s.next}
	awake := time.Now().Add(s.bench.Size.Wake)
	for time.Now().Before(awake) && s.book.Balance(all, nil).Missing > 0 && ctx.Err() == nil {
		time.Sleep(quietSlice)
	}
	return t, ctx.Err()
}

func (b *Bench) reportIsolation(rate float64, turns []turn, lost, pending int) {
	with := func(f func(offer) float64) []float64 {
		return each(turns, func(t turn) float64 { return f(t.with) })
	}
	without := func(f func(offer) float64) []float64 {
		return each(turns, func(t turn) float64 { return f(t.without) })
	}
	t := &b.Table
	compare := func(name string, f func(offer) float64) figures.Number {
		ratio := quotients(with(f), without(f))
		middle := figures.Number(median(ratio))
		t.Row(name, figures.Number(median(with(f))), figures.Number(median(without(f))), middle,
			figures.Number(slices.Min(ratio)), figures.Number(slices.Max(ratio)))
		return middle
	}
	t.Part(fmt.Sprintf("ISOLATION: %d routes, one in %d receivers never answers; medians of %d turns", b.Size.IsolationRoutes, deadEvery, len(turns)),
		"with", "without", "ratio", "lowest", "highest")
	t.Row("deliveries offered per second, to all", figures.Number(rate), figures.Number(rate))
	f := &figures.Isolation{Lost: lost}
	f.HealthyRatio = compare("deliveries per second to the healthy", func(o offer) float64 { return o.perSecond })
	compare("post to arrival at the healthy, p50 in ms", func(o offer) float64 { return o.p(0.50) })
	f.P99Ratio = compare("post to arrival at the healthy, p99 in ms", func(o offer) float64 { return o.p(0.99) })
	refused := func(o offer) float64 { return float64(o.refused) }
	t.Row("events refused, in all turns", sum(with(refused)), sum(without(refused)))
	owed := each(turns, func(t turn) float64 { return float64(t.owed) })
	t.Row("owed to the dead when the load ended", median(owed))
	t.Row("pending in the end, of all turns", pending)
	t.Row("lost", lost)
	b.Figures.Isolation = f
}

// An offer is what became of a load at a fixed rate, for the routes that count.
type offer struct {
	events    ledger.Range
	perSecond float64 // deliveries
	latencies []time.Duration
	refused   int
}

// p is the latency below which a share q of the deliveries are, in milliseconds.
func (o offer) p(q float64) float64 { return milliseconds(o.latencies, q) }

// offer offers events at a rate for a while in an open loop and looks at the deliveries to
// the routes that count: how many per second arrive while it lasts, and after
// how long.
func (s *stage) offer(ctx context.Context, rate float64, length time.Duration, counts func(route int) bool) (offer, error) {
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
