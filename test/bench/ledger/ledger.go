// Package ledger is what the processes of a benchmark write down together: what
// was accepted, and what arrived where, when and how often. It lies in memory
// that they share, so that to write is one atomic operation and the books
// survive the death of whoever wrote them.
package ledger

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Layout says which events go where. The routes are dealt into groups of
// Fanout; event n is of the type of group n modulo the number of groups, and
// goes to each route of it.
type Layout struct {
	Routes    uint32 // a multiple of Fanout
	Fanout    uint32
	Receivers uint32 // addresses that the routes share, at most one each
}

// Groups is how many types of events there are.
func (l Layout) Groups() int { return int(l.Routes / l.Fanout) }

// Group is the group that event n belongs to.
func (l Layout) Group(n int) int { return n % l.Groups() }

// First is the first of the Fanout routes that event n goes to.
func (l Layout) First(n int) int { return l.Group(n) * int(l.Fanout) }

// State is what the producer knows of an event.
type State uint32

// The states.
const (
	Unsent State = iota
	Unanswered
	Refused
	Accepted
)

// maxCells bounds the deliveries of one ledger. Memory is taken only by those
// that were made.
const maxCells = 1 << 24

// A Ledger is open in several processes at once. Its methods may be called
// from all of them at any time.
type Ledger struct {
	file   *os.File
	memory []byte
	*head
	events []eventRecord
	cells  []cell
}

type head struct {
	Layout
	_ uint32 // the counters must be aligned

	answered, delivered           atomic.Uint64
	stray, forged, early          atomic.Uint64
	firstDelivered, lastDelivered atomic.Int64
}

type eventRecord struct {
	state atomic.Uint32
	wait  atomic.Uint32 // µs between the request and its answer
}

// A cell is one delivery: one event owed to one route.
type cell struct {
	refused   atomic.Uint32 // requests that were answered with an error
	delivered atomic.Uint32 // requests that were answered with success
	latency   atomic.Uint32 // µs, of the first success
}

// Create makes an empty Ledger.
func Create(l Layout) (*Ledger, error) {
	if l.Fanout == 0 || l.Routes == 0 || l.Routes%l.Fanout != 0 || l.Receivers == 0 || l.Receivers > l.Routes {
		return nil, fmt.Errorf("%+v is no layout: routes must be a multiple of fanout, and receivers 1 to routes", l)
	}
	fd, err := unix.MemfdCreate("ledger", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making the ledger: %w", err)
	}
	file := os.NewFile(uintptr(fd), "ledger")
	if err := file.Truncate(int64(size(l))); err != nil {
		return nil, errors.Join(fmt.Errorf("making the ledger: %w", err), file.Close())
	}
	if err := writeLayout(file, l); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return Open(file)
}

func writeLayout(file *os.File, l Layout) error {
	b := unsafe.Slice((*byte)(unsafe.Pointer(&l)), unsafe.Sizeof(l))
	if _, err := file.WriteAt(b, 0); err != nil {
		return fmt.Errorf("making the ledger: %w", err)
	}
	return nil
}

func maxEvents(l Layout) int { return maxCells / int(l.Fanout) }

func size(l Layout) int {
	return int(unsafe.Sizeof(head{})) + maxEvents(l)*(int(unsafe.Sizeof(eventRecord{}))+int(l.Fanout)*int(unsafe.Sizeof(cell{})))
}

// Open opens a Ledger that another process has made, and takes over its file.
func Open(file *os.File) (*Ledger, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("opening the ledger: %w", err)
	}
	memory, err := syscall.Mmap(int(file.Fd()), 0, int(info.Size()), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the ledger: %w", err), file.Close())
	}
	l := &Ledger{file: file, memory: memory, head: (*head)(unsafe.Pointer(&memory[0]))}
	n := maxEvents(l.Layout)
	events := unsafe.Pointer(&memory[unsafe.Sizeof(head{})])
	l.events = unsafe.Slice((*eventRecord)(events), n)
	l.cells = unsafe.Slice((*cell)(unsafe.Add(events, n*int(unsafe.Sizeof(eventRecord{})))), n*int(l.Fanout))
	return l, nil
}

// File is what another process opens.
func (l *Ledger) File() *os.File { return l.file }

// Close lets go of the memory.
func (l *Ledger) Close() error { return errors.Join(syscall.Munmap(l.memory), l.file.Close()) }

// Len is how many events the ledger has room for.
func (l *Ledger) Len() int { return len(l.events) }

// Post writes down what became of event n at its producer, and how long that took.
func (l *Ledger) Post(n int, s State, took time.Duration) {
	l.events[n].wait.Store(uint32(took.Microseconds()))
	l.events[n].state.Store(uint32(s))
}

// find is the delivery of event n to a route, nil when there should be none.
func (l *Ledger) find(n, route int) *cell {
	if n < 0 || n >= len(l.events) || route/int(l.Fanout) != l.Group(n) {
		return nil
	}
	return &l.cells[n*int(l.Fanout)+route%int(l.Fanout)]
}

// Deliver writes down that event n has come to route and is answered with
// success; latency is since it was due to be posted.
func (l *Ledger) Deliver(n, route int, now time.Time, latency time.Duration) {
	c := l.find(n, route)
	if c == nil {
		l.stray.Add(1)
		return
	}
	if c.delivered.Add(1) > 1 {
		return
	}
	c.latency.Store(uint32(latency.Microseconds()))
	if c.refused.Load() == 0 {
		l.answered.Add(1)
	}
	l.firstDelivered.CompareAndSwap(0, now.UnixNano())
	l.lastDelivered.Store(now.UnixNano())
	l.delivered.Add(1)
}

// Refuse writes down that event n has come to route and is refused for now. A
// delivery that is refused twice came earlier than it was told to.
func (l *Ledger) Refuse(n, route int) {
	c := l.find(n, route)
	switch {
	case c == nil:
		l.stray.Add(1)
	case c.refused.Add(1) > 1:
		l.early.Add(1)
	default:
		l.answered.Add(1)
	}
}

// Stray counts a request that belongs to no delivery.
func (l *Ledger) Stray() { l.stray.Add(1) }

// Forged counts a request whose signature is not right.
func (l *Ledger) Forged() { l.forged.Add(1) }

// Early is how many deliveries came again before they were told to.
func (l *Ledger) Early() int { return int(l.early.Load()) }

// Answered is how many deliveries were made at least once, refused or not.
func (l *Ledger) Answered() int { return int(l.answered.Load()) }

// Delivered is how many deliveries have succeeded.
func (l *Ledger) Delivered() int { return int(l.delivered.Load()) }

// Mark forgets when deliveries succeeded, for [Ledger.Span].
func (l *Ledger) Mark() {
	l.firstDelivered.Store(0)
	l.lastDelivered.Store(0)
}

// Span is when the first and the last delivery since the Mark succeeded, both
// zero when none did.
func (l *Ledger) Span() (first, last time.Time) {
	f, e := l.firstDelivered.Load(), l.lastDelivered.Load()
	if f == 0 || e == 0 {
		return time.Time{}, time.Time{}
	}
	return time.Unix(0, f), time.Unix(0, e)
}

// Err is what makes every figure worthless: requests that nobody asked for.
func (l *Ledger) Err() error {
	if n := l.stray.Load(); n > 0 {
		return fmt.Errorf("%d requests came to receivers that they were not for, or could not be read", n)
	}
	if n := l.forged.Load(); n > 0 {
		return fmt.Errorf("%d of the signatures that were looked at are wrong", n)
	}
	return nil
}

// A Range is the events from First up to and without End.
type Range struct{ First, End int }

// A Balance is what the ledger says of some events.
type Balance struct {
	Accepted   int // events
	Refused    int // events that were not accepted, or whose fate is not known
	Owed       int // deliveries of accepted events
	Missing    int // of them, those that have not succeeded
	Duplicates int // successes beyond the first of a delivery
}

// Balance counts the deliveries of r to the routes that keep, nil for all of them.
func (l *Ledger) Balance(r Range, keep func(route int) bool) Balance {
	var b Balance
	for n := r.First; n < r.End; n++ {
		accepted := false
		switch State(l.events[n].state.Load()) {
		case Accepted:
			accepted = true
			b.Accepted++
		case Unanswered, Refused:
			b.Refused++
		case Unsent:
		}
		for route := range l.routes(n, keep) {
			times := int(l.find(n, route).delivered.Load())
			b.Duplicates += max(times-1, 0)
			if accepted {
				b.Owed++
				if times == 0 {
					b.Missing++
				}
			}
		}
	}
	return b
}

// Missing counts the deliveries of accepted events that have not succeeded, by route.
func (l *Ledger) Missing(r Range) map[int]int {
	missing := map[int]int{}
	for n := r.First; n < r.End; n++ {
		if State(l.events[n].state.Load()) != Accepted {
			continue
		}
		for route := range l.routes(n, nil) {
			if l.find(n, route).delivered.Load() == 0 {
				missing[route]++
			}
		}
	}
	return missing
}

// Latencies are those of the deliveries of r to the routes that keep, nil for
// all of them, from the shortest to the longest.
func (l *Ledger) Latencies(r Range, keep func(route int) bool) []time.Duration {
	var all []time.Duration
	for n := r.First; n < r.End; n++ {
		for route := range l.routes(n, keep) {
			if c := l.find(n, route); c.delivered.Load() > 0 {
				all = append(all, time.Duration(c.latency.Load())*time.Microsecond)
			}
		}
	}
	slices.Sort(all)
	return all
}

// Waits are the times that the producer waited for the answers to the accepted
// events of r, from the shortest to the longest.
func (l *Ledger) Waits(r Range) []time.Duration {
	var all []time.Duration
	for n := r.First; n < r.End; n++ {
		if e := &l.events[n]; State(e.state.Load()) == Accepted {
			all = append(all, time.Duration(e.wait.Load())*time.Microsecond)
		}
	}
	slices.Sort(all)
	return all
}

// routes yields the routes of event n that keep, nil for all of them.
func (l *Ledger) routes(n int, keep func(int) bool) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		first := l.First(n)
		for route := first; route < first+int(l.Fanout); route++ {
			if (keep == nil || keep(route)) && !yield(route) {
				return
			}
		}
	}
}
