package resilience_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/process"
	"github.com/postrider/postrider/test/receiver"
)

// A load posts events with ids of their own until enough are accepted. An
// event without an answer is posted again, as a careful producer does.
type load struct {
	mu       sync.Mutex
	accepted map[string]bool // by webhook-id
	count    atomic.Int64
}

func (l *load) run(ctx context.Context, p *process.Dispatcher, producers, each int) {
	var wg sync.WaitGroup
	for n := range producers {
		wg.Go(func() {
			for i := range each {
				id := fmt.Sprintf("%d-%d", n, i)
				for ctx.Err() == nil {
					webhookID, status := post(ctx, p, id, []byte(`{"n":1}`))
					if status == http.StatusAccepted {
						l.mu.Lock()
						l.accepted[webhookID] = true
						l.mu.Unlock()
						l.count.Add(1)
						break
					}
				}
			}
		})
	}
	wg.Wait()
}

// missing returns the accepted ids that never arrived, and how many came twice or more.
func (l *load) missing(rc *receiver.Receiver) (lost []string, again int) {
	got := rc.IDs()
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.accepted {
		if got[id] == 0 {
			lost = append(lost, id)
		}
	}
	for _, n := range got {
		again += n - 1
	}
	return lost, again
}

// sometimes answers one request in n with a status, and the rest with 200.
func sometimes(n int64, status int) http.HandlerFunc {
	var count atomic.Int64
	return func(w http.ResponseWriter, _ *http.Request) {
		if count.Add(1)%n == 0 {
			w.WriteHeader(status)
		}
	}
}

func TestNothingAcceptedIsLostWhenTheDispatcherIsKilledUnderLoad(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{IDsOnly: true})
	rc.On("/hook", sometimes(10, http.StatusServiceUnavailable))
	p := process.New(t, process.Options{Routes: []route.Route{aRoute(rc.URL("/hook"))}})
	p.Start(t)

	const producers, each = 8, 250
	l := &load{accepted: map[string]bool{}}
	done := make(chan struct{})
	go func() { defer close(done); l.run(t.Context(), p, producers, each) }()
	for _, after := range []int64{400, 900, 1400} {
		eventually.True(t, fmt.Sprint(after, " accepted events"), func() bool { return l.count.Load() >= after })
		p.Kill(t)
		p.Start(t)
	}
	<-done
	if got := len(l.accepted); got != producers*each {
		t.Fatalf("%d events were accepted, want %d", got, producers*each)
	}
	eventually.True(t, "every accepted event to arrive", func() bool { lost, _ := l.missing(rc); return len(lost) == 0 })
	_, again := l.missing(rc)
	t.Logf("%d accepted, 0 lost, %d requests beyond the first of an id (one in ten was answered 503)", len(l.accepted), again)

	eventually.True(t, "nothing to be pending", func() bool { return pending(t, p) == 0 })
}

func TestAnOrderlyStopLosesNothingAndFinishesWhatIsInFlight(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{IDsOnly: true})
	rc.On("/hook", receiver.Delay(100*time.Millisecond, receiver.Status(http.StatusOK)))
	p := process.New(t, process.Options{Routes: []route.Route{aRoute(rc.URL("/hook"))}})
	p.Start(t)
	l := &load{accepted: map[string]bool{}}
	l.run(t.Context(), p, 4, 50)
	p.Signal(t, syscall.SIGTERM)
	p.Start(t)
	eventually.True(t, "every accepted event to arrive", func() bool { lost, _ := l.missing(rc); return len(lost) == 0 })
	if _, again := l.missing(rc); again != 0 {
		t.Errorf("%d deliveries were repeated although the stop was orderly", again)
	}
}
