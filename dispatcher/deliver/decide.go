package deliver

import (
	"time"

	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
)

// An Action is what becomes of a delivery after an attempt.
type Action int

// The actions.
const (
	Settle Action = iota // delivered: nothing is left to do
	Retry                // attempt again at Decision.At
	GiveUp               // it becomes a dead letter
)

// A Decision is an action and, for Retry, its time.
type Decision struct {
	Action Action
	At     time.Time
}

// maxRetryAfter caps what a receiver may ask for, so that one wrong header
// does not park a delivery for a year.
const maxRetryAfter = 24 * time.Hour

// Decide says what follows an attempt that ended with o at now. attempts is
// how many were made, this one included; accepted is when the event was; dice
// is a random number from [0, 1).
func Decide(r route.Retry, attempts int, accepted time.Time, o outcome.Outcome, now time.Time, dice float64) Decision {
	if o.OK() {
		return Decision{Action: Settle}
	}
	if !o.Retryable() || attempts > len(r.Backoff) {
		return Decision{Action: GiveUp}
	}
	pause := r.Backoff[attempts-1]
	pause += time.Duration(r.Jitter * (2*dice - 1) * float64(pause))
	pause = max(pause, min(o.RetryAfter, maxRetryAfter)) // the receiver may ask for more patience, never for less

	at := now.Add(pause)
	if at.After(accepted.Add(r.MaxAge)) {
		return Decision{Action: GiveUp}
	}
	return Decision{Action: Retry, At: at}
}
