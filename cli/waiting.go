package cli

import (
	"context"
	"errors"
	"time"

	"github.com/postrider/postrider/cli/cluster"
	"github.com/postrider/postrider/cli/face"
)

// wait returns after d, or why ctx has ended.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// passing reports whether a call that has succeeded before may do so again, after a
// dispatcher was replaced or had no room.
func passing(err error) bool {
	if problem, ok := errors.AsType[*face.Problem](err); ok {
		return problem.Temporary()
	}
	if _, ok := errors.AsType[*cluster.Lack](err); ok {
		return errors.Is(err, cluster.ErrNoPod)
	}
	return true
}

// busyTries is how often a call is repeated that the dispatcher has no room for.
const busyTries = 20

// whenFree repeats call while the dispatcher asks to wait.
func whenFree[T any](ctx context.Context, p *plugin, call func() (T, error)) (T, error) {
	for n := 1; ; n++ {
		done, err := call()
		problem, ok := errors.AsType[*face.Problem](err)
		if !ok || !problem.Temporary() || n == busyTries {
			return done, err
		}
		pause := max(problem.RetryAfter, time.Second)
		p.note("%s; trying again in %s", problem.Detail, pause)
		if err := wait(ctx, pause); err != nil {
			return done, err
		}
	}
}

// sayJSON writes v on one line.
func (p *plugin) sayJSON(v any) error {
	text, err := encodeJSON(v, "")
	if err != nil {
		return err
	}
	_, err = p.Out.Write(text)
	return err
}
