package queue

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	// maxPack is where a pack stops growing, in bytes. Larger packs save no
	// more, and each is in memory as a whole while it is read.
	maxPack = 1 << 20
	// When several call at once, appends begin gatherTime apart: each costs a
	// sync, and what comes meanwhile shares it. Fewer than gatherFrom callers
	// would wait for nobody, and gatherEnough share as well as more would. While
	// the machine has other work, which a wait does not hold up, it may take
	// gatherMost.
	gatherTime   = 2 * time.Millisecond
	gatherMost   = 2 * gatherTime
	gatherFrom   = 3
	gatherEnough = 64
)

// errClosed says that the queue is shutting down and takes nothing more.
var errClosed = errors.New("the queue is closed")

// What is stored is sized: of about so many bytes.
type sized interface{ size() int }

// A committer turns concurrent calls into few appends: what arrives while one
// append is being synced goes together into the next (group commit). JetStream
// syncs every publish on its own.
type committer[R sized] struct {
	flush func([]R) error // returns nil once all is durable
	limit int             // where a round stops growing, in bytes
	done  chan struct{}
	idle  sync.Pool // of calls

	mu      sync.Mutex
	waiting []*commitCall[R] // for the next append
	wanted  int              // so many are waited for
	called  chan struct{}    // of one: somebody waits, or did a moment ago
	enough  chan struct{}    // of one: as many as are wanted do, or did
	closed  bool
}

type commitCall[R sized] struct {
	records []R
	result  chan error // of one value
}

func newCommitter[R sized](limit int, flush func([]R) error) *committer[R] {
	c := &committer[R]{flush: flush, limit: limit, called: make(chan struct{}, 1), enough: make(chan struct{}, 1), done: make(chan struct{})}
	c.idle.New = func() any { return &commitCall[R]{result: make(chan error, 1)} }
	go c.run()
	return c
}

// commit returns nil once all records are durable. It takes no context: whether
// they are on disk is known only when the append has ended, which it does within
// the time limit of a publish.
func (c *committer[R]) commit(records ...R) error {
	call, _ := c.idle.Get().(*commitCall[R])
	call.records = append(call.records, records...)
	if !c.hand(call) {
		return errClosed
	}
	err := <-call.result
	clear(call.records)
	call.records = call.records[:0]
	c.idle.Put(call)
	return err
}

// hand has call flushed, unless the committer is closed. What is handed in is answered.
func (c *committer[R]) hand(call *commitCall[R]) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.waiting = append(c.waiting, call)
	tell(c.called)
	if len(c.waiting) == c.wanted {
		tell(c.enough)
	}
	return true
}

func tell(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func (c *committer[R]) run() {
	defer close(c.done)
	var r round[R]
	for range c.called {
		for {
			c.gather(&r)
			if !c.take(&r) {
				break
			}
			err := c.flush(r.records)
			r.end(err, c.queued())
		}
	}
}

// gather waits for those that the next append is to be shared with, if the last
// one, which is r, was shared.
func (c *committer[R]) gather(r *round[R]) {
	if r.enough == 0 {
		return
	}
	c.await(r.enough, gatherTime-time.Since(r.began))
	for n := c.queued(); n < gatherEnough && time.Since(r.began) < gatherMost; {
		runtime.Gosched() // whoever is about to call, does
		before := n
		if n = c.queued(); n == before {
			return
		}
	}
}

// await returns when so many calls wait, at the latest after d.
func (c *committer[R]) await(calls int, d time.Duration) {
	if d <= 0 || c.want(calls) {
		return
	}
	over := time.NewTimer(d)
	defer over.Stop()
	for {
		select {
		case <-c.enough:
			if c.want(calls) { // not told of an earlier wait
				return
			}
		case <-over.C:
			return
		}
	}
}

// want has enough told when so many calls wait, and reports whether they do.
func (c *committer[R]) want(calls int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = calls
	return len(c.waiting) >= calls
}

// queued is how many calls wait.
func (c *committer[R]) queued() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting)
}

// take moves calls that wait to r, until it is full. It reports whether there
// were any.
func (c *committer[R]) take(r *round[R]) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(r.calls) < len(c.waiting) && r.bytes < c.limit {
		r.add(c.waiting[len(r.calls)])
	}
	c.waiting = slices.Delete(c.waiting, 0, len(r.calls))
	r.began = time.Now()
	return len(r.calls) > 0
}

// close lets what was handed in finish, and refuses the rest.
func (c *committer[R]) close() {
	c.mu.Lock()
	c.closed = true
	close(c.called)
	c.mu.Unlock()
	<-c.done
}

// A round is what one append takes; its memory is used again for the next.
type round[R sized] struct {
	calls   []*commitCall[R]
	records []R
	bytes   int

	began  time.Time
	enough int // as many calls are worth waiting for next time; 0 = none
}

func (r *round[R]) add(call *commitCall[R]) {
	r.calls = append(r.calls, call)
	r.records = append(r.records, call.records...)
	for _, rec := range call.records {
		r.bytes += rec.size()
	}
}

// end answers the calls, and makes room for others; queued more wait by now.
// Most of them all can be expected to be back soon: callers that wait for an
// answer before they call again, such as connections of producers.
func (r *round[R]) end(err error, queued int) {
	r.enough = 0
	if crowd := len(r.calls) + queued; len(r.calls) >= gatherFrom {
		r.enough = min(crowd-crowd/8, gatherEnough)
	}
	for _, call := range r.calls {
		call.result <- err
	}
	clear(r.calls)
	clear(r.records)
	r.calls, r.records, r.bytes = r.calls[:0], r.records[:0], 0
}
