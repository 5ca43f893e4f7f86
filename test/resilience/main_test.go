// Package resilience_test kills, starves, cuts off and stops real processes
// and checks that nothing that was accepted is lost.
//
// It has a model (the ledger), producers and receivers that write into it, and
// faults; each scenario puts them together. "go test" runs short scenarios,
// "make resilience" long ones: see docs/resilience.md.
package resilience_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/postrider/postrider/test/process"
)

func TestMain(m *testing.M) { os.Exit(process.Main(m)) }

// What "make resilience" sets.
const (
	envFor  = "RESILIENCE_FOR"  // how long each long scenario goes on, e.g. "5m"; empty = short scenarios only
	envSeed = "RESILIENCE_SEED" // a number, to have the same schedule of faults again
)

// duration is how long a scenario goes on: short, or what was asked for.
func duration(tb testing.TB, short time.Duration) time.Duration {
	tb.Helper()
	text := os.Getenv(envFor)
	if text == "" {
		return short
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		tb.Fatalf("%s: write a duration like 5m: %v", envFor, err)
	}
	return d
}

// long reports whether the long scenarios were asked for.
func long() bool { return os.Getenv(envFor) != "" }

// newDice returns dice for a test and prints their seed: the short scenarios
// always have the same, the long ones a new one each time.
func newDice(tb testing.TB) *rand.Rand {
	tb.Helper()
	seed := uint64(1)
	if text := os.Getenv(envSeed); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			tb.Fatalf("%s: write a number: %v", envSeed, err)
		}
	} else if long() {
		seed = rand.Uint64() //nolint:gosec // a schedule of faults is no secret
	}
	tb.Logf("the schedule again: %s=%d", envSeed, seed)
	return rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // likewise
}

// within fails the test when ok does not return true in time.
func within(tb testing.TB, patience time.Duration, what string, ok func() bool) {
	tb.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Errorf("waited %s in vain for %s", patience, what)
			return
		}
	}
}

// pause returns after d, or when stop is closed.
func pause(d time.Duration, stop <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-stop:
	}
}
