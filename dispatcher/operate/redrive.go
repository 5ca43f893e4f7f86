package operate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/problem"
)

// redriveOrder is the body of a redrive of all dead letters.
type redriveOrder struct {
	Limit *int `json:"limit"` // of deliveries in this call
}

// redriven says what one call did.
type redriven struct {
	Enqueued int `json:"enqueued"`
	// Remaining dead letters of the webhook; 0 when this call found no more,
	// else about as many.
	Remaining int `json:"remaining"`
}

// redriveOne sends one dead letter again.
func (o *Operator) redriveOne(w http.ResponseWriter, r *http.Request) (answer, error) {
	id, release, err := o.beginRedrive(w, r, &struct{}{})
	if err != nil {
		return answer{}, err
	}
	defer release()
	found, err := o.findDead(r)
	if err != nil {
		return answer{}, err
	}
	if err := o.revive(r.Context(), id, []deliver.DeadLetter{found}); err != nil {
		return answer{}, err
	}
	o.audit(r.Context(), "redrive", id, 1)
	return answer{http.StatusAccepted, enqueued{1}}, nil
}

// redriveAll sends the dead letters of a webhook again, oldest first.
func (o *Operator) redriveAll(w http.ResponseWriter, r *http.Request) (answer, error) {
	var order redriveOrder
	id, release, err := o.beginRedrive(w, r, &order)
	if err != nil {
		return answer{}, err
	}
	defer release()
	limit := defaultReplay
	if order.Limit != nil {
		limit = *order.Limit
	}
	if limit < 1 || limit > maxReplay {
		return answer{}, refuse(problem.InvalidRequest, fmt.Sprintf(`"limit" is not from 1 to %d: call again while there are "remaining" ones.`, maxReplay))
	}

	count, more, err := o.reviveOldest(r.Context(), id, limit)
	if count > 0 {
		o.audit(r.Context(), "redrive", id, count)
	}
	switch {
	case err != nil && count == 0:
		return answer{}, err
	case err != nil:
		o.complain(r.Context(), err) // the caller goes on, and meets it if it stays
	}
	return answer{http.StatusAccepted, redriven{count, o.remaining(id, more)}}, nil
}

// beginRedrive reads the order and keeps others from redriving the same route.
func (o *Operator) beginRedrive(w http.ResponseWriter, r *http.Request, order any) (id string, release func(), err error) {
	id = webhook(r)
	if err := readOrder(w, r, order); err != nil {
		return "", nil, err
	}
	if err := o.target(id); err != nil {
		return "", nil, err
	}
	namespace, ok := o.redrives.Try(r.PathValue(namespacePart), 1)
	if !ok {
		return "", nil, busy(fmt.Sprintf("Dead letters of %d webhooks of the namespace, or of many in all, are being redriven. Send the call again when one of these calls has answered.", maxRedrivesShare))
	}
	route, ok := o.redriven.Try(id, 1)
	if !ok {
		namespace.Release()
		return "", nil, busy("Dead letters of the webhook are being redriven. Send the call again when that call has answered.")
	}
	return id, func() { route.Release(); namespace.Release() }, nil
}

// reviveOldest revives up to limit dead letters that were there when it began,
// and tells whether there are more. It goes on behind the last one: what it has
// removed a replica of the store may list still.
func (o *Operator) reviveOldest(ctx context.Context, id string, limit int) (count int, more bool, err error) {
	began, last := time.Now(), uint64(0)
	for count < limit && time.Since(began) < patience {
		group, err := o.oldestDead(ctx, id, last, min(o.group, limit-count), began)
		if err != nil || len(group) == 0 {
			return count, err != nil, err
		}
		if err := o.pace.WaitN(ctx, len(group)); err != nil {
			return count, true, fmt.Errorf("waiting to enqueue: %w", err)
		}
		if err := o.revive(ctx, id, group); err != nil {
			return count, true, err
		}
		count, last = count+len(group), group[len(group)-1].ID
	}
	left, err := o.oldestDead(ctx, id, last, 1, began)
	return count, err != nil || len(left) > 0, err
}

// oldestDead returns up to n dead letters of a route, behind the one with the ID
// after, that died before a time, so that one which dies again at once is not
// revived forever.
func (o *Operator) oldestDead(ctx context.Context, id string, after uint64, n int, before time.Time) ([]deliver.DeadLetter, error) {
	var found []deliver.DeadLetter
	bytes := 0
	err := o.Store.EachDead(ctx, id, func(l deliver.DeadLetter) error {
		if l.ID <= after || !l.At.Before(before) {
			return nil
		}
		found = append(found, l)
		if bytes += len(l.Event.Data); len(found) == n || bytes >= groupBytes {
			return errStop
		}
		return nil
	})
	if err != nil && !errors.Is(err, errStop) {
		return nil, fmt.Errorf("reading the dead letters of %s: %w", id, err)
	}
	return found, nil
}

// revive enqueues dead letters and, when that is on disk, removes them: after a
// crash in between they are sent twice, and none is lost.
func (o *Operator) revive(ctx context.Context, id string, letters []deliver.DeadLetter) error {
	ds, ids := make([]deliver.Deferral, len(letters)), make([]uint64, len(letters))
	for i, l := range letters {
		ds[i], ids[i] = deliver.Deferral{Route: id, Seq: l.Seq, Event: l.Event}, l.ID
	}
	if err := o.Lanes.Enqueue(ctx, ds...); err != nil {
		return fmt.Errorf("enqueueing dead letters of %s: %w", id, err)
	}
	// The caller's leaving must not keep what is enqueued from being removed.
	removed, err := o.Store.RemoveDead(context.WithoutCancel(ctx), id, ids...)
	o.Recorder.DeadLetters(id, -removed)
	if err != nil {
		return fmt.Errorf("removing dead letters of %s that are enqueued: %w", id, err)
	}
	return nil
}

// remaining is how many dead letters a route has left, when there are more.
func (o *Operator) remaining(id string, more bool) int {
	if !more {
		return 0
	}
	summaries, _ := o.Recorder.Since(0)
	i, ok := slices.BinarySearchFunc(summaries, id, func(s outcome.Summary, id string) int { return strings.Compare(s.Route, id) })
	if !ok {
		return 1
	}
	return max(summaries[i].DeadLetters, 1)
}
