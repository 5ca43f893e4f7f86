package resilience_test

import (
	"testing"
	"time"

	"github.com/postrider/postrider/test/process"
	"github.com/postrider/postrider/test/resilience/traced"
)

// Somebody sets the time of the machine, again and again, forward and back.
func TestWhatIsAcceptedIsDeliveredOrDeadWhenTheClockJumps(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newDice(t), process.Options{})
	w.clock = &traced.Clock{}
	w.start(t)
	w.run(t, time.Now().Add(duration(t, 4*time.Second)))
}
