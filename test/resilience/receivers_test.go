package resilience_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/postrider/postrider/test/receiver"
)

// A mood is how a receiver answers for a while.
type mood struct {
	name  string
	reply http.HandlerFunc
	takes bool // it takes the delivery
	gone  bool // the delivery becomes a dead letter
}

var (
	well = mood{name: "ok", reply: receiver.Status(http.StatusOK), takes: true}
	slow = mood{name: "slow", reply: receiver.Delay(200*time.Millisecond, receiver.Status(http.StatusNoContent)), takes: true}
	down = mood{name: "503", reply: receiver.Status(http.StatusServiceUnavailable)}
	gone = mood{name: "410", reply: receiver.Status(http.StatusGone), gone: true}
	last = mood{name: "last", reply: receiver.Status(http.StatusServiceUnavailable), gone: true} // of a route with one attempt

	// failing slows no lane, unlike down: each delivery is attempted, and deferred.
	failing = mood{name: "500", reply: receiver.Status(http.StatusInternalServerError)}

	// bad are those in which a delivery is to be attempted again.
	bad = []mood{
		down,
		{name: "429", reply: receiver.RetryAfter(http.StatusTooManyRequests, "1")},
		{name: "hang", reply: receiver.Hang(nil, nil)},
		{name: "reset", reply: receiver.HangUp},
		{name: "drip", reply: receiver.Drip(50 * time.Millisecond)},
		{name: "cut", reply: receiver.BreakOff},
	}
)

// Receivers answer for many routes, each in its mood, and tell the ledger.
type receivers struct {
	ledger *ledger
	kit    *receiver.Receiver
	moods  map[string]*atomic.Pointer[mood] // by route
}

func newReceivers(tb testing.TB, l *ledger, routes ...string) *receivers {
	tb.Helper()
	r := &receivers{ledger: l, kit: receiver.New(tb, receiver.Options{IDsOnly: true}), moods: map[string]*atomic.Pointer[mood]{}}
	for _, route := range routes {
		r.moods[route] = &atomic.Pointer[mood]{}
		r.set(route, well)
		r.kit.On(path(route), r.answer(route))
	}
	return r
}

func path(route string) string { return "/" + strings.ReplaceAll(route, "/", "-") }

// url is where the receiver of a route listens.
func (r *receivers) url(route string) string { return r.kit.URL(path(route)) }

// set puts a receiver in a mood.
func (r *receivers) set(route string, m mood) { r.moods[route].Store(&m) }

// heal makes all receivers well.
func (r *receivers) heal() {
	for route := range r.moods {
		r.set(route, well)
	}
}

func (r *receivers) answer(route string) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		m := r.moods[route].Load()
		id := req.Header.Get(standardwebhooks.HeaderWebhookID)
		switch { // before the answer: what the dispatcher knows the ledger knows
		case m.takes:
			r.ledger.take(route, id)
		case m.gone:
			r.ledger.refuse(route, id)
		}
		m.reply(w, req)
	}
}
