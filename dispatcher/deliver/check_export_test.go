package deliver

import (
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/route"
)

// Checks are checks, for the tests.
type Checks struct{ c checks }

func NewChecks() *Checks { return &Checks{newChecks()} }

func (c *Checks) Enter(stop <-chan struct{}, namespace string) bool {
	return c.c.enter(stop, namespace)
}

// EnterCheck has a condition of the namespace evaluated until leave is called.
func (l *Lanes) EnterCheck(namespace string) (leave func()) {
	l.checks.enter(nil, namespace)
	return func() { l.checks.leave(namespace) }
}

func (c *Checks) Leave(namespace string)          { c.c.leave(namespace) }
func (c *Checks) View(e *event.Event) *route.View { return c.c.view(e) }

// Kept counts the events that are kept as conditions see them, and their bytes.
func (c *Checks) Kept() (views, bytes int) { return len(c.c.views), c.c.viewed }
