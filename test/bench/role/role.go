// Package role is the processes of a benchmark beside the dispatcher: the
// generator that posts events, the receivers, and the two yardsticks, a relay
// that stores nothing and a client that only sends. Each takes orders on its
// standard input and has the ledger at descriptor 3.
package role

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/postrider/postrider/test/bench/ledger"
	"github.com/postrider/postrider/test/bench/proc"
)

// The roles.
const (
	Generator = "generator" // takes a Load, answers with a Tally
	Receiver  = "receiver"  // takes a Conduct, answers with its addresses, []string
	Relay     = "relay"     // takes []string, the addresses of receivers, answers with its own, string
	Client    = "client"    // takes a Stint, answers with a Tally
)

// A Conduct is how the receivers behave from now on. The zero Conduct is to
// answer 200 to everything.
type Conduct struct {
	// Dead routes, every so many of them, accept connections and requests and
	// never answer; 0 = none.
	Dead int `json:"dead,omitempty"`
	// Until this time, every second event of each type is refused with 500 and
	// Retry-After this time. What comes again must not come before it.
	RefuseUntil time.Time `json:"refuseUntil,omitzero"`
	// Spared routes, from this one on, refuse nothing; 0 = none.
	Spared int `json:"spared,omitempty"`
}

// IsDead reports whether a route never answers.
func (c Conduct) IsDead(route int) bool { return c.Dead > 0 && route%c.Dead == 0 }

// Refuses reports whether event n, one of so many groups, is refused by route
// until RefuseUntil.
func (c Conduct) Refuses(n, groups, route int) bool {
	return !c.RefuseUntil.IsZero() && (c.Spared == 0 || route < c.Spared) && n/groups%2 == 0
}

// A Load is what a generator posts: events First, First+1 and so on.
type Load struct {
	Target string `json:"target"` // host:port
	Token  string `json:"token"`
	Size   int    `json:"size"` // of an event's data, in bytes
	First  int    `json:"first"`

	Connections int           `json:"connections"`
	Events      int           `json:"events,omitempty"` // at most; 0 = as many as it gets done
	Duration    time.Duration `json:"duration"`         // at most

	// Rate is how many events per second are due to be posted, whatever the
	// answers: an open loop. 0 = the next event follows an answer, a closed
	// loop, as long as no more than Window deliveries are accepted or being
	// posted and not answered by their receivers.
	Rate   float64 `json:"rate,omitempty"`
	Window int     `json:"window,omitempty"`
}

// A Tally is what became of a load.
type Tally struct {
	Began    time.Time `json:"began"`
	Next     int       `json:"next"` // the first event that was not posted
	Accepted int       `json:"accepted"`
	Refused  int       `json:"refused"` // answered, but not with 202
	Failed   int       `json:"failed"`  // not answered
}

// A Stint is what a client sends by itself: each event from First on to each
// of its routes.
type Stint struct {
	Receivers   []string      `json:"receivers"`
	Size        int           `json:"size"` // of an event's data, in bytes
	First       int           `json:"first"`
	Connections int           `json:"connections"`
	Duration    time.Duration `json:"duration"`
}

// Play plays a role until there are no more orders.
func Play(name string, orders io.Reader, answers io.Writer) error {
	book, err := ledger.Open(os.NewFile(3, "ledger"))
	if err != nil {
		return err
	}
	if name == Generator || name == Receiver {
		// They have a small part of the machine: a second thread, and frequent
		// garbage collections, would only take more of it.
		runtime.GOMAXPROCS(1)
		debug.SetGCPercent(1000)
	}
	switch name {
	case Generator:
		return obey(orders, answers, (&generator{book}).run)
	case Receiver:
		return obey(orders, answers, (&receiver{book: book}).behave)
	case Relay:
		return obey(orders, answers, (&relay{book: book}).open)
	case Client:
		return obey(orders, answers, (&client{book: book}).run)
	default:
		return fmt.Errorf("there is no role %q", name)
	}
}

// obey does orders of type O one after the other.
func obey[O, R any](orders io.Reader, answers io.Writer, do func(O) (R, error)) error {
	return proc.Obey(orders, answers, func(text json.RawMessage) (any, error) {
		var order O
		if err := json.Unmarshal(text, &order); err != nil {
			return nil, fmt.Errorf("reading an order: %w", err)
		}
		return do(order)
	})
}

const pathPrefix = "/r/"

// URL is where route is delivered to. Routes share addresses if there are more of them.
func URL(addresses []string, route int) string {
	return "http://" + addresses[route%len(addresses)] + pathPrefix + strconv.Itoa(route)
}

// Key is the signing key of a route.
func Key(route int) []byte {
	sum := sha256.Sum256([]byte("benchmark " + strconv.Itoa(route)))
	return slices.Clone(sum[:])
}
