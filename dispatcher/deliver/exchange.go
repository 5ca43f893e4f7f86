package deliver

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/postrider/postrider/dispatcher/authorize"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/outcome"
)

// exchange sends post. Where credentials change, it goes with those of now, and
// once more if the answer makes that worth while; shown is the proof that it went
// with last.
func (l *Lanes) exchange(ctx context.Context, p *plan, post *egress.Post, rec *Record) (resp egress.Response, shown *authorize.Proof, err error) {
	if p.live == nil {
		resp, err = l.once(ctx, p, post, nil, rec)
		return resp, nil, err
	}
	ctx, cancel := context.WithDeadline(ctx, post.Deadline)
	defer cancel()
	fields := post.Fields
	for again := false; ; {
		shown, err = p.live.Prove(ctx, authorize.Request{Target: p.path, Body: post.Body, Refused: shown})
		if err != nil {
			return egress.Response{}, nil, err
		}
		post.Fields = fields
		if shown != nil {
			post.Fields = append(fields, egress.Field{Name: headerAuthorization, Value: shown.Header()})
		}
		resp, err = l.once(ctx, p, post, shown, rec)
		if err != nil || !p.live.Answered(shown, resp.Status, resp.Header) || again {
			return resp, shown, err
		}
		again = true
	}
}

// once sends post as it is.
func (l *Lanes) once(ctx context.Context, p *plan, post *egress.Post, shown *authorize.Proof, rec *Record) (egress.Response, error) {
	rec.sent(p, post)
	resp, err := l.opts.Client.Post(ctx, post)
	rec.answered(p, post, shown, &resp, err)
	return resp, err
}

// classify says what an error of exchange means for the outcome.
func classify(err error) (outcome.Reason, string) {
	missing, ok := errors.AsType[*authorize.Unavailable](err)
	if !ok {
		return egress.Classify(err)
	}
	if missing.Cause == nil {
		return outcome.TokenUnavailable, missing.Detail
	}
	reason, detail := egress.Classify(missing.Cause)
	if detail == "" {
		detail = string(reason)
	}
	return outcome.TokenUnavailable, missing.Detail + ": " + detail
}

// echoes are the clues to the proof that was shown last: many requests show the
// same. The nil echoes are those of a route without.
type echoes struct{ last atomic.Pointer[echo] }

type echo struct {
	proof  *authorize.Proof
	sought sought
}

// with returns s with the clues to p, nil = there is none.
func (e *echoes) with(s sought, p *authorize.Proof) sought {
	if e == nil || p == nil {
		return s
	}
	last := e.last.Load()
	if last == nil || last.proof != p {
		last = &echo{p, seek(p.Secrets()...)}
		e.last.Store(last)
	}
	return s.and(last.sought)
}
