// Package eventually lets a test wait for what happens elsewhere, without
// sleeping longer than it has to.
package eventually

import (
	"testing"
	"time"
)

const (
	patience = 60 * time.Second // long enough for the slowest machine: only a failing test waits for it
	pause    = 10 * time.Millisecond
)

// True returns when ok does, and fails the test when that takes too long; what
// completes "waited in vain for".
func True(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatal("waited in vain for " + what)
		}
	}
}
