package deliver

import (
	"sync"
	"time"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/route"
)

// A delivery is one event owed to one route, in memory.
type delivery struct {
	*parcel
	route    string
	attempts int // made so far
	claim    *event.Claim
	queued   time.Time // since when it waits in its lane
}

// A lane is the way to one receiver: a bounded queue, and as many attempts at
// once as its route allows. An idle lane has no goroutine.
type lane struct {
	mu     sync.Mutex
	queue  []delivery
	active int           // attempts under way
	plan   *plan         // made of the route as it was at the last attempt
	pace   time.Duration // of an attempt: a moving average
	away   int           // deliveries deferred for want of room and not back yet, about
}

const (
	// laneBound is how many deliveries may wait in a lane while there is room...
	laneBound = 256
	// ...and laneBoundPressed while three eighths of the window are taken:
	// then the lanes that move slowly give way to those that move.
	laneBoundPressed = 16
	// maxWait is how long a delivery waits in a lane before the lane counts as
	// stuck and is emptied into the backlog, so that no pack stays open for it.
	maxWait = 2 * time.Second

	minReturn, maxReturn = time.Second, 10 * time.Minute // of what did not fit
)

// offer queues d unless bound deliveries wait already. begin tells the caller
// to start a worker.
func (l *lane) offer(d delivery, bound, concurrency int) (taken, begin bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) >= bound {
		return false, false
	}
	l.queue = append(l.queue, d)
	if l.active >= concurrency {
		return true, false
	}
	l.active++
	return true, true
}

// next takes the delivery that waits longest. Without one the worker that
// asked has ended.
func (l *lane) next() (delivery, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.active--
		l.queue = nil // an idle lane holds no memory
		return delivery{}, false
	}
	d := l.queue[0]
	l.queue[0] = delivery{} // for the garbage collector
	l.queue = l.queue[1:]
	return d, true
}

// stuck empties the lane if its first delivery has waited since before t.
func (l *lane) stuck(t time.Time) []delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 || l.queue[0].queued.After(t) {
		return nil
	}
	all := l.queue
	l.queue = nil
	return all
}

// observe updates the pace with an attempt that took d.
func (l *lane) observe(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pace += (d - l.pace) / 8
}

// back notes that a deferred delivery has come back.
func (l *lane) back() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = max(l.away-1, 0)
}

// comeBack says when a delivery that does not fit should come back: about when
// the lane will have worked off those that were sent away before it.
func (l *lane) comeBack(now time.Time, e *route.Entry) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away++
	pace := l.pace
	if pace == 0 { // no attempt has ended yet: the receiver may be one that never answers
		pace = e.Timeout
	}
	wait := time.Duration(l.away/max(e.Concurrency, 1)) * pace
	return now.Add(min(max(wait, minReturn), maxReturn))
}

// planFor returns the plan of e, made anew when the table has changed since
// the last attempt.
func (l *lane) planFor(e *route.Entry) (*plan, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.plan == nil || l.plan.Entry != e {
		p, err := newPlan(e)
		if err != nil {
			return nil, err
		}
		l.plan = p
	}
	return l.plan, nil
}

func (l *lane) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.active == 0 && len(l.queue) == 0
}
