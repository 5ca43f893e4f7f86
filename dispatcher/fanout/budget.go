package fanout

import (
	"maps"
	"time"

	"golang.org/x/time/rate"

	"github.com/postrider/postrider/dispatcher/route"
)

const (
	// unit is what one unit of cost stands for, see [route.View.Cost].
	unit = 75 * time.Nanosecond
	// eventBudget is what the conditions of one event may cost before the rest of
	// them is left to the lanes: 3 ms. One more condition may come on top of it,
	// which is bounded by itself.
	eventBudget = 40_000
	// namespaceBudget is what the expressions of one namespace may cost within a
	// second before all its conditions are left to the lanes: a fifth of a core.
	namespaceBudget = rate.Limit(time.Second / 5 / unit)
	// namespaceBurst is what they may cost at once: 50 ms.
	namespaceBurst = int(50 * time.Millisecond / unit)
)

// Budgets bound what namespaces have evaluated while the events of all others
// wait.
type budgets struct {
	by     map[string]*rate.Limiter
	router *route.Router // when full ones were last forgotten
}

// of returns the budget of a namespace. Those that nobody has drawn on for long
// are forgotten with the next table.
func (b *budgets) of(namespace string, router *route.Router, now time.Time) *rate.Limiter {
	if b.router != router {
		b.router = router
		maps.DeleteFunc(b.by, func(_ string, l *rate.Limiter) bool { return l.TokensAt(now) >= float64(namespaceBurst) })
	}
	l := b.by[namespace]
	if l == nil {
		if b.by == nil {
			b.by = map[string]*rate.Limiter{}
		}
		l = rate.NewLimiter(namespaceBudget, namespaceBurst)
		b.by[namespace] = l
	}
	return l
}

// charge takes what the expressions that looked at v have cost since start: what
// CEL has counted or, where it does not count all, what the clock says. The
// budget may be overdrawn.
func charge(l *rate.Limiter, v *route.View, start, now time.Time) {
	for spent := max(v.Cost()+v.Parsing(), int(now.Sub(start)/unit)); spent > 0; spent -= namespaceBurst {
		l.ReserveN(now, min(spent, namespaceBurst))
	}
}
