package deliver

import (
	"context"
	"time"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
)

// A Backlog keeps what cannot be delivered now. Each method returns nil only
// when all of it is on disk; after an error none of it may be taken as kept.
type Backlog interface {
	// Defer keeps deliveries until they are due. They come back no earlier,
	// and little later: a 25th of the delay, or half a second.
	Defer(ctx context.Context, ds ...Deferral) error
	// Bury keeps deliveries that were given up.
	Bury(ctx context.Context, ds ...DeadLetter) error
}

// A Deferral is a delivery to attempt later. It names its route, so that the
// attempt uses the route as it is then: repairing a URL drains its backlog to
// the right place.
type Deferral struct {
	Route    string // "namespace/name"
	Attempts int    // made so far
	Due      time.Time
	Event    *event.Event
}

// A DeadLetter is a delivery that was given up.
type DeadLetter struct {
	Route    string // "namespace/name"
	Attempts int
	Why      outcome.Outcome // of the last attempt
	At       time.Time
	Event    *event.Event
}
