package deliver

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/postrider/postrider/dispatcher/answer"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/payload"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/dispatcher/sign"
	"github.com/postrider/postrider/dispatcher/trace"
)

// An attempt is one try to deliver, from its beginning in the lane.
type attempt struct {
	delivery
	entry    *route.Entry
	plan     *plan
	unusable error // there is no plan
	host     *host // nil = no bounds
	nth      uint64
	probe    bool           // of the breaker
	test     bool           // that somebody asked for
	verdict  answer.Verdict // of a validation action that has answered

	recorded bool // in the attempt log
	skipped  int  // not recorded, right before this one
	metrics  *laneMetrics
}

// attempt makes a, and sees to what follows.
func (l *Lanes) attempt(ln *lane, a *attempt) {
	o, end, rec := l.try(l.undisturbed, a)
	a.attempts++
	if a.host != nil {
		a.host.leave(end)
	}
	next := Decide(a.entry.Retry, a.attempts, a.event.Accepted, o, end, rand.Float64()) //nolint:gosec // jitter needs no secrecy
	ln.end(end, a, o, next.Action)
	l.opts.Recorder.Attempt(ln.id, a.entry.Epoch, outcome.Attempt{
		Time: end.UTC(), EventID: a.event.ID, EventType: a.event.Type, Number: a.attempts,
	}, o)
	a.metrics.attempt(o, end.Sub(a.event.Accepted))
	if rec != nil {
		rec.Attempt, rec.Next = a.attempts, next.At
		l.opts.Log.Keep(rec)
	}
	l.report(ln, a, o)

	switch next.Action {
	case Settle:
		l.settle(ln, &a.delivery)
	case Retry:
		l.deferUntil(ln, a.delivery, next.At)
	case GiveUp:
		l.bury(ln, a.delivery, o)
	}
}

// try makes a, and tells when it ended and, if it is recorded, what of it.
func (l *Lanes) try(ctx context.Context, a *attempt) (o outcome.Outcome, end time.Time, rec *Record) {
	l.opts.Metrics.inFlight.Inc()
	start := time.Now()
	if a.recorded {
		rec = newRecord(a, start)
	}
	if a.unusable != nil {
		l.opts.Logger.Error("a route of the table cannot be used", "route", a.entry.ID, "err", a.unusable)
		o = outcome.Outcome{Reason: outcome.Unsendable, Detail: "the route cannot be used"}
	} else {
		o = l.send(ctx, a, start, rec)
	}
	end = time.Now()
	o.Took = end.Sub(start)
	l.opts.Metrics.inFlight.Dec()
	l.opts.Metrics.attempt(o)
	rec.end(o)
	return o, end, rec
}

// send sends the delivery once as the plan says. It lasts no longer than the
// timeout of the route, the answer's body included.
func (l *Lanes) send(ctx context.Context, a *attempt, now time.Time, rec *Record) (o outcome.Outcome) {
	p := a.plan
	id, body, err := a.wrap(p.form)
	if err != nil {
		detail := "the body cannot be rendered"
		if errors.Is(err, payload.ErrLarge) {
			detail = "the event is too large as XML"
		}
		return outcome.Outcome{Reason: outcome.Unsendable, Detail: detail}
	}
	timestamp, signature := p.signer.Values(id, now, body)
	var usual [7]egress.Field // as many as there are ownHeaders, and one that authorizes
	post := egress.Post{Target: p.target, Body: body, Deadline: now.Add(p.Timeout)}
	post.Fields = append(usual[:0], egress.Field{Name: headerContentType, Value: p.form.ContentType()},
		egress.Field{Name: sign.HeaderID, Value: id}, egress.Field{Name: sign.HeaderTimestamp, Value: timestamp})
	if signature != "" {
		post.Fields = append(post.Fields, egress.Field{Name: sign.HeaderSignature, Value: signature})
	}
	ctx = rec.timed(ctx)
	if l.opts.Tracer.Concerns(a.event) {
		var end func(outcome.Outcome)
		ctx, end = l.trace(ctx, a, &post)
		defer func() { end(o) }()
	}
	resp, shown, err := l.exchange(ctx, p, &post, rec)
	if err != nil {
		reason, detail := classify(err)
		return outcome.Outcome{Reason: reason, Status: resp.Status, Detail: detail}
	}
	l.opts.Metrics.connection(resp.Reused)
	o = outcome.Outcome{
		Reason: outcome.FromStatus(resp.Status), Status: resp.Status,
		RetryAfter: retryAfter(resp.Header, now),
	}
	if p.Validation != nil {
		a.hear(&o, &resp, p.seeks(&post, shown, &resp, false))
	}
	return o
}

// trace begins the span of a, and passes the context of its trace on to the receiver.
func (l *Lanes) trace(ctx context.Context, a *attempt, post *egress.Post) (context.Context, func(outcome.Outcome)) {
	header := http.Header{}
	ctx, end := l.opts.Tracer.Attempt(ctx, trace.Delivery{Event: a.event, Route: a.entry.ID, Attempt: a.attempts + 1}, header)
	for name, values := range header {
		post.Fields = append(post.Fields, egress.Field{Name: name, Value: values[0]})
	}
	return ctx, end
}

// report writes the one wide line of an attempt.
func (l *Lanes) report(ln *lane, a *attempt, o outcome.Outcome) {
	level := slog.LevelDebug
	if !o.OK() {
		level = slog.LevelInfo
	}
	if !l.opts.Logger.Enabled(l.stop, level) {
		return
	}
	l.opts.Logger.LogAttrs(l.stop, level, "attempt",
		slog.String("route", ln.id), slog.String("event", a.event.ID), slog.String("type", a.event.Type),
		slog.String("webhook_id", a.webhookID()), slog.Int("attempt", a.attempts), slog.Bool("test", a.test),
		slog.String("reason", string(o.Reason)), slog.Int("status", o.Status), slog.String("detail", o.Detail),
		slog.Duration("took", o.Took))
}
