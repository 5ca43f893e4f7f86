package deliver_test

import (
	"testing"

	"github.com/postrider/postrider/dispatcher/deliver"
)

// checkParked checks what has become of a worker.
func checkParked(tb testing.TB, name string, p deliver.Parked, waits, works bool) {
	tb.Helper()
	if gotWaits, gotWorks := p.State(); gotWaits != waits || gotWorks != works {
		tb.Errorf("%s: waits %v, works %v; want %v and %v", name, gotWaits, gotWorks, waits, works)
	}
}

func TestTheWorkerThatWasParkedLastIsSentFirst(t *testing.T) {
	t.Parallel()
	var c deliver.Crew
	if c.Send() {
		t.Error("nobody is parked, and somebody was sent")
	}
	first, last := c.Park(), c.Park()
	if !c.Send() {
		t.Error("nobody was sent")
	}
	checkParked(t, "the first", first, true, false)
	checkParked(t, "the last", last, false, true)
}

func TestWorkersThatNobodyHasNeededEnd(t *testing.T) {
	t.Parallel()
	var c deliver.Crew
	c.Trim()
	idle, needed := c.Park(), c.Park()
	c.Trim() // they have just come
	if !c.Send() {
		t.Fatal("nobody was sent")
	}
	checkParked(t, "the needed one", needed, false, true)
	again := c.Park()
	c.Trim()
	checkParked(t, "the idle one", idle, false, false)
	checkParked(t, "the needed one, back", again, true, false)
	c.Trim()
	checkParked(t, "the needed one, later", again, false, false)
}

func TestNobodyWaitsForWorkAfterTheEnd(t *testing.T) {
	t.Parallel()
	var c deliver.Crew
	before := c.Park()
	c.Disband()
	after := c.Park()
	checkParked(t, "one from before", before, false, false)
	checkParked(t, "one from after", after, false, false)
	if c.Send() {
		t.Error("somebody was sent")
	}
}
