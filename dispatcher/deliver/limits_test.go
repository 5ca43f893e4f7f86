package deliver_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/route"
)

func TestARouteKeepsToItsRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rt := aRoute("a", "http://a/")
		rt.RateLimit = route.Rate{Requests: 10, Per: time.Second}
		r := start(t, rc.options, rt, aRoute("b", "http://b/"))
		const n = 200
		r.postAll("", n)
		synctest.Wait()
		if a, b := rc.count("a"), rc.count("b"); a != 10 || b != n {
			t.Fatalf("at once there were %d and %d attempts, want 10 and all %d", a, b, n)
		}
		pass(5 * time.Second)
		if got := rc.count("a"); got < 58 || got > 61 {
			t.Errorf("after 5 s there were %d attempts, want 60", got)
		}
		if got := r.metric(t, "postrider_deliver_attempts_in_flight"); got != 0 {
			t.Errorf("%v attempts are under way while it waits", got)
		}
		pass(16 * time.Second)
		if got := rc.count("a"); got != n || r.countReleased() != n {
			t.Errorf("there were %d of %d attempts", got, n)
		}
	})
}

func TestANewRateIsInForceAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rt := aRoute("a", "http://a/")
		rt.RateLimit = route.Rate{Requests: 1, Per: time.Hour}
		r := start(t, rc.options, rt)
		r.postAll("", 50)
		pass(time.Minute)
		if got := rc.count("a"); got != 1 {
			t.Fatalf("there were %d attempts", got)
		}
		rt.RateLimit = route.Rate{}
		r.table(t, rt)
		pass(time.Second)
		if got := rc.count("a"); got != 50 {
			t.Errorf("without a limit there were %d attempts", got)
		}
	})
}

func TestRoutesToOneHostShareItsBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rc.on("shared", after(100*time.Millisecond))
		rc.on("SHARED:80", after(100*time.Millisecond))
		var routes []route.Route
		for i := range 4 {
			rt := aRoute(fmt.Sprintf("r%d", i), fmt.Sprintf("http://shared/r%d", i))
			rt.Concurrency = 10
			routes = append(routes, rt)
		}
		r := start(t, func(o *deliver.Options) {
			rc.options(o)
			o.HostConcurrency = 3
		}, append(routes, aRoute("other", "http://other/"))...)
		const n = 12
		r.postAll("", n, "cms/r0") // the first route has all of its own in before the second has one
		r.postAll("more-", n, "cms/r1", "cms/r2", "cms/r3", "cms/other")
		pass(time.Minute)
		if got := rc.atOnce("shared"); got != 3 {
			t.Errorf("%d attempts to the host were under way at once, the bound is 3", got)
		}
		if got := rc.count("shared"); got != 4*n || rc.count("other") != n {
			t.Errorf("%d and %d attempts, want %d and %d", got, rc.count("other"), 4*n, n)
		}
		// Turn by turn: nobody is served a second time long before others are once.
		order := slices.DeleteFunc(rc.requests(), func(s string) bool { return !strings.HasPrefix(s, "shared") })
		for i := range 4 {
			if first := slices.Index(order, fmt.Sprintf("shared/r%d", i)); first < 0 || first > 8 {
				t.Errorf("route %d has its first turn at %d: %v", i, first, order)
			}
		}
	})
}

func TestAHostKeepsToItsRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		r := start(t, func(o *deliver.Options) {
			rc.options(o)
			o.HostRate = route.Rate{Requests: 5, Per: time.Second}
		}, aRoute("a", "http://shared/a"), aRoute("b", "http://shared/b"))
		const n = 30
		r.postAll("", n)
		pass(4 * time.Second)
		if got := rc.count("shared"); got < 23 || got > 26 {
			t.Errorf("after 4 s there were %d attempts, want 25", got)
		}
		pass(10 * time.Second)
		if got := rc.count("shared"); got != 2*n {
			t.Errorf("there were %d of %d attempts", got, 2*n)
		}
		// A route that moves to another host leaves the bounds of the first.
		r.table(t, aRoute("a", "http://elsewhere/a"), aRoute("b", "http://shared/b"))
		r.postAll("more-", n, "cms/a")
		pass(20 * time.Second)
		if got := rc.count("elsewhere"); got != n {
			t.Errorf("at the other host there were %d of %d attempts", got, n)
		}
	})
}

func TestAHostThatARouteComesBackToKeepsToItsBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rc.on("first", after(4*time.Second))
		r := start(t, func(o *deliver.Options) {
			rc.options(o)
			o.HostConcurrency = 1
		}, aRoute("a", "http://first/"))
		r.post("one")
		pass(time.Second)
		r.table(t, aRoute("a", "http://second/"))
		pass(time.Second) // in which hosts that nobody needs are forgotten
		r.table(t, aRoute("a", "http://first/"))
		r.post("two")
		pass(time.Minute)
		if got := rc.atOnce("first"); got != 1 || rc.count("first") != 2 {
			t.Errorf("%d of %d attempts were under way at once, want 1 of 2", got, rc.count("first"))
		}
	})
}

func TestAHostIsTheSameForAllLanesUntilTheLastHasLeft(t *testing.T) {
	t.Parallel()
	hosts := deliver.NewHosts(1)
	first := hosts.Of(t, "http://a/1")
	hosts.Forget()
	second := hosts.Of(t, "http://a/2")
	if first != second {
		t.Error("a host that a lane has was forgotten")
	}
	hosts.Leave(first)
	hosts.Forget()
	if hosts.Of(t, "http://a/3") != second {
		t.Error("a host that another lane has was forgotten")
	}
	hosts.Leave(second)
	hosts.Leave(second)
	hosts.Forget()
	if n := hosts.Count(); n != 0 {
		t.Errorf("%d hosts are known that no lane has", n)
	}
}

func TestAHostHasOneNameHoweverItIsSpelled(t *testing.T) {
	t.Parallel()
	for want, spellings := range map[string][]string{
		"a.example:443":     {"https://a.example/x", "https://A.Example:443", "https://a.example.:0443", "https://a.example:00000443/"},
		"a.example:80":      {"http://a.example", "http://a.example:80", "http://a.example:080"},
		"192.0.2.1:443":     {"https://192.0.2.1", "https://[::ffff:192.0.2.1]", "https://[::ffff:c000:201]:443"},
		"[2001:db8::1]:443": {"https://[2001:DB8::1]", "https://[2001:db8:0:0::1]:443"},
		"a.example:8443":    {"https://a.example:8443", "http://a.example:08443"},
	} {
		for _, s := range spellings {
			u, err := url.Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			if got := deliver.HostName(u); got != want {
				t.Errorf("%s is %s, want %s", s, got, want)
			}
		}
	}
}
