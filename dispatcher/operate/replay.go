package operate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/problem"
	"github.com/postrider/postrider/dispatcher/route"
)

const (
	// How many deliveries one call may make: few enough that it answers soon.
	defaultReplay, maxReplay = 1000, 10_000
	// maxExamined bounds the events that one call looks at.
	maxExamined = 100_000
)

// replayOrder is the body of a replay.
type replayOrder struct {
	From   time.Time `json:"from"`   // of acceptance, inclusive
	To     time.Time `json:"to"`     // exclusive; absent = now, or that of the cursor
	Types  []string  `json:"types"`  // patterns as in a webhook; none = all
	DryRun bool      `json:"dryRun"` // count only
	Limit  *int      `json:"limit"`  // of deliveries in this call
	Cursor string    `json:"cursor"` // "next" of the call before
}

// A selection is an order that makes sense: what to replay, and how much of it
// in this call.
type selection struct {
	namespace string
	only      string // route id; empty = every webhook of the namespace
	from, to  time.Time
	types     []string
	dryRun    bool
	limit     int
	start     position
}

// replayResult says what one call did. Next is there when it did not reach the
// end of the range.
type replayResult struct {
	Events     int    `json:"events"`     // of the range and the types
	Deliveries int    `json:"deliveries"` // that they make
	Enqueued   *int   `json:"enqueued,omitempty"`
	DryRun     bool   `json:"dryRun,omitempty"`
	Next       string `json:"next,omitempty"`
}

// replayOne replays what one webhook would get now.
func (o *Operator) replayOne(w http.ResponseWriter, r *http.Request) (answer, error) {
	id := webhook(r)
	if err := o.target(id); err != nil {
		return answer{}, err
	}
	return o.replay(w, r, id, id)
}

// replayAll replays what every webhook of a namespace would get now.
func (o *Operator) replayAll(w http.ResponseWriter, r *http.Request) (answer, error) {
	return o.replay(w, r, "", r.PathValue(namespacePart))
}

// replay is about object: the webhook only, or else a namespace.
func (o *Operator) replay(w http.ResponseWriter, r *http.Request, only, object string) (answer, error) {
	router, err := o.router()
	if err != nil {
		return answer{}, err
	}
	var order replayOrder
	if err := readOrder(w, r, &order); err != nil {
		return answer{}, err
	}
	s, err := order.selection(time.Now())
	if err != nil {
		return answer{}, err
	}
	s.namespace, s.only = r.PathValue(namespacePart), only
	held, ok := o.replays.Try(s.namespace, 1)
	if !ok {
		return answer{}, busy(fmt.Sprintf("A replay is under way in the namespace, or %d are in all. Send this one again when it has answered.", maxReplays))
	}
	defer held.Release()

	p := &pass{selection: s, router: router, enqueue: o.enqueuePaced, group: o.group, began: time.Now()}
	result, err := p.run(r.Context(), o.Store)
	if !s.dryRun && p.enqueued > 0 {
		o.audit(r.Context(), "replay", object, p.enqueued)
	}
	switch {
	case err != nil && result.Next == "":
		return answer{}, fmt.Errorf("replaying %s: %w", object, err)
	case err != nil:
		o.complain(r.Context(), err) // the caller goes on where it stopped, and meets it if it stays
	}
	if s.dryRun {
		return answer{http.StatusOK, result}, nil
	}
	return answer{http.StatusAccepted, result}, nil
}

// selection judges an order.
func (order *replayOrder) selection(now time.Time) (selection, error) {
	s := selection{from: order.From, to: order.To, types: order.Types, dryRun: order.DryRun, limit: defaultReplay}
	if order.Cursor != "" {
		c, ok := parseCursor(order.Cursor)
		if !ok {
			return s, refuse(problem.InvalidRequest, `"cursor" is none: send the "next" of the call before, or leave it out to begin.`)
		}
		s.start = c.position
		if s.to.IsZero() {
			s.to = c.to
		}
	}
	if s.to.IsZero() {
		s.to = now
	}
	if order.Limit != nil {
		s.limit = *order.Limit
	}
	switch {
	case s.from.IsZero():
		return s, refuse(problem.InvalidRequest, `"from" is missing: say from when on, like "2026-01-31T12:00:00Z".`)
	case !s.from.Before(s.to):
		return s, refuse(problem.InvalidRequest, `"from" is not before "to", which is now when it is absent: correct one of them.`)
	case s.to.Year() >= 2200: // a cursor has nanoseconds
		return s, refuse(problem.InvalidRequest, `"to" is too far away: leave it out for now.`)
	case s.limit < 1 || s.limit > maxReplay:
		return s, refuse(problem.InvalidRequest, fmt.Sprintf(`"limit" is not from 1 to %d: go on with "next" for more.`, maxReplay))
	}
	if err := route.CheckEvents(s.types); err != nil {
		return s, refuse(problem.InvalidRequest, `"types": `+err.Error()+".")
	}
	return s, nil
}

// enqueuePaced enqueues one group of deliveries when it is its turn.
func (o *Operator) enqueuePaced(ctx context.Context, ds []deliver.Deferral) error {
	if err := o.pace.WaitN(ctx, len(ds)); err != nil {
		return fmt.Errorf("waiting to enqueue: %w", err)
	}
	return o.Lanes.Enqueue(ctx, ds...)
}

// A pass is one call's way through the history.
type pass struct {
	selection
	router  *route.Router
	enqueue func(context.Context, []deliver.Deferral) error
	group   int // deliveries of one write
	began   time.Time

	at       position // behind the newest event that was seen
	examined int
	result   replayResult
	enqueued int

	open   []deliver.Deferral // not enqueued yet
	bytes  int                // of their events
	found  []*route.Entry     // reused
	stored mark
}

// A mark is what the caller may be told after a failure: everything before it is
// enqueued.
type mark struct {
	position
	result             replayResult
	examined, enqueued int
}

// run goes on from s.start until a limit is met or the range ends. When it fails
// after it has got somewhere, its result says how far, with a Next.
func (p *pass) run(ctx context.Context, store Store) (replayResult, error) {
	after := p.start.seq
	if after > 0 {
		after-- // of the message itself, something may be left
	}
	// Where others have much and the namespace has nothing, there is a long way
	// without a visit.
	reading, stop := context.WithDeadline(ctx, p.began.Add(patience))
	defer stop()
	var visited error
	seen, err := store.History(reading, p.namespace, p.from, p.to, after, func(st event.Stored) error {
		visited = p.visit(ctx, st)
		return visited
	})
	ended := err == nil
	switch {
	case errors.Is(err, errStop):
		err = nil
	case err != nil && visited == nil && seen > after && reading.Err() != nil && ctx.Err() == nil:
		err, p.at = nil, position{seq: seen + 1}
	}
	if err == nil {
		err = p.flush(ctx)
	}
	if err != nil {
		return p.soFar(), err
	}
	if !ended {
		p.result.Next = cursor{p.at, p.to}.String()
	}
	return p.closed(p.result, p.enqueued), nil
}

// soFar is what is surely enqueued after a failure, without a Next when that is
// nothing.
func (p *pass) soFar() replayResult {
	m := p.stored
	if m.examined == 0 {
		return replayResult{}
	}
	m.result.Next = cursor{m.position, p.to}.String()
	return p.closed(m.result, m.enqueued)
}

func (p *pass) closed(r replayResult, enqueued int) replayResult {
	r.DryRun = p.dryRun
	if !p.dryRun {
		r.Enqueued = &enqueued
	}
	return r
}

// visit counts and enqueues what one event makes, or returns errStop before it.
func (p *pass) visit(ctx context.Context, st event.Stored) error {
	here := p.at
	if here.seq != st.Seq {
		here = position{seq: st.Seq}
	}
	next := position{here.seq, here.done + 1}
	if here.seq == p.start.seq && here.done < p.start.done {
		p.at = next
		return nil
	}
	if len(p.open) == 0 {
		p.stored = mark{here, p.result, p.examined, p.enqueued}
	}
	if p.examined > 0 && (p.examined == maxExamined || time.Since(p.began) > patience) {
		p.at = here
		return errStop
	}
	if p.selects(st.Event) {
		entries := p.matches(st.Event)
		if p.result.Deliveries > 0 && p.result.Deliveries+len(entries) > p.limit {
			p.at = here
			return errStop
		}
		p.result.Events++
		p.result.Deliveries += len(entries)
		if err := p.add(ctx, st, entries); err != nil {
			return err
		}
	}
	p.examined++
	p.at = next
	return nil
}

func (p *pass) selects(e *event.Event) bool {
	return e.Namespace == p.namespace && !e.Accepted.Before(p.from) && e.Accepted.Before(p.to) &&
		(len(p.types) == 0 || route.Selects(p.types, e.Type))
}

// matches returns the routes that e goes to now.
func (p *pass) matches(e *event.Event) []*route.Entry {
	candidates := p.router.Match(p.found[:0], e.Namespace, e.Type)
	p.found = candidates
	view := route.NewView(e)
	matching := candidates[:0]
	for _, c := range candidates {
		if p.only != "" && c.ID != p.only || dormant(c) {
			continue
		}
		// A condition that cannot be evaluated does not hold, as in fanout.
		if holds, err := c.Qualifies(view); err == nil && holds {
			matching = append(matching, c)
		}
	}
	return matching
}

// add opens a delivery for each route, and enqueues full groups.
func (p *pass) add(ctx context.Context, st event.Stored, entries []*route.Entry) error {
	if p.dryRun {
		return nil
	}
	for _, e := range entries {
		p.open = append(p.open, deliver.Deferral{Route: e.ID, Seq: st.Seq, Event: st.Event})
		p.bytes += len(st.Event.Data)
		if len(p.open) == p.group || p.bytes >= groupBytes {
			if err := p.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *pass) flush(ctx context.Context) error {
	if len(p.open) == 0 {
		return nil
	}
	if err := p.enqueue(ctx, p.open); err != nil {
		return err
	}
	p.enqueued += len(p.open)
	clear(p.open) // so that its events can be forgotten
	p.open, p.bytes = p.open[:0], 0
	return nil
}
