package deliver_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/dispatcher/route"
)

func TestFewQueuesAreReadAtOnceAndEachGetsItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		var routes []route.Route
		for i := range 200 {
			routes = append(routes, aRoute(fmt.Sprintf("r%d", i), fmt.Sprintf("http://r%d/", i)))
		}
		r := start(t, rc.options, routes...)
		pass(time.Second)
		slow := make(chan struct{})
		r.backlog.slowDown(slow)
		for _, rt := range routes {
			fill(t, r, rt.ID, 3, 0)
		}
		pass(11 * time.Second)
		if got := r.backlog.readAtOnce(); got < 2 || got > 64 {
			t.Errorf("%d are read at once", got)
		}
		close(slow)
		pass(30 * time.Second)
		for _, rt := range routes {
			if got := len(r.backlog.waiting(rt.ID)); got != 0 {
				t.Fatalf("%d wait for %s", got, rt.ID)
			}
		}
	})
}

func TestBacklogsThatWaitForChecksDoNotHoldUpThoseOfOtherNamespaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		routes := []route.Route{aRoute("cms/a", "http://a/")}
		for i := range 300 {
			routes = append(routes, aPicky(fmt.Sprintf("hog-%d/r%d", i%3, i), "http://hog/", wantsOne))
		}
		r := start(t, rc.options, routes...)
		pass(time.Second)
		var leave []func()
		for i := range 2 { // all that are evaluated at once
			leave = append(leave, r.occupyChecks(t, fmt.Sprint("hog-", i)))
		}
		for _, rt := range routes[1:] {
			if err := r.backlog.Enqueue(t.Context(), unchecked(rt.ID, 0, 2*rt.Retry.MaxAge)...); err != nil {
				t.Fatal(err)
			}
		}
		pass(11 * time.Second) // by now they are being read, and found to be too old
		fill(t, r, "cms/a", 1000, 0)
		pass(11 * time.Second)
		if got := rc.count("a"); got != 1000 {
			t.Errorf("%d of 1000 are delivered while others wait for checks", got)
		}
		for _, over := range leave {
			over()
		}
		pass(time.Minute)
		if _, dead := r.backlog.kept(); len(dead) != 300*5 {
			t.Errorf("%d are dead, want those that the conditions want", len(dead))
		}
	})
}
