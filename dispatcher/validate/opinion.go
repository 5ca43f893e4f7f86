package validate

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/postrider/postrider/dispatcher/answer"
	"github.com/postrider/postrider/dispatcher/event"
)

// A Reason is how an [Opinion] came about. Its values are API: those below, and
// those of [github.com/postrider/postrider/dispatcher/outcome.Reason] that tell why
// a receiver gave no verdict, besides ConditionFailed, when the condition of the
// webhook could not be evaluated, and Held, when the webhook lacks something.
type Reason string

// The reasons.
const (
	Consented Reason = "Consented" // the receiver says that the command is valid
	Refused   Reason = "Refused"   // the receiver says that it is not
	TimedOut  Reason = "TimedOut"  // the time for all was over before the receiver had answered
)

// An Opinion is what came of asking one validation action.
type Opinion struct {
	Webhook string        `json:"webhook"` // its name
	Valid   bool          `json:"valid"`   // it does not stand in the way of the command
	Message string        `json:"message"` // of the receiver, or why there is no verdict
	Reason  Reason        `json:"reason"`
	Status  int           `json:"status,omitzero"` // of HTTP; 0 without an answer
	Took    time.Duration `json:"duration"`
}

// answered takes what the receiver says.
func (q *question) answered(v answer.Verdict) {
	q.opinion.Valid, q.opinion.Message, q.opinion.Reason = v.IsValid, answer.Cut(v.Message, q.most), Refused
	if v.IsValid {
		q.opinion.Reason = Consented
	}
	q.conclude()
}

// settle notes that there is no verdict, and why.
func (q *question) settle(reason Reason, why string) {
	q.opinion.Valid, q.opinion.Reason = q.entry.Validation.Ignore, reason
	q.opinion.Message = answer.Cut("There is no verdict: "+why+".", answer.MaxMessage)
	q.conclude()
}

func (q *question) conclude() {
	_, q.opinion.Webhook, _ = strings.Cut(q.entry.ID, "/")
	q.settled = true
}

// verdicts count opinions.
type verdicts struct{ valid, invalid, failed, ignored prometheus.Counter }

func newVerdicts(r prometheus.Registerer) verdicts {
	all := promauto.With(r).NewCounterVec(prometheus.CounterOpts{
		Name: "postrider_validate_verdicts_total",
		Help: "What came of asking validation actions.",
	}, []string{"verdict"})
	return verdicts{
		valid: all.WithLabelValues("Valid"), invalid: all.WithLabelValues("Invalid"),
		failed: all.WithLabelValues("Failed"), ignored: all.WithLabelValues("Ignored"),
	}
}

func (v verdicts) of(o Opinion) prometheus.Counter {
	switch {
	case o.Reason == Consented:
		return v.valid
	case o.Reason == Refused:
		return v.invalid
	case o.Valid:
		return v.ignored
	default:
		return v.failed
	}
}

// note counts an opinion, and logs one that is no consent, as the editor sees it.
func (v *Validator) note(ctx context.Context, e *event.Event, q *question) {
	v.verdicts.of(q.opinion).Inc()
	if q.opinion.Reason == Consented {
		return
	}
	v.Log.LogAttrs(ctx, slog.LevelInfo, "a validation action did not consent",
		slog.String("route", q.entry.ID), slog.String("event", e.ID), slog.Bool("ignored", q.opinion.Valid),
		slog.String("reason", string(q.opinion.Reason)), slog.String("detail", q.opinion.Message))
}
