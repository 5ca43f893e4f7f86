package resilience_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/process"
)

const hook = "test/hook"

// oneRoute is a ledger with receivers for one route, and a dispatcher that has it.
func oneRoute(t *testing.T, o process.Options) (*ledger, *receivers, *process.Dispatcher) {
	t.Helper()
	l := newLedger().open(hook)
	rc := newReceivers(t, l, hook)
	o.Routes = []route.Route{aRoute(hook, rc.url(hook))}
	return l, rc, process.New(t, o)
}

func TestNothingAcceptedIsLostWhenTheDispatcherIsKilledUnderLoad(t *testing.T) {
	t.Parallel()
	l, rc, p := oneRoute(t, process.Options{})
	rc.kit.On(path(hook), oneInTen(rc.answer(hook)))
	p.Start(t)

	const each, n = 250, 8
	done := make(chan struct{})
	go func() {
		defer close(done)
		producers{ledger: l, events: p.Events, each: each}.run(t.Context(), n)
	}()
	for _, after := range []int{400, 900, 1400} {
		eventually.True(t, fmt.Sprint(after, " accepted events"), func() bool { return l.count() >= after })
		p.Kill(t)
		p.Start(t)
	}
	<-done
	eventually.True(t, "every accepted event to arrive", func() bool { return l.missing() == 0 })
	eventually.True(t, "nothing to be pending", func() bool { return pending(t, p) == 0 })
	l.settle(t, deadLetters(t, p, l))
}

// oneInTen answers one request in ten with 503, and leaves the rest to reply.
func oneInTen(reply http.HandlerFunc) http.HandlerFunc {
	var count atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		if count.Add(1)%10 == 0 {
			down.reply(w, r)
			return
		}
		reply(w, r)
	}
}

func TestAnOrderlyStopLosesNothingAndFinishesWhatIsInFlight(t *testing.T) {
	t.Parallel()
	l, rc, p := oneRoute(t, process.Options{})
	rc.set(hook, slow)
	p.Start(t)
	producers{ledger: l, events: p.Events, each: 50}.run(t.Context(), 4)
	p.Signal(t, syscall.SIGTERM)
	p.Start(t)
	eventually.True(t, "every accepted event to arrive", func() bool { return l.missing() == 0 })
	eventually.True(t, "nothing to be pending", func() bool { return pending(t, p) == 0 })
	l.settle(t, deadLetters(t, p, l))
	if again := l.balances()[hook].again; again != 0 {
		t.Errorf("%d deliveries were repeated although the stop was orderly", again)
	}
}
