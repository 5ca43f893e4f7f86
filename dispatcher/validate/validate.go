// Package validate is the synchronous road: it asks the validation actions about a
// workflow command, all at once and within one time budget.
package validate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/postrider/postrider/dispatcher/answer"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/dispatcher/share"
)

// The time for all that is asked about one command. Sitecore allows 10 s for all
// webhooks of one request.
const (
	DefaultBudget = 10 * time.Second
	MaxBudget     = 30 * time.Second
)

const (
	// maxAsked bounds the validation actions that one command may be for: each
	// has its place in the answer.
	maxAsked = 256
	// maxAtOnce bounds those that are asked about one command at the same time.
	maxAtOnce = 64
	// maxMessages bounds the messages about one command together, in bytes: they are
	// in memory until the last has answered.
	maxMessages = 16 << 10

	// What attempts under way may keep in memory, in bytes, and those of one
	// namespace, so that it leaves room for others. Who finds no room waits, as
	// long as the budget lasts.
	maxHeld  = 32 << 20
	maxShare = 8 << 20
	// overhead is what an attempt takes besides the command: an answer and buffers.
	overhead = 64 << 10
	// copies are how often the command is in memory for an attempt: as its body,
	// and as what goes over the wire.
	copies = 2

	// maxMatching bounds the commands whose validation actions are being found, and
	// maxMatchingShare those of one namespace: the data of each is parsed for it.
	maxMatching, maxMatchingShare = 2, 1
)

// Why there is no [Result].
var (
	ErrNoTable = errors.New("there is no routing table yet")
	ErrBusy    = errors.New("the time was over before it was clear whom to ask: too many commands come at once")
)

// A Road makes attempts.
type Road interface {
	// AskAbout returns a way to ask about e, for several routes at once. It attempts
	// once, by the route with the id, to deliver e, and returns how that ended and, if
	// the outcome is OK, what the receiver says. Its error means that no attempt could
	// be made by the route as it is now; another may be later.
	AskAbout(e *event.Event) func(ctx context.Context, id string) (outcome.Outcome, answer.Verdict, error)
}

// Options are the options of [New].
type Options struct {
	Router   *route.Current
	Road     Road
	Recorder outcome.Recorder
	Metrics  prometheus.Registerer
	Log      *slog.Logger

	Budget time.Duration // for all that is asked about one command; 0 = [DefaultBudget]
	// Room is the part of the usual bounds on memory that it keeps to, for a
	// process with little of it; 0 = all.
	Room float64
}

// A Validator asks validation actions. It is safe for concurrent use.
type Validator struct {
	Options
	held     *share.Pool // bytes, of namespaces
	matching *share.Pool // commands, of namespaces
	verdicts verdicts
}

// New makes a Validator and registers its metrics.
func New(o Options) *Validator {
	o.Budget = cmp.Or(o.Budget, DefaultBudget)
	o.Room = cmp.Or(o.Room, 1)
	each := max(int64(o.Room*maxShare), 2*weight(event.MaxBody)) // the largest command, and another
	return &Validator{
		Options:  o,
		held:     share.New(max(int64(o.Room*maxHeld), 2*each), each),
		matching: share.New(maxMatching, maxMatchingShare),
		verdicts: newVerdicts(o.Metrics),
	}
}

// weight is how many bytes an attempt takes in memory, of a command of so many.
func weight(size int) int64 { return int64(copies*size + overhead) }

// weightBy is the same of an attempt by e: XML may be much larger than the command.
func weightBy(e *route.Entry, size int) int64 {
	if e.Sitecore != nil && e.Sitecore.XML {
		size *= 2
	}
	return weight(size)
}

// A Result is what came of asking about a command.
type Result struct {
	Valid    bool
	Opinions []Opinion // of each validation action that the command is for, by name
	Message  string    // why the command is not valid whatever they say, else empty
}

// Validate asks the validation actions that e, a workflow command, is for. All of
// them have to consent. A receiver that does not answer with a verdict, or not in
// time, has not, unless its route says otherwise; neither has one that is held. It
// returns when all have answered, at the end of the budget, or with the error of
// ctx when that is done; nothing is under way any more then.
func (v *Validator) Validate(ctx context.Context, e *event.Event) (Result, error) {
	router := v.Router.Load()
	if router == nil {
		return Result{}, ErrNoTable
	}
	all := router.Validations(e.Namespace)
	if len(all) == 0 {
		return Result{Valid: true}, nil
	}
	budget, cancel := context.WithTimeout(ctx, v.Budget)
	defer cancel()
	to, err := v.match(budget, all, e)
	if err != nil {
		return Result{}, cmp.Or(ctx.Err(), err)
	}
	if len(to) > maxAsked {
		return Result{Message: fmt.Sprintf("%d ValidationActions are for this command, and at most %d may be: narrow their selectors.", len(to), maxAsked)}, nil
	}
	err = v.askAll(budget, to, e)
	if err = cmp.Or(ctx.Err(), err); err != nil {
		return Result{}, err
	}
	r := Result{Valid: true, Opinions: make([]Opinion, len(to))}
	for i, q := range to {
		r.Opinions[i] = q.opinion
		r.Valid = r.Valid && q.opinion.Valid
		v.note(ctx, e, q)
	}
	return r, nil
}

// A question is a validation action that a command is for.
type question struct {
	entry   *route.Entry
	most    int // bytes of the message
	opinion Opinion
	settled bool // nobody needs to be asked
}

// match finds whom to ask.
func (v *Validator) match(ctx context.Context, all []*route.Entry, e *event.Event) ([]*question, error) {
	turn, err := v.matching.Wait(ctx, e.Namespace, 1)
	if err != nil {
		return nil, ErrBusy
	}
	defer turn.Release()
	view := route.NewView(e)
	var to []*question
	for _, entry := range all {
		if ctx.Err() != nil {
			return nil, ErrBusy
		}
		q := &question{entry: entry}
		switch selected, err := entry.Qualifies(view); {
		case err != nil:
			v.Recorder.Fault(entry.ID, outcome.ConditionFailed, err, time.Now().UTC())
			q.settle(Reason(outcome.ConditionFailed), err.Error())
		case !selected:
			continue
		case entry.Hold != "":
			q.settle(Reason(outcome.Held), entry.Hold)
		}
		to = append(to, q)
	}
	return to, nil
}

// askAll asks those that are to be asked, so many at once.
func (v *Validator) askAll(ctx context.Context, to []*question, e *event.Event) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxAtOnce)
	road := v.Road.AskAbout(e)
	for _, q := range to {
		q.most = min(answer.MaxMessage, maxMessages/len(to))
		if !q.settled {
			group.Go(func() error { return v.ask(ctx, q, e, road) })
		}
	}
	return group.Wait()
}

// ask asks by road.
func (v *Validator) ask(ctx context.Context, q *question, e *event.Event, road func(context.Context, string) (outcome.Outcome, answer.Verdict, error)) error {
	held, err := v.held.Wait(ctx, e.Namespace, weightBy(q.entry, len(e.Data)))
	if err != nil {
		q.settle(TimedOut, "its turn did not come in time")
		return nil
	}
	defer held.Release()
	start := time.Now()
	o, verdict, err := road(ctx, q.entry.ID)
	q.opinion.Took = time.Since(start)
	switch {
	case err != nil:
		return fmt.Errorf("asking %s: %w", q.entry.ID, err)
	case o.OK():
		q.answered(verdict)
	case o.Reason == outcome.Timeout && ctx.Err() != nil:
		q.settle(TimedOut, "no answer before the time for all was over")
	default:
		q.settle(Reason(o.Reason), o.String())
	}
	q.opinion.Status = o.Status
	return nil
}
