// Package operate is what people who operate webhooks may ask and order over
// HTTP: test, attempts, redelivery, replay, dead letters.
package operate

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"github.com/postrider/postrider/dispatcher/access"
	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/dispatcher/share"
)

// Lanes make deliveries.
type Lanes interface {
	// Test attempts e once, by the route as it is now, and returns what
	// happened, whatever the receiver said. Its errors wrap
	// [deliver.ErrNoRoute], [deliver.ErrIncomplete] or [deliver.ErrBusy].
	Test(ctx context.Context, route string, e *event.Event) (deliver.Record, error)
	// Enqueue returns nil once all deliveries are durable.
	Enqueue(ctx context.Context, ds ...deliver.Deferral) error
}

// A Store keeps what was accepted, attempted and given up. What it does not
// have it answers with an error that wraps [event.ErrNotFound].
type Store interface {
	// Attempts returns at most limit records of a route before a cursor, newest
	// first, and the cursor to go on with: 0 is the newest, and no more.
	Attempts(ctx context.Context, route string, before uint64, limit int) (records []deliver.Record, next uint64, err error)

	// DeadLetters is like Attempts.
	DeadLetters(ctx context.Context, route string, before uint64, limit int) (letters []deliver.DeadLetter, next uint64, err error)
	DeadLetter(ctx context.Context, route string, id uint64) (deliver.DeadLetter, error)
	// EachDead visits the dead letters of a route, oldest first, until visit
	// returns an error, which it returns too.
	EachDead(ctx context.Context, route string, visit func(deliver.DeadLetter) error) error
	// RemoveDead returns how many it removed: those that were still there.
	RemoveDead(ctx context.Context, route string, ids ...uint64) (int, error)

	// Find returns the event with the key out of the stored message seq.
	Find(ctx context.Context, seq uint64, key event.Key) (*event.Event, error)
	// History visits the events of a namespace accepted at or after from and
	// before to, in the messages after the one named, oldest first and those of
	// one message always in the same order, until visit returns an error, which
	// it returns too. Seen is the newest message that it is done with, 0 when
	// there is none: when ctx ends it, the way goes on behind that.
	History(ctx context.Context, namespace string, from, to time.Time, after uint64, visit func(event.Stored) error) (seen uint64, err error)
}

// DefaultReplayRate is how many deliveries a second all replays and redrives of
// a dispatcher enqueue: they must not crowd out what happens now.
const DefaultReplayRate = 2000

// Options are the options of [New].
type Options struct {
	Router   *route.Current
	Lanes    Lanes
	Store    Store
	Recorder outcome.Recorder
	// Kept is how long the store keeps events, 0 when it does not know. It is
	// for texts.
	Kept       time.Duration
	ReplayRate int // deliveries a second; 0 = [DefaultReplayRate]
	Log        *slog.Logger
}

const (
	// maxGroup bounds the deliveries that are enqueued in one durable write...
	maxGroup = 256
	// ...and groupBytes the events that they hold in memory.
	groupBytes = 8 << 20
	// patience is how long a call that has much to do goes on before it answers
	// with what it did and where to go on.
	patience = 15 * time.Second

	// maxReplays and maxReplaysShare bound the replays under way, in all and of
	// one namespace: each reads the history, from disk.
	maxReplays, maxReplaysShare = 2, 1
	// maxReads and maxReadsShare bound the calls that read pages of what is
	// kept: each may hold a dozen MiB, until its caller has taken the answer.
	maxReads, maxReadsShare = 16, 8
	// maxTests bounds the tests under way, and maxTestsShare those of one
	// namespace: each holds an event in memory while its receiver takes its time.
	maxTests, maxTestsShare = 64, 8
	// maxRedrives and maxRedrivesShare bound the routes that are redriven at
	// once, in all and of one namespace. Two redrives of one route would send its
	// dead letters twice.
	maxRedrives, maxRedrivesShare = 16, 4
)

// An Operator answers the calls. Whoever may not make them must not reach it:
// see [Operator.Mount].
type Operator struct {
	Options
	pace  *rate.Limiter // of what replays and redrives enqueue
	group int           // deliveries of one write: a second's worth at most

	tests, reads, replays, redrives *share.Pool // of namespaces
	redriven                        *share.Pool // of routes

	failing rate.Sometimes // so that a failing store does not flood the log
}

// New makes an Operator.
func New(o Options) *Operator {
	perSecond := cmp.Or(o.ReplayRate, DefaultReplayRate)
	group := min(maxGroup, perSecond)
	return &Operator{
		Options:  o,
		pace:     rate.NewLimiter(rate.Limit(perSecond), group),
		group:    group,
		tests:    share.New(maxTests, maxTestsShare),
		reads:    share.New(maxReads, maxReadsShare),
		replays:  share.New(maxReplays, maxReplaysShare),
		redrives: share.New(maxRedrives, maxRedrivesShare),
		redriven: share.New(maxRedrives, 1),
		failing:  rate.Sometimes{Interval: time.Second},
	}
}

// The parts of the paths.
const (
	namespacePart = "namespace"
	namePart      = "name"
	idPart        = "id"

	namespacePath = "/v1/namespaces/{" + namespacePart + "}"
	webhookPath   = namespacePath + "/webhooks/{" + namePart + "}"
)

// Mount adds every call to mux, each behind guard, which asks for the right that
// the call needs, as [access.Gate.Guard] does.
func (o *Operator) Mount(mux *http.ServeMux, guard func(attributesOf func(*http.Request) access.Attributes, next http.Handler) http.Handler) {
	for _, c := range []struct {
		path        string
		verb        string
		subresource string
		method      string
		bound       *share.Pool // of the namespace; nil for a call that has one of its own
		call        call
	}{
		{webhookPath + "/test", "create", "test", http.MethodPost, nil, o.test},
		{webhookPath + "/deliveries", "get", "deliveries", http.MethodGet, o.reads, o.attempts},
		{webhookPath + "/deliveries/{" + idPart + "}/redeliver", "create", "replay", http.MethodPost, o.reads, o.redeliver},
		{webhookPath + "/replay", "create", "replay", http.MethodPost, nil, o.replayOne},
		{namespacePath + "/replay", "create", "replay", http.MethodPost, nil, o.replayAll},
		{webhookPath + "/dead-letters", "get", "deadletters", http.MethodGet, o.reads, o.deadLetters},
		{webhookPath + "/dead-letters/{" + idPart + "}", "get", "deadletters", http.MethodGet, o.reads, o.deadLetter},
		{webhookPath + "/dead-letters/{" + idPart + "}/redrive", "create", "replay", http.MethodPost, nil, o.redriveOne},
		{webhookPath + "/dead-letters/redrive", "create", "replay", http.MethodPost, nil, o.redriveAll},
	} {
		attributes := func(r *http.Request) access.Attributes {
			return access.Attributes{
				Verb: c.verb, Resource: "webhooks", Subresource: c.subresource,
				Namespace: r.PathValue(namespacePart), Name: r.PathValue(namePart),
			}
		}
		mux.Handle(c.path, unstored(guard(attributes, o.serve(c.method, c.bound, c.call))))
	}
}

// unstored keeps every answer out of caches, those of the guard too.
func unstored(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
