package resilience_test

import (
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
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

func TestRetriesThatTheClockHasPassedComeAtOnce(t *testing.T) {
	t.Parallel()
	l := newLedger().open(hook)
	rc := newReceivers(t, l, hook)
	rc.set(hook, failing)
	rt := aRoute(hook, rc.url(hook))
	rt.Retry.Backoff = []time.Duration{time.Hour, time.Hour}
	p, clock := process.New(t, process.Options{Routes: []route.Route{rt}}), &traced.Clock{}
	p.Launch = traced.New(clock).Launch
	p.Start(t)

	const n = 3
	producers{ledger: l, events: p.Events, each: n}.run(t.Context(), 1)
	eventually.True(t, "all to wait for their retry", func() bool {
		r, ok := ask(t, p)
		return ok && len(r.Summaries) == 1 && r.Summaries[0].Pending == 0 && r.Summaries[0].Stored == n
	})
	rc.heal()
	clock.Jump(2 * time.Hour)
	eventually.True(t, "every accepted event to arrive", func() bool { return l.missing() == 0 })
	eventually.True(t, "nothing to be pending", func() bool { return pending(t, p) == 0 })
	l.settle(t, deadLetters(t, p, l))
}
