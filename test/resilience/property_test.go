package resilience_test

import (
	"testing"
	"time"

	"github.com/postrider/postrider/test/process"
)

// The promise of the dispatcher, under whatever happens:
//
//	accepted = delivered + dead + still pending
//
// In the end, when all faults are over, nothing is pending.
func TestWhatIsAcceptedIsDeliveredOrDeadUnderAnyScheduleOfFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t, newDice(t), process.Options{})
	w.start(t)
	w.run(t, time.Now().Add(duration(t, 6*time.Second)))
}

// run lets producers and faults loose on a dispatcher that runs, and settles
// the books when all is well again.
func (w *world) run(t *testing.T, end time.Time) {
	t.Helper()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		producers{
			ledger: w.ledger, events: w.p.Events, kinds: kinds, hasty: true, stop: stop, every: 20 * time.Millisecond,
		}.run(t.Context(), 4)
	}()
	w.suffer(t, end)
	close(stop)
	<-stopped
	if t.Failed() {
		return
	}

	w.heal(t)
	patience := 4*time.Minute + time.Since(w.began) // what was deferred for want of room comes back when its time has come
	within(t, patience, "every accepted event to arrive", func() bool { return w.ledger.missing() == 0 })
	within(t, patience, "nothing to be pending", func() bool { return pending(t, w.p) == 0 })
	_ = w.restart(t) // what is counted now is what the store keeps
	within(t, time.Minute, "every accepted event to have arrived after a restart", func() bool { return w.ledger.missing() == 0 })
	within(t, time.Minute, "nothing to be pending after a restart", func() bool { return pending(t, w.p) == 0 })
	w.find(visitor).here = true // only of a webhook that is there are the dead letters shown
	w.publish(t)
	w.ledger.settle(t, deadLetters(t, w.p, w.ledger))
	if n := len(w.ledger.account(stranger).took); n > 0 {
		t.Errorf("a webhook of another namespace got %d events", n)
	}
	t.Logf("%d faults, %d events accepted", len(w.trail), w.ledger.count())
}
