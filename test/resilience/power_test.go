package resilience_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/process"
	"github.com/postrider/postrider/test/resilience/traced"
)

const (
	reachable   = "test/reachable"   // its receiver takes everything
	unreachable = "test/unreachable" // its receiver takes nothing before the power cut: all is deferred
	hopeless    = "test/hopeless"    // its receiver takes nothing before the power cut, and there is one attempt: all is dead
	barred      = "test/barred"      // its circuit breaker opens before the power cut: all waits in its queue
)

// A blackout is a dispatcher on a disk that forgets what was not synced.
type blackout struct {
	ledger *ledger
	rc     *receivers
	p      *process.Dispatcher
	dice   *rand.Rand
	fate   traced.Fate
	// deaf says of which files of the store the disk only pretends to sync; nil = of none.
	deaf func(path string) bool
}

func newBlackout(t *testing.T, dice *rand.Rand) *blackout {
	t.Helper()
	l := newLedger().open(reachable).open(unreachable).open(hopeless).open(barred)
	rc := newReceivers(t, l, reachable, unreachable, hopeless, barred)
	once := aRoute(hopeless, rc.url(hopeless))
	once.Retry.Backoff = nil
	closed := aRoute(barred, rc.url(barred))
	closed.Breaker = route.Breaker{Failures: 1, OpenFor: time.Hour} // a restart closes it
	p := process.New(t, process.Options{Routes: []route.Route{
		aRoute(reachable, rc.url(reachable)), aRoute(unreachable, rc.url(unreachable)), once, closed,
	}})
	if err := os.Mkdir(p.DataDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	return &blackout{ledger: l, rc: rc, p: p, dice: dice}
}

// strike runs the dispatcher under load and cuts the power at a random moment
// after it has accepted so many events.
func (b *blackout) strike(t *testing.T, events int) {
	t.Helper()
	disk, err := traced.NewDisk(b.p.DataDir())
	if err != nil {
		t.Fatal(err)
	}
	tracer := traced.New(disk)
	b.rc.set(unreachable, failing)
	b.rc.set(hopeless, last)
	b.rc.set(barred, down)
	b.p.Launch = tracer.Launch
	b.p.Start(t)
	if b.deaf != nil {
		disk.Deafen(b.deaf)
	}
	before, stop, stopped := b.ledger.count(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		producers{ledger: b.ledger, events: b.p.Events, name: fmt.Sprint(before, "-"), stop: stop}.run(t.Context(), 8)
	}()
	eventually.True(t, fmt.Sprint(events, " accepted events"), func() bool { return b.ledger.count() >= before+events })
	pause(time.Duration(b.dice.IntN(1000))*time.Millisecond, nil)
	b.p.Kill(t)
	close(stop)
	<-stopped
	if err := tracer.Err(); err != nil {
		t.Fatal(err)
	}
	if err := disk.Cut(b.fate, b.dice); err != nil {
		t.Fatal(err)
	}
}

// recover starts the dispatcher on a disk that works.
func (b *blackout) recover(t *testing.T) {
	t.Helper()
	b.rc.heal()
	b.p.Launch = nil
	b.p.Start(t)
}

func TestWhatWasAcceptedSurvivesPowerCuts(t *testing.T) {
	t.Parallel()
	dice := newDice(t)
	end := time.Now().Add(duration(t, 0))
	for round := 1; round <= 2 || time.Now().Before(end); round++ {
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			b := newBlackout(t, dice)
			b.fate = traced.Fate(round % 2)
			for range 1 + dice.IntN(2) {
				b.strike(t, dice.IntN(200))
			}
			b.recover(t)
			within(t, time.Minute, "every accepted event to arrive", func() bool { return b.ledger.missing() == 0 })
			within(t, time.Minute, "nothing to be pending", func() bool { return pending(t, b.p) == 0 })
			b.ledger.settle(t, deadLetters(t, b.p, b.ledger))
		})
	}
}

// The test above would be worth nothing if it passed on a disk that lies.
func TestAPowerCutOnADiskThatOnlyPretendsToSyncLosesEvents(t *testing.T) {
	t.Parallel()
	dice := newDice(t)
	for _, part := range []string{"POSTRIDER_EVENTS", "POSTRIDER_WAITING", "POSTRIDER_PARKED", "POSTRIDER_DEFERRED", "POSTRIDER_DEAD"} {
		seed := dice.Uint64()
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			own := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a schedule of faults is no secret
			for range 5 {                         // at times all that is written has been delivered before the cut
				if wrongs := forget(t, own, part); len(wrongs) > 0 {
					t.Logf("as it must be: %.200v", wrongs)
					return
				}
			}
			t.Errorf("nothing is lost although the disk forgot %s: the test of power cuts proves nothing", part)
		})
	}
}

// forget cuts the power of a dispatcher whose disk forgets a part of the store,
// and returns what is lost.
func forget(t *testing.T, dice *rand.Rand, part string) (wrongs []string) {
	t.Helper()
	b := newBlackout(t, dice)
	b.fate = traced.Forgotten
	b.deaf = func(path string) bool { return strings.Contains(path, part) }
	b.strike(t, 400) // which takes long enough for each part to be written
	b.recover(t)
	within(t, time.Minute, "nothing to be pending", func() bool { return pending(t, b.p) == 0 })
	return b.ledger.wrongs(deadLetters(t, b.p, b.ledger))
}
