package operate

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/payload"
	"github.com/postrider/postrider/dispatcher/problem"
	"github.com/postrider/postrider/dispatcher/route"
)

// letter is a dead letter for its reader.
type letter struct {
	ID        string    `json:"id"`
	Delivery  string    `json:"delivery"` // see deliver.DeliveryID
	WebhookID string    `json:"webhookID"`
	EventID   string    `json:"eventID"`
	EventType string    `json:"eventType"`
	Accepted  time.Time `json:"accepted"`
	Bytes     int       `json:"bytes"` // of the event's data

	Attempts int            `json:"attempts"`
	Reason   outcome.Reason `json:"reason"` // of the last attempt, or why there was none
	Detail   string         `json:"detail,omitempty"`
	Status   int            `json:"status,omitempty"`
	At       time.Time      `json:"at"` // when it was given up

	// Event is the event in the CloudEvents JSON format, as it can be posted
	// again; nil in lists.
	Event json.RawMessage `json:"event,omitempty"`
}

func newLetter(l *deliver.DeadLetter) letter {
	key := l.Event.Key()
	return letter{
		ID: formatNumber(l.ID), Delivery: deliver.DeliveryID(l.Seq, key), WebhookID: key.String(),
		EventID: l.Event.ID, EventType: l.Event.Type, Accepted: l.Event.Accepted.UTC(), Bytes: len(l.Event.Data),
		Attempts: l.Attempts, Reason: l.Why.Reason, Detail: l.Why.Detail, Status: l.Why.Status, At: l.At.UTC(),
	}
}

// deadLetters lists the dead letters of a webhook, newest first, without what
// their events hold.
func (o *Operator) deadLetters(_ http.ResponseWriter, r *http.Request) (answer, error) {
	page, err := readPage(r.URL.Query())
	if err != nil {
		return answer{}, err
	}
	id := webhook(r)
	found, next, err := o.Store.DeadLetters(r.Context(), id, page.before, page.limit)
	if err != nil {
		return answer{}, fmt.Errorf("reading the dead letters of %s: %w", id, err)
	}
	if err := o.emptyOf(id, len(found), page, next); err != nil {
		return answer{}, err
	}
	letters := make([]letter, len(found))
	for i := range found {
		letters[i] = newLetter(&found[i])
	}
	return answer{http.StatusOK, newList(letters, next)}, nil
}

// deadLetter shows one dead letter with its event.
func (o *Operator) deadLetter(_ http.ResponseWriter, r *http.Request) (answer, error) {
	found, err := o.findDead(r)
	if err != nil {
		return answer{}, err
	}
	shown := newLetter(&found)
	if shown.Event, _, err = payload.Render(&route.Route{Format: route.FormatCloudEvents}, found.Event); err != nil {
		return answer{}, fmt.Errorf("showing a dead letter of %s: %w", found.Route, err)
	}
	return answer{http.StatusOK, shown}, nil
}

// findDead returns the dead letter that the path names.
func (o *Operator) findDead(r *http.Request) (deliver.DeadLetter, error) {
	id := webhook(r)
	number, ok := parseNumber(r.PathValue(idPart))
	if !ok {
		return deliver.DeadLetter{}, refuse(problem.DeadLetterNotFound, `The path holds no id of a dead letter: take an "id" from the list of dead letters.`)
	}
	found, err := o.Store.DeadLetter(r.Context(), id, number)
	if err == nil && (found.Route != id || found.Event.Namespace != r.PathValue(namespacePart)) {
		err = event.ErrNotFound
	}
	if errors.Is(err, event.ErrNotFound) {
		return deliver.DeadLetter{}, refuse(problem.DeadLetterNotFound, "Webhook "+strconv.Quote(id)+" has no dead letter "+formatNumber(number)+": it was redriven, or removed for its age. List those that there are.")
	}
	if err != nil {
		return deliver.DeadLetter{}, fmt.Errorf("reading a dead letter of %s: %w", id, err)
	}
	return found, nil
}
