package conformance_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/receiver"
)

// postBatch posts so many events together and returns their webhook-ids, each with 1.
func (n *tenant) postBatch(t *testing.T, count int) map[string]int {
	t.Helper()
	ids := map[string]int{}
	for _, e := range n.accepted(t, typed(batched, batch(count))) {
		ids[e.WebhookID] = 1
	}
	return ids
}

func (d *target) breaking(t *testing.T) {
	t.Parallel()
	const openFor, failures, count = time.Second, 3, 20
	rc := receiver.New(t, receiver.Options{})
	rc.On("/", receiver.Status(500))
	n := d.tenant(t, hook("broken", rc.URL("/"), retry(100*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond, time.Second, time.Second, time.Second),
		func(r *route.Route) { r.Breaker = route.Breaker{Failures: failures, OpenFor: openFor} }))
	ids := n.postBatch(t, count)
	var s outcome.Summary
	eventually.True(t, "the breaker to be open in the report", func() bool {
		s = n.summary(t, "broken")
		return s.Breaker == outcome.BreakerOpen
	})
	rc.On("/", receiver.Status(200))
	if s.ConsecutiveFailures < failures {
		t.Errorf("the breaker is open after %d failures, want %d", s.ConsecutiveFailures, failures)
	}

	s = n.settled(t, "broken", 0)
	if s.Breaker != outcome.BreakerClosed || s.ConsecutiveFailures != 0 || s.Last.Reason != outcome.Delivered {
		t.Errorf("when all is delivered the report says %+v", s)
	}
	got := rc.Requests()
	// A few probes may have come before the receiver was repaired.
	if len(got) > failures+count+3 {
		t.Errorf("%d requests came, want %d that failed and %d that did not", len(got), failures, count)
	}
	// Open for 1s, a tenth less at the most.
	if pause := got[failures].Time.Sub(got[failures-1].Time); pause < openFor*9/10 {
		t.Errorf("the receiver was left alone for %s after %d failures, want %s", pause, failures, openFor)
	}
	for id := range ids {
		if rc.IDs()[id] == 0 {
			t.Errorf("%s is lost", id)
		}
	}
}

func (d *target) probing(t *testing.T) {
	t.Parallel()
	const openFor = time.Second
	rc := receiver.New(t, receiver.Options{})
	rc.On("/", receiver.Status(500), receiver.Status(500), receiver.Status(500), receiver.Status(200))
	n := d.tenant(t, hook("broken", rc.URL("/"), retry(time.Minute),
		func(r *route.Route) { r.Breaker = route.Breaker{Failures: 2, OpenFor: openFor}; r.Concurrency = 5 }))
	// One after the other, so that no attempt is under way when the breaker opens.
	for i := range 2 {
		n.post(t, "t", "{}")
		rc.Wait(t, i+1)
		eventually.True(t, "the end of the attempt", func() bool { return n.summary(t, "broken").ConsecutiveFailures == i+1 })
	}
	n.postBatch(t, 10)
	got := rc.Wait(t, 4)
	// The first probe fails, and the pause doubles.
	for i, least := range []time.Duration{openFor, 2 * openFor} {
		if pause := got[i+2].Time.Sub(got[i+1].Time); pause < least*9/10 {
			t.Errorf("probe %d came %s after the failure before it, want %s", i+1, pause, least)
		}
	}
	rc.Wait(t, 12) // two failures and one probe that failed wait for a minute
	eventually.True(t, "the breaker to be closed", func() bool {
		s := n.summary(t, "broken")
		return s.Breaker == outcome.BreakerClosed && owed(s) == 3 && s.DeadLetters == 0
	})
}

func (d *target) goneReceivers(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	rc.On("/", receiver.Status(410))
	gone := hook("gone", rc.URL("/"), retry(100*time.Millisecond), func(r *route.Route) { r.Epoch = "1" })
	witness := hook("witness", rc.URL("/witness"), func(r *route.Route) { r.Epoch = "1" })
	n := d.tenant(t, gone, witness)
	n.post(t, "t", "{}")
	if s := n.settled(t, "gone", 1); s.Gone.IsZero() || s.Last.Reason != outcome.ReceiverGone {
		t.Errorf("the report says %+v", s)
	}
	ids := n.postBatch(t, 3)
	rc.Wait(t, 5) // those of the witness, which came by later
	eventually.True(t, "the other deliveries to wait in the store", func() bool { return n.summary(t, "gone").Stored == 3 })
	if s := n.summary(t, "gone"); s.DeadLetters != 1 || s.Last.Number != 1 {
		t.Errorf("the report says %+v", s)
	}

	gone.Epoch = "2"
	rc.On("/", receiver.Status(200))
	n.route(t, gone, witness)
	if s := n.settled(t, "gone", 1); !s.Gone.IsZero() || s.Epoch != "2" || s.ConsecutiveFailures != 0 {
		t.Errorf("after it was enabled anew the report says %+v", s)
	}
	for id := range ids {
		if rc.IDs()[id] != 2 { // once at the witness
			t.Errorf("%s did not arrive", id)
		}
	}
}

func (d *target) patience(t *testing.T) {
	t.Parallel()
	const asked = 2 * time.Second
	rc := receiver.New(t, receiver.Options{})
	rc.On("/", receiver.RetryAfter(429, "2"), receiver.Status(200))
	n := d.tenant(t, hook("throttled", rc.URL("/"), retry(100*time.Millisecond), func(r *route.Route) { r.Concurrency = 5 }))
	n.post(t, "t", "{}")
	n.attempted(t, "throttled", 1)
	n.postBatch(t, 10)
	n.settled(t, "throttled", 0)
	got := rc.Requests()
	if len(got) != 12 {
		t.Errorf("%d requests came, want 12", len(got))
	}
	for _, r := range got[1:] {
		if pause := r.Time.Sub(got[0].Time); pause < asked {
			t.Errorf("a request came %s after the receiver had asked for %s", pause, asked)
		}
	}
}

func (d *target) rates(t *testing.T) {
	t.Parallel()
	const rate, count = 10, 25
	rc := receiver.New(t, receiver.Options{})
	n := d.tenant(t, hook("limited", rc.URL("/"), func(r *route.Route) {
		r.Concurrency, r.RateLimit = count, route.Rate{Requests: rate, Per: time.Second}
	}))
	n.postBatch(t, count)
	withinRate(t, rc.Wait(t, count), rate)
}

// withinRate fails t when the requests came faster than so many in a second: a
// second's worth at once, and the others evenly. A machine that stalls may bring
// requests closer together than they began, by up to a second.
func withinRate(t *testing.T, got []receiver.Request, rate int) {
	t.Helper()
	const slack = time.Second
	for i := range got {
		for j := i; j < len(got); j++ {
			span := got[j].Time.Sub(got[i].Time)
			if most := rate + int(float64(rate)*(span+slack).Seconds()) + 1; j-i+1 > most {
				t.Fatalf("%d requests came within %s, want at most %d", j-i+1, span, most)
			}
		}
	}
}

// A crowd counts how many requests are answered at once.
type crowd struct {
	mu        sync.Mutex
	now, most int
}

func (c *crowd) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now += n
	c.most = max(c.most, c.now)
}

// counted is reply, counted by c while it goes on.
func (c *crowd) counted(reply http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c.add(1)
		defer c.add(-1)
		reply(w, r)
	}
}

func (c *crowd) max() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most
}

func (d *target) concurrency(t *testing.T) {
	t.Parallel()
	const allowed, count = 4, 40
	rc := receiver.New(t, receiver.Options{})
	var c crowd
	release := make(chan struct{})
	rc.On("/", c.counted(receiver.Hang(release, receiver.Delay(5*time.Millisecond, receiver.Status(200)))))
	n := d.tenant(t, hook("bounded", rc.URL("/"), func(r *route.Route) { r.Concurrency = allowed }))
	ids := n.postBatch(t, count)
	rc.Wait(t, allowed) // all of them under way
	close(release)
	n.settled(t, "bounded", 0)
	if c.max() != allowed {
		t.Errorf("%d attempts were under way at once, want %d", c.max(), allowed)
	}
	if diff := cmp.Diff(ids, rc.IDs()); diff != "" {
		t.Errorf("what arrived (-want +got)\n%s", diff)
	}
}

func (d *target) traces(t *testing.T) {
	t.Parallel()
	const parent, state = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "congo=t61rcWkgMzE"
	rc := receiver.New(t, receiver.Options{})
	rc.On("/", receiver.Status(500), receiver.Status(200))
	n := d.tenant(t, hook("traced", rc.URL("/"), retry(100*time.Millisecond)))
	c := plainJSON(`{"type":"t"}`)
	c.header.Set("traceparent", parent)
	c.header.Set("tracestate", state)
	n.accepted(t, c)
	for i, r := range rc.Wait(t, 2) {
		if r.Header.Get("Traceparent") != parent || r.Header.Get("Tracestate") != state {
			t.Errorf("attempt %d has the headers %v", i+1, r.Header)
		}
	}
	n.settled(t, "traced", 0)
	n.post(t, "t", "{}")
	if r := rc.Wait(t, 3)[2]; r.Header.Get("Traceparent") != "" {
		t.Errorf("an event without a trace was sent with %v", r.Header)
	}
}
