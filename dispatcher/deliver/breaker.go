package deliver

import (
	"time"

	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
)

const (
	// openJitter varies how long a breaker stays open, either way, so that the
	// breakers of one broken host do not probe it together.
	openJitter = 0.1
	// maxDoublings bounds how often that time doubles: up to eight times.
	maxDoublings = 3
)

// A breaker keeps attempts from a receiver that fails. The zero breaker is
// closed.
type breaker struct {
	state    outcome.BreakerState
	failures int       // in a row
	openings int       // in a row, without a success in between
	until    time.Time // while open: when one attempt may probe
}

// shut reports whether no attempt may begin for now.
func (b *breaker) shut(now time.Time) bool {
	return b.state == outcome.BreakerOpen && now.Before(b.until)
}

// probes says that an attempt begins, and reports whether it is the probe.
func (b *breaker) probes() bool {
	if b.state == outcome.BreakerClosed {
		return false
	}
	b.state = outcome.BreakerHalfOpen
	return true
}

// end notes how an attempt ended. What began before the breaker opened says
// nothing new: only the probe counts then. dice is a random number from [0, 1).
func (b *breaker) end(p route.Breaker, ok, probe bool, now time.Time, dice float64) {
	if b.state != outcome.BreakerClosed && !probe {
		return
	}
	if ok {
		*b = breaker{}
		return
	}
	b.failures++
	if p.Failures == 0 {
		b.state = outcome.BreakerClosed // the policy has changed
		return
	}
	if !probe && b.failures < p.Failures {
		return
	}
	b.state = outcome.BreakerOpen
	pause := p.OpenFor << min(b.openings, maxDoublings)
	pause += time.Duration(openJitter * (2*dice - 1) * float64(pause))
	b.until = now.Add(pause)
	b.openings++
}
