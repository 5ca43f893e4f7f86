package fanout

import (
	"errors"
	"runtime"
	"sync"
)

const (
	// maxApart bounds the events that are evaluated apart at once, each of
	// another namespace.
	maxApart = 2
	// maxRemainders and maxRemainderBytes bound what waits for that of one
	// namespace, and maxAllBytes what waits of all: with what hanging receivers
	// can hold it is less than the gate of the store lets in.
	maxRemainders     = 256
	maxRemainderBytes = 2 << 20
	maxAllBytes       = 4 << 20
)

// errTooDear is why an event is not for a route whose condition nobody has come
// to evaluate. It takes many events whose conditions all exceed the budget.
var errTooDear = errors.New("the conditions of the namespace cost too much for its events; look at fewer elements, or use fewer conditions")

// apart works off remainders while other events go on: one budget each in turn
// of the namespaces, so that none waits for all of another's.
type apart struct {
	f *Fanout

	mu      sync.Mutex
	by      map[string]*backlog // of the namespaces that have remainders
	turn    []*backlog          // those of them that nobody works on
	bytes   int
	working int
	closed  bool
	workers sync.WaitGroup
}

// A backlog is what waits of one namespace, in the order of its events.
type backlog struct {
	namespace  string
	remainders []*remainder
	bytes      int
}

// take takes over r, unless too much waits already.
func (a *apart) take(r *remainder) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	namespace, size := r.st.Event.Namespace, r.st.Event.Size()
	b := a.by[namespace]
	if b != nil && (len(b.remainders) == maxRemainders || b.bytes+size > maxRemainderBytes) || a.bytes+size > maxAllBytes {
		return false
	}
	if b == nil {
		if a.by == nil {
			a.by = map[string]*backlog{}
		}
		b = &backlog{namespace: namespace}
		a.by[namespace] = b
		a.turn = append(a.turn, b)
	}
	b.remainders = append(b.remainders, r)
	b.bytes += size
	a.bytes += size
	if a.working < maxApart && len(a.turn) > 0 && !a.closed {
		a.working++
		a.workers.Go(a.work)
	}
	return true
}

// work advances remainders until none waits that nobody works on.
func (a *apart) work() {
	for b, first := a.next(nil, false); b != nil; {
		done := a.f.advance(first)
		runtime.Gosched() // the fanout and the lanes go first
		b, first = a.next(b, done)
	}
}

// next puts b, whose first remainder was advanced, at the end of the turn, and
// returns whose turn it is, with the first remainder of it; nil when nobody's.
func (a *apart) next(b *backlog, done bool) (*backlog, *remainder) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if b != nil {
		if done {
			a.drop(b)
		}
		if len(b.remainders) > 0 {
			a.turn = append(a.turn, b)
		} else {
			delete(a.by, b.namespace)
		}
	}
	if len(a.turn) == 0 || a.closed {
		a.working--
		return nil, nil
	}
	b = a.turn[0]
	a.turn = a.turn[1:]
	return b, b.remainders[0]
}

func (a *apart) drop(b *backlog) {
	size := b.remainders[0].st.Event.Size()
	b.bytes -= size
	a.bytes -= size
	b.remainders[0] = nil
	b.remainders = b.remainders[1:]
}

// close returns when nothing is evaluated any more.
func (a *apart) close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.workers.Wait()
}
