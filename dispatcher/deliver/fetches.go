package deliver

import (
	"slices"
	"sync"
)

// maxFetches bounds how many queues of the store are read at once.
const maxFetches = 64

// fetches takes deliveries out of the queues in the store, for as many lanes at
// once as it may. Namespaces take turns, and each has its portion: what was
// fetched may have to be checked, and the checks of a namespace wait for each other.
type fetches struct {
	fetch func(*lane)
	pool  *pool // those under way

	mu    sync.Mutex
	turns []*tenant // of which lanes ask, each once
	ended bool
	wg    sync.WaitGroup
}

// ask has fetch called for ln.
func (f *fetches) ask(ln *lane) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := ln.tenant
	if len(t.asking) == 0 {
		f.turns = append(f.turns, t)
	}
	t.asking = append(t.asking, ln)
	f.begin()
}

// begin begins the fetches that there is room for.
func (f *fetches) begin() {
	for ln := f.next(); ln != nil; ln = f.next() {
		f.wg.Go(func() {
			f.fetch(ln)
			f.done(ln)
		})
	}
}

func (f *fetches) done(ln *lane) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ln.tenant.fetches.force(-1)
	f.begin()
}

// next takes the lane whose turn it is, nil when none may go.
func (f *fetches) next() *lane {
	if f.ended || !f.pool.takes(1, 0) {
		return nil // without asking thousands
	}
	i := slices.IndexFunc(f.turns, func(t *tenant) bool { return t.fetches.take(1) })
	if i < 0 {
		return nil
	}
	t := f.turns[i]
	f.turns = slices.Delete(f.turns, i, i+1)
	ln := t.asking[0]
	t.asking[0] = nil
	if t.asking = t.asking[1:]; len(t.asking) > 0 {
		f.turns = append(f.turns, t)
	}
	return ln
}

// end begins no more fetches, and returns when those that run have ended.
func (f *fetches) end() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.wg.Wait()
}
