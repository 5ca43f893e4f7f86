package deliver

import (
	"context"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/route"
)

// Checks are checks, for the tests.
type Checks struct{ c checks }

// NewChecks makes Checks.
func NewChecks() *Checks { return &Checks{newChecks()} }

func (c *Checks) Enter(ctx context.Context, namespace string) (leave func(), err error) {
	return c.c.enter(ctx, namespace)
}

func (c *Checks) View(e *event.Event) *route.View { return c.c.view(e) }

// Kept counts the events that are kept as conditions see them, and their bytes.
func (c *Checks) Kept() (views, bytes int) { return len(c.c.views), c.c.viewed }

// EnterCheck has a condition of the namespace evaluated until leave is called.
func (l *Lanes) EnterCheck(ctx context.Context, namespace string) (leave func(), err error) {
	return l.checks.enter(ctx, namespace)
}
