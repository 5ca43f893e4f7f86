package deliver_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/route"
)

// TestNothingIsLostWhateverHappens has receivers flap, tables change and the
// store fail at random, and counts at the end: what was handed in is delivered,
// dead, put off, or waits in the store, and each claim was settled once.
func TestNothingIsLostWhateverHappens(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { mayhem(t, seed) })
		})
	}
}

const mayhemRoutes = 12

func mayhem(t *testing.T, seed uint64) {
	t.Helper()
	dice := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test wants the same numbers each time
	rc := newReceivers()
	r := start(t, func(o *deliver.Options) {
		rc.options(o)
		if seed%3 == 0 {
			o.HostConcurrency, o.HostRate = 3, route.Rate{Requests: 50, Per: time.Second}
		}
	}, mayhemTable(dice)...)
	posted := 0
	for range 300 {
		switch dice.IntN(12) {
		case 0:
			rc.on(fmt.Sprint("host-", dice.IntN(mayhemRoutes/2)), mood(dice))
		case 1:
			r.table(t, mayhemTable(dice)...)
		case 2:
			r.backlog.fail(true) // whoever feeds the lanes may be held up by that
			time.AfterFunc(time.Duration(dice.IntN(int(20*time.Second))), func() { r.backlog.fail(false) })
		case 3:
			id := fmt.Sprint("cms/r", dice.IntN(mayhemRoutes))
			err := r.Enqueue(t.Context(), deferrals(id, 1+dice.IntN(300))...)
			if err != nil && !errors.Is(err, errDisk) {
				t.Fatal(err)
			}
		case 4:
			pass(time.Duration(dice.IntN(int(3 * time.Minute))))
		default:
			for range dice.IntN(60) {
				r.post(fmt.Sprint(posted))
				posted++
			}
			pass(time.Duration(dice.IntN(int(300 * time.Millisecond))))
		}
	}

	// All is mended: nothing is left in memory, and nothing waits.
	pass(20 * time.Second)
	var healthy []route.Route
	for i := range mayhemRoutes {
		rc.on(fmt.Sprint("host-", i), status(http.StatusOK))
		rt := aRoute(fmt.Sprint("r", i), fmt.Sprintf("http://host-%d/%d", i/2, seed))
		rt.Epoch = "mended"
		healthy = append(healthy, rt)
	}
	r.table(t, healthy...)
	pass(20 * time.Minute)
	if got := r.countReleased(); got != posted {
		t.Errorf("%d of %d packs are released", got, posted)
	}
	for _, rt := range healthy {
		if n := len(r.backlog.waiting(rt.ID)); n != 0 {
			t.Errorf("%d wait for %s", n, rt.ID)
		}
		if s := summary(r, rt.ID); s.Pending != 0 {
			t.Errorf("of %s %d are said to be in memory", rt.ID, s.Pending)
		}
	}
	for what, n := range r.Held() {
		if n != 0 {
			t.Errorf("%d are counted in %q", n, what)
		}
	}
}

// mayhemTable is a table of routes of all kinds; some are missing.
func mayhemTable(dice *rand.Rand) []route.Route {
	var routes []route.Route
	for i := range mayhemRoutes {
		rt := aRoute(fmt.Sprint("r", i), fmt.Sprintf("http://host-%d/", dice.IntN(mayhemRoutes/2)))
		rt.Concurrency = 1 + dice.IntN(20)
		rt.Epoch = fmt.Sprint(dice.IntN(2))
		switch dice.IntN(8) {
		case 0:
			rt.Hold = "Disabled"
		case 1:
			rt = route.Route{ID: rt.ID, Hold: "RefNotFound", Events: []string{"*"}}
		case 2:
			rt.RateLimit = route.Rate{Requests: 20, Per: time.Second}
		case 3, 4:
			rt.Breaker = route.Breaker{Failures: 3, OpenFor: 10 * time.Second}
		case 5:
			continue
		}
		routes = append(routes, rt)
	}
	return routes
}

// mood is a way to answer.
func mood(dice *rand.Rand) func(*http.Request) egress.Response {
	switch dice.IntN(7) {
	case 0:
		return nil
	case 1:
		return status(http.StatusInternalServerError)
	case 2:
		return func(*http.Request) egress.Response {
			return egress.Response{Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"20"}}}
		}
	case 3:
		return status(http.StatusGone)
	case 4:
		return after(2 * time.Second)
	case 5:
		return after(30 * time.Millisecond)
	default:
		return status(http.StatusOK)
	}
}
