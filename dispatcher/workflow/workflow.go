// Package workflow takes workflow commands over HTTP: it has the validation actions
// asked, and stores the command, when nobody stands in its way, for the submit
// actions.
package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/postrider/postrider/dispatcher/access"
	"github.com/postrider/postrider/dispatcher/answer"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/ingest"
	"github.com/postrider/postrider/dispatcher/problem"
	"github.com/postrider/postrider/dispatcher/share"
	"github.com/postrider/postrider/dispatcher/validate"
)

// Pattern is where a [Handler] is to be found on a [http.ServeMux], for every
// method: it answers other methods than POST itself.
const Pattern = "/v1/namespaces/{" + namespacePart + "}/workflow-commands"

const namespacePart = "namespace"

// Attributes say what a caller of the request wants to do.
func Attributes(r *http.Request) access.Attributes {
	return access.Attributes{Verb: "create", Resource: "workflowcommands", Namespace: r.PathValue(namespacePart)}
}

// After how long a caller is asked to try again: as those who post events are.
const (
	retryFull        = 10 * time.Second
	retryUnavailable = 5 * time.Second
)

const (
	// What commands under way may take up: bytes of those in memory, and of those
	// of one namespace, so that it leaves room for others.
	maxHeld  = 16 << 20
	maxShare = 4 << 20
	// overhead is what a command takes besides: its verdict, and those who wait for it.
	overhead = 32 << 10
	// copies are how often a command is in memory: as it came, and as an event.
	copies = 2

	// bodyTime is how long a body may take, and answerTime how long a caller may take
	// with the answer.
	bodyTime   = 10 * time.Second
	answerTime = 30 * time.Second

	// maxMessage bounds what an editor is told, in bytes.
	maxMessage = 4 << 10
)

// A Store keeps events.
type Store interface {
	// Append returns nil once all events are durable. It returns an error that wraps
	// [event.ErrFull] when it has no room and stored nothing; any other error leaves
	// open whether events were stored.
	Append(ctx context.Context, events []event.Event) error
}

// A Validator asks validation actions, as [validate.Validator] does.
type Validator interface {
	Validate(ctx context.Context, e *event.Event) (validate.Result, error)
}

// Options are the options of [New].
type Options struct {
	Store     Store
	Validator Validator
	// Seen reports whether the event with the key was stored lately: then it would
	// not be stored again.
	Seen func(event.Key) bool
	// Check reports what the data of the event lacks, for the caller; nil = it is
	// not looked at.
	Check   func(*event.Event) error
	Metrics prometheus.Registerer
	Log     *slog.Logger

	// Room is the part of the usual bounds on memory that it keeps to, for a
	// process with little of it; 0 = all.
	Room float64
}

// A Handler takes workflow commands over HTTP. Whoever may not send them must not
// reach it: it does not ask who is calling.
type Handler struct {
	Options
	held    *share.Pool // bytes, of namespaces
	metrics metrics
	failing rate.Sometimes // so that a failing store does not flood the log
}

// New makes a Handler and registers its metrics.
func New(o Options) *Handler {
	if o.Room == 0 {
		o.Room = 1
	}
	each := max(int64(o.Room*maxShare), weight(event.MaxBody))
	return &Handler{
		Options: o, metrics: newMetrics(o.Metrics), failing: rate.Sometimes{Interval: time.Second},
		held: share.New(max(int64(o.Room*maxHeld), 2*each), each),
	}
}

// weight is how many bytes a command of so many takes in memory.
func weight(size int64) int64 { return copies*size + overhead }

// A reply is the answer to a command.
type reply struct {
	ID          string             `json:"id"`
	Valid       bool               `json:"valid"`
	Submitted   bool               `json:"submitted"`          // the submit actions will be told
	Repeated    bool               `json:"repeated,omitempty"` // it had been submitted before
	Message     string             `json:"message"`            // for the editor, "" when the command is valid
	Validations []validate.Opinion `json:"validations"`
}

// ServeHTTP answers one command.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	result := h.serve(w, r, start)
	h.metrics.observe(result, time.Since(start))
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, now time.Time) Result {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		problem.Write(w, problem.Problem{Name: problem.MethodNotAllowed, Detail: "Send a workflow command with POST."})
		return Invalid
	}
	held, ok := h.hold(r)
	if !ok {
		retryAfter(w, retryUnavailable)
		problem.Write(w, problem.Problem{
			Name:   problem.TooManyCalls,
			Detail: "Nobody was asked, and nothing was submitted: too many commands of the namespace, or of all, are under way. Send this one again in a few seconds.",
		})
		return Unavailable
	}
	defer held.Release()
	e, refused := h.read(w, r, now)
	if refused == nil {
		refused = h.check(e)
	}
	if refused != nil {
		problem.Write(w, *refused)
		return Invalid
	}
	if h.Seen(e.Key()) {
		write(w, reply{ID: e.ID, Valid: true, Submitted: true, Repeated: true, Validations: []validate.Opinion{}})
		return Repeated
	}
	verdict, err := h.Validator.Validate(r.Context(), e)
	if err != nil {
		return h.undecided(w, r, err)
	}
	if verdict.Opinions == nil {
		verdict.Opinions = []validate.Opinion{}
	}
	if !verdict.Valid {
		write(w, reply{ID: e.ID, Message: messageOf(&verdict), Validations: verdict.Opinions})
		return Refused
	}
	if err := h.submit(r.Context(), e); err != nil {
		return h.unsubmitted(w, r, err)
	}
	write(w, reply{ID: e.ID, Valid: true, Submitted: true, Validations: verdict.Opinions})
	return Submitted
}

// hold takes room for a command, if there is any.
func (h *Handler) hold(r *http.Request) (share.Hold, bool) {
	size := r.ContentLength
	if size < 0 || size > event.MaxBody {
		size = event.MaxBody
	}
	return h.held.Try(r.PathValue(namespacePart), weight(size))
}

// read returns the command of a request as an event.
func (*Handler) read(w http.ResponseWriter, r *http.Request, now time.Time) (*event.Event, *problem.Problem) {
	if refused := checkMedia(r.Header.Get("Content-Type")); refused != nil {
		return nil, refused
	}
	// Without a connection beneath, as in a recorder, there is nothing to bound.
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(time.Now().Add(bodyTime))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, event.MaxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge()
	}
	if err != nil {
		p := ingest.Problem(err)
		return nil, &p
	}
	// Else net/http would take the deadline, while receivers take their time, for a
	// caller that has left.
	_ = connection.SetReadDeadline(time.Time{})
	return read(body, r.PathValue(namespacePart), now)
}

// check refuses a command with data that receivers would not expect.
func (h *Handler) check(e *event.Event) *problem.Problem {
	if h.Check == nil {
		return nil
	}
	if err := h.Check(e); err != nil {
		return refuse("%v. (In the event that receivers get, \"item\" is DataItem, and the other members begin with a capital.)", err)
	}
	return nil
}

// submit stores e, which is accepted by that, unless the caller has left: then it
// does not know of the verdict, and will not carry the command out.
func (h *Handler) submit(ctx context.Context, e *event.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	accepted := *e
	accepted.Accepted = time.Now()
	return h.Store.Append(ctx, []event.Event{accepted})
}

// undecided answers when there is no verdict.
func (h *Handler) undecided(w http.ResponseWriter, r *http.Request, err error) Result {
	retryAfter(w, retryUnavailable)
	switch {
	case errors.Is(err, validate.ErrNoTable):
		problem.Write(w, problem.Problem{
			Name:   problem.TableUnavailable,
			Detail: "Nobody was asked, and nothing was submitted: the dispatcher has just started and does not know the webhooks yet. Do not carry the command out; send it again later.",
		})
	case errors.Is(err, validate.ErrBusy):
		problem.Write(w, problem.Problem{
			Name:   problem.TooManyCalls,
			Detail: "Nobody was asked, and nothing was submitted: finding out whom to ask took too long. Do not carry the command out; send it again in a few seconds.",
		})
	default:
		problem.Write(w, problem.Problem{
			Name:   problem.Unavailable,
			Detail: "Not everybody could be asked, and nothing was submitted: a webhook has just changed, or the dispatcher is stopping. Do not carry the command out; send it again later.",
		})
	}
	if r.Context().Err() != nil {
		return Abandoned
	}
	h.Log.LogAttrs(r.Context(), slog.LevelInfo, "a workflow command could not be validated", slog.Any("err", err))
	return Unavailable
}

// unsubmitted answers when nobody stands in the way of a command, and the store did
// not take it.
func (h *Handler) unsubmitted(w http.ResponseWriter, r *http.Request, err error) Result {
	if errors.Is(err, event.ErrFull) {
		retryAfter(w, retryFull)
		problem.Write(w, problem.Problem{
			Name:   problem.StoreFull,
			Detail: "Nothing was submitted: deliveries that their receivers do not take fill the store. Do not carry the command out; send it again later, with the same id.",
		})
		return Full
	}
	retryAfter(w, retryUnavailable)
	problem.Write(w, problem.Problem{
		Name:   problem.StoreUnavailable,
		Detail: "The command may or may not have been submitted. Do not carry it out; send the same again later, with the same id: what was submitted is not submitted twice.",
	})
	if r.Context().Err() != nil {
		return Abandoned
	}
	h.failing.Do(func() {
		h.Log.LogAttrs(r.Context(), slog.LevelError, "a workflow command could not be stored", slog.Any("err", err))
	})
	return Unavailable
}

// messageOf tells an editor why a command was refused.
func messageOf(r *validate.Result) string {
	if r.Message != "" {
		return r.Message
	}
	var lines []string
	for _, o := range r.Opinions {
		switch {
		case o.Valid:
		case o.Message == "":
			lines = append(lines, o.Webhook+" refuses the command.")
		default:
			lines = append(lines, o.Webhook+": "+o.Message)
		}
	}
	return answer.Cut(strings.Join(lines, "\n"), maxMessage)
}

func write(w http.ResponseWriter, a reply) {
	// As above.
	connection := http.NewResponseController(w)
	_ = connection.SetWriteDeadline(time.Now().Add(answerTime))
	defer func() { _ = connection.SetWriteDeadline(time.Time{}) }() // for the next call
	w.Header().Set("Content-Type", mediaJSON)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(a) // a caller that has left sends the command again
}

func retryAfter(w http.ResponseWriter, d time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(d.Seconds())))
}
