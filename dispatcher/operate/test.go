package operate

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/ingest"
	"github.com/postrider/postrider/dispatcher/problem"
)

// The event of a test that brings none.
const (
	testType = "postrider.test"
	testData = `{"text":"This is a test of the webhook. Nothing has happened."}`
)

// testResult says how a test delivery went.
type testResult struct {
	Passed      bool           `json:"passed"`
	Explanation string         `json:"explanation"` // what happened, and what to do
	Attempt     deliver.Record `json:"attempt"`
}

// test attempts one event, whatever patterns and condition of the webhook say.
// Neither the event nor the delivery is stored.
func (o *Operator) test(w http.ResponseWriter, r *http.Request) (answer, error) {
	id := webhook(r)
	held, ok := o.tests.Try(r.PathValue(namespacePart), 1)
	if !ok {
		return answer{}, busy("Too many tests are under way in the namespace, or in all. Send this one again in a few seconds.")
	}
	defer held.Release()
	if _, err := o.known(id); err != nil {
		return answer{}, err
	}
	e, err := readTestEvent(w, r, time.Now())
	if err != nil {
		return answer{}, err
	}
	record, err := o.Lanes.Test(r.Context(), id, e)
	if err != nil {
		return answer{}, o.untested(id, err)
	}
	o.audit(r.Context(), "test", id, 1)
	return answer{http.StatusOK, testResult{passed(&record), explain(&record), record}}, nil
}

// untested is why there was no attempt.
func (o *Operator) untested(id string, err error) error {
	switch {
	case errors.Is(err, deliver.ErrNoRoute):
		return noWebhook(id)
	case errors.Is(err, deliver.ErrIncomplete):
		why := "it has just changed"
		if e := o.Router.Load().Lookup(id); e != nil && e.Hold != "" {
			why = e.Hold
		}
		return refuse(problem.WebhookIncomplete, fmt.Sprintf("Webhook %q has not all that an attempt needs: %s. Its conditions say what to correct: kubectl describe webhook", id, why))
	case errors.Is(err, deliver.ErrBusy):
		return busy("Too many tests of the webhook are under way. Send this one again when they have ended.")
	default:
		return fmt.Errorf("testing %s: %w", id, err)
	}
}

// readTestEvent returns the one event of the request, or the default one when
// the request brings none.
func readTestEvent(w http.ResponseWriter, r *http.Request, now time.Time) (*event.Event, error) {
	body, err := readBody(w, r, event.MaxBody)
	if err != nil {
		return nil, refusal{Problem: ingest.Problem(err)}
	}
	namespace := r.PathValue(namespacePart)
	if len(body) == 0 && !hasAttributes(r.Header) {
		return &event.Event{
			Namespace: namespace, ID: uuid.Must(uuid.NewV7()).String(), Source: r.URL.Path, Type: testType,
			Time: now.UTC(), ContentType: "application/json", Data: []byte(testData), Accepted: now,
		}, nil
	}
	events, err := event.Read(r.Header, body, namespace, now)
	if err != nil {
		return nil, refusal{Problem: ingest.Problem(err)}
	}
	if len(events) != 1 {
		return nil, refuse(problem.InvalidEvent, fmt.Sprintf("A test takes one event, the body holds %d: send one, or no body.", len(events)))
	}
	return &events[0], nil
}

// hasAttributes reports whether the header is that of an event in binary mode,
// which may have no data.
func hasAttributes(header http.Header) bool {
	for name := range header {
		if strings.HasPrefix(name, "Ce-") {
			return true
		}
	}
	return false
}
