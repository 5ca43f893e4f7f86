package outcome

import "time"

// A Report is what one dispatcher knows. The operator fetches it with
// GET /report?since=REVISION and folds the reports of all dispatchers.
type Report struct {
	Instance string    `json:"instance"` // host name: which dispatcher this is
	Started  time.Time `json:"started"`  // of the process: revisions of another process mean nothing

	// Digest of the table in force, empty before the first one.
	Digest string `json:"digest"`
	// TableError is why the newest table was refused, empty when it was not.
	// The one named by Digest stays in force.
	TableError string `json:"tableError,omitempty"`

	// Counted says that what the store kept from before the start has been
	// counted: until then Pending and DeadLetters are too small, and LastSuccess
	// may be too old.
	Counted bool `json:"counted"`

	// Revision is what to pass as "since" next time: list once, then follow.
	Revision  uint64    `json:"revision"`
	Summaries []Summary `json:"summaries"` // of the routes that changed after "since"
}

// A Summary is what one dispatcher knows of one route since it started, but for
// LastSuccess, which it also knows from the attempt log.
type Summary struct {
	Route string `json:"route"` // "namespace/name"

	Last        *Attempt  `json:"last,omitempty"` // the newest attempt
	LastSuccess time.Time `json:"lastSuccess,omitzero"`

	LastError     string    `json:"lastError,omitempty"` // e.g. "404 Not Found"; stays after a success
	LastErrorTime time.Time `json:"lastErrorTime,omitzero"`

	// Epoch is the epoch of the route (see route.Route) that the next three
	// are about. They begin anew with another one.
	Epoch               string    `json:"epoch,omitempty"`
	ConsecutiveFailures int       `json:"consecutiveFailures"`   // attempts since the last success
	FailingSince        time.Time `json:"failingSince,omitzero"` // when the first of them ended
	Gone                time.Time `json:"gone,omitzero"`         // when the receiver said that it is (410)

	// TestPassed is when a test delivery last succeeded.
	TestPassed time.Time `json:"testPassed,omitzero"`

	// Breaker is Open or HalfOpen, empty while closed.
	Breaker BreakerState `json:"breaker,omitempty"`

	Pending int `json:"pending"` // deliveries in the memory of this dispatcher

	// These two are counted in the store, which dispatchers may share: they are
	// about all of them.
	Stored      int `json:"stored"`      // deliveries that wait there
	DeadLetters int `json:"deadLetters"` // kept dead letters
}

// BreakerState is the state of a circuit breaker.
type BreakerState string

// The states.
const (
	BreakerClosed   BreakerState = ""
	BreakerOpen     BreakerState = "Open"
	BreakerHalfOpen BreakerState = "HalfOpen" // a probe is under way
)

// An Attempt is one try to deliver one event to one route.
type Attempt struct {
	Time      time.Time     `json:"time"` // when it ended
	EventID   string        `json:"eventID"`
	EventType string        `json:"eventType"`
	Number    int           `json:"number"` // 1 for the first
	Reason    Reason        `json:"reason"`
	Status    int           `json:"status,omitempty"`
	Took      time.Duration `json:"took"` // nanoseconds
}
