package deliver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postrider/postrider/dispatcher/answer"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
)

// ErrHalted is why no receiver is asked while the dispatcher stops.
var ErrHalted = errors.New("the dispatcher is stopping")

// AskAbout returns a way to ask receivers about e, which may be used for several
// routes at once: its bodies are made for all of them.
//
// Each call attempts once to deliver e to the route of a validation action, on the
// same road as any other, and returns how that ended and, if the receiver answered,
// what it says. Like a test it does not wait its turn; whoever calls bounds how
// many there are, so that what is asked does not wait for what is delivered.
// Unlike a test it counts as an attempt of the webhook, unless ctx is cancelled:
// that says nothing of the receiver. The errors wrap ErrNoRoute, ErrIncomplete and
// ErrHalted.
func (l *Lanes) AskAbout(e *event.Event) func(ctx context.Context, id string) (outcome.Outcome, answer.Verdict, error) {
	p := newParcel(e)
	return func(ctx context.Context, id string) (outcome.Outcome, answer.Verdict, error) {
		return l.ask(ctx, id, p)
	}
}

func (l *Lanes) ask(ctx context.Context, id string, p *parcel) (outcome.Outcome, answer.Verdict, error) {
	if r := l.opts.Router.Load(); r == nil || r.Lookup(id) == nil {
		return outcome.Outcome{}, answer.Verdict{}, ErrNoRoute
	}
	ln := l.lane(id)
	a, err := ln.beginAsk(time.Now())
	if err != nil {
		return outcome.Outcome{}, answer.Verdict{}, err
	}
	defer ln.endAsk()
	a.delivery = delivery{parcel: p}
	o, end, rec := l.try(ctx, &a)
	a.attempts = 1
	if !errors.Is(ctx.Err(), context.Canceled) {
		l.opts.Recorder.Attempt(id, a.entry.Epoch, outcome.Attempt{
			Time: end.UTC(), EventID: p.event.ID, EventType: p.event.Type, Number: a.attempts,
		}, o)
		a.metrics.attempt(o, end.Sub(p.event.Accepted))
	}
	if rec != nil {
		l.opts.Log.Keep(rec)
	}
	l.report(ln, &a, o)
	return o, a.verdict, nil
}

// beginAsk makes an attempt that neither waits for the lane nor moves it.
func (ln *lane) beginAsk(now time.Time) (a attempt, err error) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.sync()
	switch e := ln.entry; {
	case e == nil || e.Validation == nil:
		return a, ErrNoRoute
	case e.Hold != "" || !e.Complete():
		return a, fmt.Errorf("%w: %s", ErrIncomplete, e.Hold)
	case ln.in.halted.Load():
		return a, ErrHalted
	}
	a.entry = ln.entry
	a.plan, a.unusable = ln.ready()
	a.metrics = ln.series()
	if ln.in.opts.Log != nil {
		a.recorded, a.skipped = ln.allowance.take(now)
	}
	ln.asked++
	ln.in.workers.Add(1)
	return a, nil
}

func (ln *lane) endAsk() {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.asked--
	ln.in.workers.Done()
}

// hear reads what the receiver of a validation action has answered. Its message is
// for editors and the log, so it is kept without the secrets that the receiver was
// sent. To be gone is nothing that it can say: what nobody asks any more would
// refuse every command.
func (a *attempt) hear(o *outcome.Outcome, resp *egress.Response, secrets sought) {
	switch {
	case o.Reason == outcome.ReceiverGone:
		o.Reason = outcome.Rejected
	case !o.OK():
	case resp.Truncated:
		o.Reason, o.Detail = outcome.MalformedAnswer, "answer is too long"
	default:
		verdict, err := answer.Read(resp.Header.Get("Content-Type"), resp.Body)
		if err != nil {
			o.Reason, o.Detail = outcome.MalformedAnswer, err.Error() // whose texts are fixed
			return
		}
		message, isCut := strings.CutSuffix(verdict.Message, answer.Ellipsis)
		verdict.Message = secrets.scrub([]byte(message), answer.MaxMessage, isCut)
		if isCut {
			verdict.Message = answer.Cut(verdict.Message+answer.Ellipsis, answer.MaxMessage)
		}
		a.verdict = verdict
	}
}
