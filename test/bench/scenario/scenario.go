// Package scenario is what the benchmark measures. Each scenario sets a stage
// with processes of its own, measures, and checks every delivery.
package scenario

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/test/bench/figures"
)

// Options of a [Bench].
type Options struct {
	Self       string // path of this program, for the roles
	Dispatcher string // path of the dispatcher
	Dir        string // for stores and logs, on the disk to measure; empty
	Profiles   string // folder for CPU profiles, empty = none
	Size       Size
	Only       []string // names of scenarios; none = those of [Default]
	Progress   io.Writer
}

// Size says how long everything takes.
type Size struct {
	// Window bounds the deliveries under way in a closed loop. It is far more
	// than any of the contestants needs to be busy, and few enough to stay in
	// the memory of a dispatcher: with more, the benchmark would measure how it
	// writes to disk what it has no room for.
	Window int

	Rounds                              int           // of a saturated measurement; the median counts
	Warm, Dispatcher, Yardstick, Latent time.Duration // of each: before, a round, a round of relay and of client, at half load

	IsolationRoutes, IsolationTurns int
	Without, With                   time.Duration // dead receivers; a With that is longer than the timeout of routes has more to show
	Wake                            time.Duration // that woken receivers are waited for, at most

	Deferred int           // deliveries
	Hold     time.Duration // from the first event until they are due; longer than to post them takes

	MemoryRoutes int
	Memory, Rest time.Duration // saturated, and then without work

	StoredBytes int64
}

// The sizes. Full takes about six minutes, Short about one, Tiny is to see
// that everything works.
var (
	Full = Size{
		Window: 4096,
		Rounds: 3, Warm: 2 * time.Second, Dispatcher: 4 * time.Second, Yardstick: 2 * time.Second, Latent: 10 * time.Second,
		IsolationRoutes: 1000, IsolationTurns: 3, Without: 10 * time.Second, With: 15 * time.Second, Wake: 8 * time.Second,
		Deferred: 100_000, Hold: 45 * time.Second,
		MemoryRoutes: 10_000, Memory: 10 * time.Second, Rest: time.Minute,
		StoredBytes: 2 << 30,
	}
	Short = Size{
		Window: 4096,
		Rounds: 3, Warm: 500 * time.Millisecond, Dispatcher: time.Second, Yardstick: 500 * time.Millisecond, Latent: 3 * time.Second,
		IsolationRoutes: 1000, IsolationTurns: 1, Without: 4 * time.Second, With: 6 * time.Second, Wake: time.Second,
		Deferred: 20_000, Hold: 10 * time.Second,
		MemoryRoutes: 10_000, Memory: 2 * time.Second, Rest: 15 * time.Second,
		StoredBytes: 256 << 20,
	}
	Tiny = Size{
		Window: 512,
		Rounds: 1, Warm: 100 * time.Millisecond, Dispatcher: 200 * time.Millisecond, Yardstick: 100 * time.Millisecond, Latent: 300 * time.Millisecond,
		IsolationRoutes: 50, IsolationTurns: 2, Without: 300 * time.Millisecond, With: 300 * time.Millisecond, Wake: 200 * time.Millisecond,
		Deferred: 1000, Hold: 3 * time.Second,
		MemoryRoutes: 500, Memory: 300 * time.Millisecond, Rest: 100 * time.Millisecond,
		StoredBytes: 1 << 20,
	}
)

// A Bench runs scenarios.
type Bench struct {
	Options
	Figures figures.Figures
	Table   figures.Table
}

type scenario struct {
	name string
	run  func(*Bench, context.Context) error
	rare bool // not part of the default
}

var scenarios = []scenario{
	{"fanout_1", func(b *Bench, ctx context.Context) error { return b.fanout(ctx, 1, &b.Figures.Fanout1) }, false},
	{"fanout_10", func(b *Bench, ctx context.Context) error { return b.fanout(ctx, 10, &b.Figures.Fanout10) }, false},
	{"fanout_100", func(b *Bench, ctx context.Context) error { return b.fanout(ctx, 100, &b.Figures.Fanout100) }, false},
	{"isolation", (*Bench).isolation, false},
	{"deferred", (*Bench).deferred, false},
	{"memory", (*Bench).memory, false},
	{"stored", (*Bench).stored, true},
}

// Names are the names of all scenarios.
func Names() []string {
	names := make([]string, len(scenarios))
	for i, s := range scenarios {
		names[i] = s.name
	}
	return names
}

// Run runs the scenarios, one after the other, until one fails.
func (b *Bench) Run(ctx context.Context) error {
	for _, name := range b.Only {
		if !slices.Contains(Names(), name) {
			return fmt.Errorf("there is no benchmark %q; there are %s", name, strings.Join(Names(), ", "))
		}
	}
	for _, s := range scenarios {
		if len(b.Only) == 0 && s.rare || len(b.Only) > 0 && !slices.Contains(b.Only, s.name) {
			continue
		}
		began := time.Now()
		b.say("%s ...", s.name)
		if err := s.run(b, ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err() // all else follows from that
			}
			return fmt.Errorf("%s: %w", s.name, err)
		}
		b.say("%s took %s", s.name, time.Since(began).Round(time.Second))
	}
	return nil
}

func (b *Bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.Progress, format+"\n", args...) // who does not listen misses nothing
}
