package deliver

import (
	"net/http"
	"time"

	"github.com/postrider/postrider/dispatcher/outcome"
)

// maxPause caps how long a lane rests because its receiver asks for it. The
// delivery that was answered so may rest longer, see [Decide].
const maxPause = time.Minute

// A throttle adapts how many attempts are under way at once to what the
// receiver bears: halved when it says that it is too much or does not answer in
// time, one when it has not answered anything meanwhile, one more after each
// round of successes (additive increase, multiplicative decrease). The zero
// throttle leaves it at what the route allows.
type throttle struct {
	limit     int       // 0 = what the route allows
	successes int       // since limit last changed
	round     uint64    // attempts that had begun when it was last lowered
	heard     uint64    // and when the receiver last answered
	until     time.Time // the receiver asked to be left alone so long
}

// concurrency is how many attempts may be under way at once.
func (t *throttle) concurrency(allowed int) int {
	if t.limit == 0 {
		return max(allowed, 1)
	}
	return max(min(t.limit, allowed), 1)
}

// restart begins again with one attempt at a time.
func (t *throttle) restart() { t.limit, t.successes = 1, 0 }

// end notes how the nth attempt ended, of those that had begun by then.
func (t *throttle) end(o outcome.Outcome, nth, begun uint64, allowed int, now time.Time, jitter, dice float64) {
	if o.Status != 0 {
		t.heard = begun
	}
	if o.OK() {
		t.succeed(allowed)
		return
	}
	silent := o.Reason == outcome.Timeout
	if !silent && !overload(o.Status) {
		return
	}
	if nth > t.round { // else it belongs to a round that was answered already
		t.limit, t.successes, t.round = max(t.concurrency(allowed)/2, 1), 0, begun
		if silent && nth > t.heard {
			t.limit = 1 // it may be gone: each attempt holds memory until its timeout
		}
	}
	if o.RetryAfter > 0 {
		pause := o.RetryAfter + time.Duration(jitter*dice*float64(min(o.RetryAfter, maxPause)))
		if until := now.Add(min(pause, maxPause)); until.After(t.until) {
			t.until = until
		}
	}
}

func (t *throttle) succeed(allowed int) {
	if t.limit == 0 {
		return
	}
	t.successes++
	if t.successes < t.limit {
		return
	}
	t.limit, t.successes = t.limit+1, 0
	if t.limit >= allowed {
		t.limit = 0
	}
}

// overload reports whether a receiver, or what is in front of it, answers with
// status when it gets too much.
func overload(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}
