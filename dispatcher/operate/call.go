package operate

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/postrider/postrider/dispatcher/access"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/problem"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/dispatcher/share"
)

// A call answers one request. Its error is a refusal, or says that the store or
// the lanes failed.
type call func(w http.ResponseWriter, r *http.Request) (answer, error)

// An answer is a status and what is said as JSON.
type answer struct {
	status int
	body   any
}

// A refusal is an error for the caller.
type refusal struct {
	problem.Problem
	retryAfter time.Duration // 0 = not said
}

func (r refusal) Error() string { return r.Detail }

func refuse(name problem.Name, detail string) refusal {
	return refusal{Problem: problem.Problem{Name: name, Detail: detail}}
}

// retrySoon is after how long to try again what fails for a short while.
const retrySoon = 5 * time.Second

func busy(detail string) refusal {
	return refusal{problem.Problem{Name: problem.TooManyCalls, Detail: detail}, retrySoon}
}

// answerTime bounds how long a caller may take its time with an answer, which is
// in memory until then.
const answerTime = 30 * time.Second

// serve makes a handler for requests of the method, of which bound, if there is
// one, says how many there may be at once.
func (o *Operator) serve(method string, bound *share.Pool, c call) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method {
			w.Header().Set("Allow", method)
			problem.Write(w, problem.Problem{Name: problem.MethodNotAllowed, Detail: "Send " + method + "."})
			return
		}
		if bound != nil {
			held, ok := bound.Try(r.PathValue(namespacePart), 1)
			if !ok {
				o.fail(w, r, busy("Too many such calls are under way in the namespace, or in all. Send this one again in a few seconds."))
				return
			}
			defer held.Release()
		}
		a, err := c(w, r)
		if err != nil {
			o.fail(w, r, err)
			return
		}
		// Without a connection beneath, as in a recorder, there is nothing to bound.
		connection := http.NewResponseController(w)
		_ = connection.SetWriteDeadline(time.Now().Add(answerTime))
		defer func() { _ = connection.SetWriteDeadline(time.Time{}) }() // for the next call
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(a.status)
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		_ = encoder.Encode(a.body) // a caller that has gone asks again
	})
}

// fail answers with what went wrong.
func (o *Operator) fail(w http.ResponseWriter, r *http.Request, err error) {
	refused, ok := errors.AsType[refusal](err)
	switch {
	case ok:
	case errors.Is(err, event.ErrFull):
		refused = refusal{problem.Problem{
			Name:   problem.StoreFull,
			Detail: "Nothing more was enqueued: deliveries that their receivers do not take fill the store. Send the call again later.",
		}, 2 * retrySoon}
	default:
		o.complain(r.Context(), err)
		refused = refusal{problem.Problem{
			Name:   problem.Unavailable,
			Detail: "The dispatcher could not do it, or not all of it. Send the call again later: what was enqueued may then be sent twice, with the same webhook-id.",
		}, retrySoon}
	}
	if refused.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(refused.retryAfter.Seconds())))
	}
	problem.Write(w, refused.Problem)
}

// complain logs a failure that is ours, unless the caller has just gone.
func (o *Operator) complain(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	o.failing.Do(func() {
		o.Log.LogAttrs(ctx, slog.LevelError, "a call about webhooks failed", slog.Any("err", err))
	})
}

// audit logs who ordered what. object is a webhook, "namespace/name", or a
// namespace; count is how many deliveries that made.
func (o *Operator) audit(ctx context.Context, action, object string, count int) {
	o.Log.LogAttrs(ctx, slog.LevelInfo, "ordered", slog.String("user", access.User(ctx)),
		slog.String("action", action), slog.String("object", object), slog.Int("count", count))
}

// webhook is the id of the route that a path names.
func webhook(r *http.Request) string {
	return r.PathValue(namespacePart) + "/" + r.PathValue(namePart)
}

// router returns the table in force.
func (o *Operator) router() (*route.Router, error) {
	if router := o.Router.Load(); router != nil {
		return router, nil
	}
	return nil, refusal{problem.Problem{
		Name: problem.TableUnavailable, Detail: "The dispatcher has just started and has no routing table yet. Send the call again later.",
	}, retrySoon}
}

func noWebhook(id string) refusal {
	return refuse(problem.WebhookNotFound, "The table in force has no webhook "+strconv.Quote(id)+". One that was just created is there within seconds; look at: kubectl get webhooks")
}

// known returns the route of id in the table in force, or a refusal.
func (o *Operator) known(id string) (*route.Entry, error) {
	router, err := o.router()
	if err != nil {
		return nil, err
	}
	if e := router.Lookup(id); e != nil {
		return e, nil
	}
	return nil, noWebhook(id)
}

// target fails unless the route of id is there and would attempt what it is
// given, now or once its references resolve. To one that is disabled or makes no
// sense nothing is sent: it would die while it waits.
func (o *Operator) target(id string) error {
	e, err := o.known(id)
	switch {
	case err != nil:
	case e.Validation != nil:
		err = refuse(problem.InvalidRequest, "Webhook "+strconv.Quote(id)+" is a ValidationAction: it is asked about workflow commands when they come, and nothing is sent to it again.")
	case dormant(e):
		err = refuse(problem.WebhookDisabled, "Webhook "+strconv.Quote(id)+" takes no deliveries: "+e.Hold+". Enable or correct it, wait until it is Ready, and send the call again.")
	}
	return err
}

// dormant reports whether a route is held although nothing that it refers to is
// missing: it is disabled, or selects nothing because its spec makes no sense.
func dormant(e *route.Entry) bool {
	return e.Hold != "" && (e.Complete() || len(e.Events) == 0)
}
