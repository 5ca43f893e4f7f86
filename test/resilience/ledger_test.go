package resilience_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

// A ledger is the model: what each route is owed, and what its receiver says
// it got. It knows nothing of how the dispatcher works.
//
//	accepted = delivered + dead + still pending
//
// What was answered with 202 is owed to every route that selects it and that
// was in force when the event was first posted, for as long as that route stays.
type ledger struct {
	mu       sync.Mutex
	clock    int // counts the events that were begun
	accepted int
	accounts map[string]*account // by route
}

// An account is the ledger of one route.
type account struct {
	selects map[string]bool // types; nil = all
	since   int             // events begun earlier are not owed
	owed    map[string]bool // by webhook-id
	took    map[string]int  // how often the receiver took it
	refused map[string]bool // it told that it wants no more: a dead letter
}

// A promise is an event on its way to be accepted.
type promise struct {
	kind  string
	begun int
}

func newLedger() *ledger { return &ledger{accounts: map[string]*account{}} }

// open begins the account of a route that is in force and selects the types,
// or all of them. Whatever an earlier route of this name was owed has gone with it.
func (l *ledger) open(route string, types ...string) *ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(route)
	a.since, a.owed, a.selects = l.clock, map[string]bool{}, nil
	for _, typ := range types {
		if a.selects == nil {
			a.selects = map[string]bool{}
		}
		a.selects[typ] = true
	}
	return l
}

// close ends the account of a route that is about to be removed.
func (l *ledger) close(route string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.account(route).owed = nil
}

// account returns that of a route. The ledger is locked.
func (l *ledger) account(route string) *account {
	a := l.accounts[route]
	if a == nil {
		a = &account{took: map[string]int{}, refused: map[string]bool{}}
		l.accounts[route] = a
	}
	return a
}

// begin notes that an event is about to be posted for the first time.
func (l *ledger) begin(kind string) promise {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock++
	return promise{kind: kind, begun: l.clock}
}

// accept notes a 202.
func (l *ledger) accept(p promise, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted++
	for _, a := range l.accounts {
		if a.owed != nil && p.begun > a.since && (a.selects == nil || a.selects[p.kind]) {
			a.owed[id] = true
		}
	}
}

// take notes that the receiver of a route answered 2xx.
func (l *ledger) take(route, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.account(route).took[id]++
}

// refuse notes that the receiver of a route answered 410.
func (l *ledger) refuse(route, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.account(route).refused[id] = true
}

// count is the number of accepted events.
func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.accepted
}

// A balance is what the ledger says of one route.
type balance struct {
	owed, delivered int
	refused         []string // not delivered, and the receiver wanted no more
	missing         []string // neither
	again           int      // requests that were taken beyond the first of their id
}

// balances closes the books for now.
func (l *ledger) balances() map[string]balance {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[string]balance{}
	for route, a := range l.accounts {
		b := balance{owed: len(a.owed)}
		for id := range a.owed {
			switch {
			case a.took[id] > 0:
				b.delivered++
			case a.refused[id]:
				b.refused = append(b.refused, id)
			default:
				b.missing = append(b.missing, id)
			}
		}
		for _, n := range a.took {
			b.again += n - 1
		}
		slices.Sort(b.refused)
		slices.Sort(b.missing)
		all[route] = b
	}
	return all
}

// missing is how much is owed and has neither arrived nor been refused.
func (l *ledger) missing() (n int) {
	for _, b := range l.balances() {
		n += len(b.missing)
	}
	return n
}

// settle fails the test unless the books agree: all that was accepted was
// delivered or is dead. dead is what the dispatcher keeps as dead letters.
func (l *ledger) settle(tb testing.TB, dead letters) {
	tb.Helper()
	for route, b := range l.balances() {
		tb.Logf("%-16s owed %5d = delivered %5d + dead %3d, lost %d; taken again %d, dead letters kept %d",
			route, b.owed, b.delivered, len(b.refused), len(b.missing), b.again, len(dead[route]))
	}
	for _, wrong := range l.wrongs(dead) {
		tb.Error(wrong)
	}
}

// wrongs says where the books do not agree. A delivery may have been taken and
// be a dead letter too, when the dispatcher was killed in between, so there may
// be more dead letters than the receivers know of, and never less.
func (l *ledger) wrongs(dead letters) (wrongs []string) {
	for route, b := range l.balances() {
		if n := len(b.missing); n > 0 {
			wrongs = append(wrongs, fmt.Sprintf("%s has lost %d of %d deliveries: %v", route, n, b.owed, b.missing[:min(n, 10)]))
		}
		unkept := slices.DeleteFunc(b.refused, func(id string) bool { return dead[route][id] })
		if n := len(unkept); n > 0 {
			wrongs = append(wrongs, fmt.Sprintf("%s has no dead letter of %d deliveries that were refused for good: %v", route, n, unkept[:min(n, 10)]))
		}
	}
	return wrongs
}
