package operate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/problem"
)

// enqueued says how many deliveries are on disk.
type enqueued struct {
	Enqueued int `json:"enqueued"`
}

// redeliver sends the event of one delivery again, with the same webhook-id.
func (o *Operator) redeliver(w http.ResponseWriter, r *http.Request) (answer, error) {
	id := webhook(r)
	if err := readOrder(w, r, &struct{}{}); err != nil {
		return answer{}, err
	}
	if err := o.target(id); err != nil {
		return answer{}, err
	}
	d, err := o.lookUp(r.Context(), id, r.PathValue(namespacePart), r.PathValue(idPart))
	if err != nil {
		return answer{}, err
	}
	if err := o.Lanes.Enqueue(r.Context(), d); err != nil {
		return answer{}, fmt.Errorf("enqueueing a redelivery to %s: %w", id, err)
	}
	o.audit(r.Context(), "redeliver", id, 1)
	return answer{http.StatusAccepted, enqueued{1}}, nil
}

// errStop ends a visit that has seen enough.
var errStop = errors.New("enough")

// lookUp finds the event of a delivery: in the history or, when it is too old
// for that, among the dead letters of the route. What belongs to another
// namespace is not there.
func (o *Operator) lookUp(ctx context.Context, id, namespace, delivery string) (deliver.Deferral, error) {
	seq, key, ok := deliver.ParseDeliveryID(delivery)
	if !ok || deliver.DeliveryID(seq, key) != delivery {
		return deliver.Deferral{}, refuse(problem.DeliveryNotFound, `The path holds no id of a delivery: take a "delivery" from the list of deliveries.`)
	}
	e, err := o.Store.Find(ctx, seq, key)
	if err == nil && e.Namespace == namespace {
		return deliver.Deferral{Route: id, Seq: seq, Event: e}, nil
	}
	if err != nil && !errors.Is(err, event.ErrNotFound) {
		return deliver.Deferral{}, fmt.Errorf("looking for an event: %w", err)
	}

	found := deliver.Deferral{Route: id}
	err = o.Store.EachDead(ctx, id, func(l deliver.DeadLetter) error {
		if l.Event.Namespace != namespace || l.Event.Key() != key {
			return nil
		}
		found.Seq, found.Event = l.Seq, l.Event
		return errStop
	})
	switch {
	case found.Event != nil:
		return found, nil
	case err != nil:
		return deliver.Deferral{}, fmt.Errorf("looking for a dead letter of %s: %w", id, err)
	}
	return deliver.Deferral{}, refuse(problem.DeliveryNotFound, "The event of delivery "+strconv.Quote(delivery)+" is not kept. "+o.retention())
}

// retention says how long events are kept.
func (o *Operator) retention() string {
	if o.Kept == 0 {
		return "Events are kept while the store has room for them, those of tests not at all. Have its producer send it again."
	}
	return "Events are kept for " + brief(o.Kept) + " after they were accepted, those of dead letters for as long as the letters, and those of tests not at all. Have its producer send it again."
}

// brief writes 72h0m0s as 72h.
func brief(d time.Duration) string {
	s := d.String()
	if cut, ok := strings.CutSuffix(s, "m0s"); ok {
		s = cut + "m"
	}
	if cut, ok := strings.CutSuffix(s, "h0m"); ok {
		s = cut + "h"
	}
	return s
}
