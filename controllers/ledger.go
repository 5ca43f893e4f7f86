package controllers

import (
	"sync/atomic"

	"github.com/postrider/postrider/controllers/compile"
)

// ledger keeps the verdicts of the last compilation, for the controllers that
// write them to the objects.
type ledger struct {
	webhooks, items, policies *asks

	last atomic.Pointer[verdicts]
}

// verdicts are those of one compilation.
type verdicts struct{ webhooks, items, policies compile.Verdicts }

// enter replaces the verdicts and asks for the objects with a new one.
func (l *ledger) enter(r compile.Result) {
	next := &verdicts{r.Webhooks, r.AuthorizationItems, r.WebhookPolicies}
	old := l.last.Swap(next)
	if old == nil {
		old = &verdicts{}
	}
	announce(l.webhooks, old.webhooks, next.webhooks)
	announce(l.items, old.items, next.items)
	announce(l.policies, old.policies, next.policies)
}

func announce(to *asks, old, next compile.Verdicts) {
	for name, v := range next {
		if before, ok := old[name]; !ok || !before.Equal(v) {
			to.add(name)
		}
	}
}

// read returns the newest verdicts; there are none before the first compilation.
func (l *ledger) read() verdicts {
	if v := l.last.Load(); v != nil {
		return *v
	}
	return verdicts{}
}
