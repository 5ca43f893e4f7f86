package deliver_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/outcome"
)

func TestABreakerOpensAndOneProbeClosesIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rc.on("a", status(http.StatusInternalServerError))
		rt := aRoute("a", "http://a/")
		rt.Breaker.Failures, rt.Breaker.OpenFor, rt.Concurrency = 5, time.Minute, 1
		r := start(t, rc.options, rt)
		const n = 300
		r.postAll("", n)
		pass(10 * time.Second)
		if got := rc.count("a"); got != 5 {
			t.Fatalf("there were %d attempts, want 5", got)
		}
		if got := len(r.backlog.waiting("cms/a")); got != n-5 || r.countReleased() != n {
			t.Errorf("%d wait in the store and %d packs are released, want %d and all", got, r.countReleased(), n-5)
		}
		if r.facts().Breaker != outcome.BreakerOpen || r.metric(t, "postrider_webhook_breaker_state", "cms", "a") != 2 {
			t.Errorf("the facts say that the breaker is %q", r.facts().Breaker)
		}

		// A retry that comes due is not attempted either.
		r.Resume(deliver.Deferral{Route: "cms/a", Attempts: 1, Event: anEvent("retry")}, r.claim("retry"))
		pass(10 * time.Second)
		if ds := r.backlog.waiting("cms/a"); len(ds) != n-4 || ds[len(ds)-1].Attempts != 1 {
			t.Errorf("%d wait, the last with %d attempts", len(ds), ds[len(ds)-1].Attempts)
		}

		pass(time.Minute) // 54 to 66 s after it opened, and again after the double
		if got := rc.count("a"); got != 6 {
			t.Errorf("there were %d attempts, want one probe more", got)
		}

		// The probe that succeeds brings all the others, one at a time at first.
		rc.on("a", after(10*time.Millisecond))
		pass(3 * time.Minute)
		if got := rc.count("a"); got != 6+n+1-6 {
			t.Errorf("there were %d attempts, want one for each that waited", got)
		}
		if len(r.backlog.waiting("cms/a")) != 0 || r.facts().Breaker != outcome.BreakerClosed {
			t.Errorf("%d wait, the breaker is %q", len(r.backlog.waiting("cms/a")), r.facts().Breaker)
		}
	})
}

func TestAHalfOpenBreakerLetsOneThrough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rc.on("a", status(http.StatusInternalServerError))
		rt := aRoute("a", "http://a/")
		rt.Breaker.Failures, rt.Breaker.OpenFor, rt.Concurrency = 1, 10*time.Second, 10
		rt.Timeout = 30 * time.Second
		r := start(t, rc.options, rt)
		r.post("first")
		pass(time.Minute) // nothing waits: nothing to probe with
		if got := rc.count("a"); got != 1 || r.facts().Breaker != outcome.BreakerOpen {
			t.Fatalf("there were %d attempts, the breaker is %q", got, r.facts().Breaker)
		}
		rc.on("a", after(20*time.Second))
		r.postAll("", 50)
		pass(10 * time.Second)
		if got := rc.count("a"); got != 2 || r.facts().Breaker != outcome.BreakerHalfOpen {
			t.Errorf("there were %d attempts, want the next arrival as the probe; the breaker is %q", got, r.facts().Breaker)
		}
		if r.metric(t, "postrider_webhook_breaker_state", "cms", "a") != 1 {
			t.Error("the metric does not say half-open")
		}
		rc.on("a", status(http.StatusOK))
		pass(30 * time.Second)
		if got := rc.count("a"); got != 51 || len(r.backlog.waiting("cms/a")) != 0 {
			t.Errorf("there were %d attempts, %d wait", got, len(r.backlog.waiting("cms/a")))
		}
	})
}

func TestABreakerClosesWhenTheWebhookIsMended(t *testing.T) {
	t.Parallel()
	for name, mend := range map[string]func(epoch, url *string){
		"by another URL":     func(_, url *string) { *url = "http://mended/" },
		"by being enabled":   func(epoch, url *string) { *epoch = "2"; *url = "http://mended/" },
		"with the same road": func(epoch, _ *string) { *epoch = "2" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rc := newReceivers()
				rc.on("a", status(http.StatusInternalServerError))
				rt := aRoute("a", "http://a/")
				rt.Breaker.Failures, rt.Breaker.OpenFor = 1, time.Hour
				r := start(t, rc.options, rt)
				r.postAll("", 5)
				pass(time.Second)
				rc.on("a", status(http.StatusOK))
				mend(&rt.Epoch, &rt.URL)
				r.table(t, rt)
				pass(time.Second)
				if r.facts().Breaker != outcome.BreakerClosed || len(r.backlog.waiting("cms/a")) != 0 {
					t.Errorf("the breaker is %q, %d wait", r.facts().Breaker, len(r.backlog.waiting("cms/a")))
				}
			})
		})
	}
}

func TestAReceiverThatIsGoneIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rc.on("a", status(http.StatusGone))
		rt := aRoute("a", "http://a/")
		rt.Concurrency = 1
		r := start(t, rc.options, rt)
		r.postAll("", 20)
		pass(5 * time.Minute)
		_, dead := r.backlog.kept()
		if rc.count("a") != 1 || len(dead) != 1 || dead[0].Why.Reason != outcome.ReceiverGone || r.facts().Gone.IsZero() {
			t.Fatalf("%d attempts, dead is %+v, the facts are %+v", rc.count("a"), dead, r.facts())
		}
		if got := len(r.backlog.waiting("cms/a")); got != 19 {
			t.Errorf("%d wait, want the other 19", got)
		}
		same := rt
		same.Timeout = 7 * time.Second
		r.table(t, same)
		pass(time.Second)
		if rc.count("a") != 1 {
			t.Error("a table in which neither epoch nor URL differ had it attempted")
		}
		rc.on("a", status(http.StatusOK))
		rt.Epoch = "2"
		r.table(t, rt)
		pass(time.Second)
		if rc.count("a") != 20 || len(r.backlog.waiting("cms/a")) != 0 {
			t.Errorf("enabled anew there were %d attempts, %d wait", rc.count("a"), len(r.backlog.waiting("cms/a")))
		}
	})
}

func TestALaneRestsAsLongAsItsReceiverAsks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rc.on("a", func(req *http.Request) egress.Response {
			after(10 * time.Millisecond)(req)
			return egress.Response{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"30"}}}
		})
		rt := aRoute("a", "http://a/")
		rt.Concurrency = 4
		r := start(t, rc.options, rt)
		r.postAll("", 100)
		pass(29 * time.Second)
		if got := rc.count("a"); got != 4 {
			t.Fatalf("there were %d attempts, want the first 4", got)
		}
		if got := len(r.backlog.waiting("cms/a")); got != 96 {
			t.Errorf("%d wait in the store, want all others: their packs must not stay open", got)
		}
		rc.on("a", status(http.StatusOK))
		pass(10 * time.Second)
		if got := rc.count("a"); got != 100 {
			t.Errorf("after the rest there were %d attempts in all", got)
		}
	})
}
