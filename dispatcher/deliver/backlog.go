package deliver

import (
	"context"
	"time"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
)

// A Backlog keeps what cannot be delivered now. Defer, Enqueue and Bury return
// nil only when all of it is on disk; after an error none of it may be taken as
// kept.
type Backlog interface {
	// Defer keeps deliveries until they are due. They come back no earlier,
	// and little later: a 25th of the delay, or half a second.
	Defer(ctx context.Context, ds ...Deferral) error
	// Enqueue puts deliveries at the end of their durable queues, in the order
	// given. Their Due means nothing. After an error the first few of a queue may
	// be there all the same, but none without those before it.
	Enqueue(ctx context.Context, ds ...Deferral) error
	// Dequeue takes the next few deliveries, at most [MaxDequeue], from the
	// front of a queue, and from that of a key one at a time: none when it is
	// empty. They stay in the store until their claims, one for each of them,
	// are settled; nobody else gets them meanwhile.
	Dequeue(ctx context.Context, from QueueID) ([]Deferral, []*event.Claim, error)
	// Waiting counts the deliveries in the queues, without those that were
	// dequeued here; queues where none is left are absent.
	Waiting(ctx context.Context) (map[QueueID]int, error)
	// Deferred counts the deliveries that Defer keeps, by the queue that they
	// would be in, without those that came back and are not settled.
	Deferred(ctx context.Context) (map[QueueID]int, error)
	// Oldest is when the oldest delivery in any queue of a route was enqueued,
	// and in which; the zero time when they are empty.
	Oldest(ctx context.Context, route string) (QueueID, time.Time, error)
	// Bury keeps deliveries that were given up.
	Bury(ctx context.Context, ds ...DeadLetter) error
}

// MaxDequeue bounds the deliveries that one Dequeue brings, and MaxDequeueBytes
// how many bytes they take in the store, unless one alone takes more.
const (
	MaxDequeue      = 256
	MaxDequeueBytes = 256 << 10
)

// A QueueID names a durable queue: each key of a route has one, and what has no
// key another.
type QueueID struct {
	Route string // "namespace/name"
	Key   route.Key
}

// A Deferral is a delivery to attempt later. It names its route, so that the
// attempt uses the route as it is then: repairing a URL drains its backlog to
// the right place.
type Deferral struct {
	Route     string    // "namespace/name"
	Key       route.Key // see route.Match, as Unchecked
	Unchecked bool
	Attempts  int // made so far
	Due       time.Time
	Seq       uint64 // see event.Stored
	Event     *event.Event
}

// Queue is where d waits.
func (d *Deferral) Queue() QueueID { return QueueID{d.Route, d.Key} }

// A DeadLetter is a delivery that was given up.
type DeadLetter struct {
	ID       uint64 // in the store, 0 before it is there
	Route    string // "namespace/name"
	Attempts int
	Why      outcome.Outcome // of the last attempt
	At       time.Time
	Seq      uint64 // see event.Stored
	Event    *event.Event
}
