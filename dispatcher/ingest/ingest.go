// Package ingest is the way in: it bounds a request, identifies its events,
// stores them, and answers 202 once they are durable.
package ingest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/problem"
	"github.com/postrider/postrider/dispatcher/share"
)

// Pattern is where a [Handler] is to be found on a [http.ServeMux], for every
// method: it answers other methods than POST itself.
const Pattern = "/v1/namespaces/{" + Namespace + "}/events"

// Namespace names the part of the path that holds the namespace.
const Namespace = "namespace"

// After how long a refused producer is asked to try again: room is made as
// deliveries settle, and a store that failed is usually being restarted.
const (
	retryFull        = 10 * time.Second
	retryUnavailable = 5 * time.Second
)

// What producers may take up. Bodies that find no room wait, unread.
const (
	maxHeld  = 64 << 20 // bytes of bodies in memory
	maxShare = 8 << 20  // of them those of one namespace, so that it cannot make the others wait
	// bodyTime is how long a body may wait for room, and how long it may take
	// once it is begun: enough for the largest at 1 Mbit/s.
	bodyTime = 10 * time.Second
)

// A Store keeps events.
type Store interface {
	// Append returns nil once all events are durable. It returns an error
	// that wraps [event.ErrFull] when it has no room and stored nothing; any
	// other error leaves open whether events were stored.
	Append(ctx context.Context, events []event.Event) error
}

// A Handler takes events over HTTP. Whoever may not send them must not reach
// it: it does not ask who is calling.
type Handler struct {
	store   Store
	log     *slog.Logger
	metrics metrics
	held    *share.Pool
	time    time.Duration  // that a body may wait, and then take
	failing rate.Sometimes // so that a failing store does not flood the log
	lenient bool           // whatever the data of Sitecore's events looks like
}

// New makes a Handler and registers its metrics.
func New(store Store, metrics prometheus.Registerer, log *slog.Logger) *Handler {
	return &Handler{
		store:   store,
		log:     log,
		metrics: newMetrics(metrics),
		held:    share.New(maxHeld, maxShare),
		time:    bodyTime,
		failing: rate.Sometimes{Interval: time.Second},
	}
}

// minShare lets the largest body in, and another.
const minShare = 2 * event.MaxBody

// Within has h keep to this part of the usual bounds on bodies in memory, before
// it serves.
func (h *Handler) Within(room float64) *Handler {
	each := max(int64(room*maxShare), minShare)
	h.held = share.New(max(int64(room*maxHeld), 2*each), each)
	return h
}

// Lenient has h take events of Sitecore's types whatever their data looks like,
// before it serves.
func (h *Handler) Lenient(lenient bool) *Handler {
	h.lenient = lenient
	return h
}

// ServeHTTP stores the events of one request, all of them or none.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	defer connOf(r).occupy(false) // or the next request would be taken for this one
	result, count := h.serve(w, r, start)
	h.metrics.observe(result, count, time.Since(start))
}

// serve answers and tells how it ended and how many events that concerns: one
// when it does not know.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, now time.Time) (Result, int) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		problem.Write(w, problem.Problem{Name: problem.MethodNotAllowed, Detail: "Send events with POST."})
		return Refused, 1
	}

	weight := r.ContentLength
	if weight < 0 || weight > event.MaxBody {
		weight = event.MaxBody
	}
	namespace := r.PathValue(Namespace)
	held, err := h.hold(r.Context(), namespace, weight)
	if err != nil {
		return crowded(w, r), 1
	}
	defer held.Release()
	body, err := h.read(w, r)
	if err != nil {
		problem.Write(w, Problem(err))
		return Refused, 1
	}
	h.metrics.bytes.Observe(float64(len(body)))

	events, err := event.Read(r.Header, body, namespace, now)
	if err != nil {
		problem.Write(w, Problem(err))
		return Refused, 1
	}

	if refused := check(events, h.lenient); refused != nil {
		problem.Write(w, *refused)
		return Refused, 1
	}

	if err := h.store.Append(r.Context(), events); err != nil {
		return h.unstored(w, r, err), len(events)
	}
	if h.log.Enabled(r.Context(), slog.LevelDebug) { // else the id would be made for nothing
		h.log.LogAttrs(r.Context(), slog.LevelDebug, "events accepted",
			slog.String("namespace", namespace), slog.Int("count", len(events)), slog.String("event", events[0].Key().String()))
	}
	accept(w, events)
	return Accepted, len(events)
}

// hold takes room for a body, for which it may wait.
func (h *Handler) hold(ctx context.Context, namespace string, weight int64) (share.Hold, error) {
	if held, ok := h.held.Try(namespace, weight); ok {
		return held, nil
	}
	ctx, cancel := context.WithTimeout(ctx, h.time)
	defer cancel()
	return h.held.Wait(ctx, namespace, weight)
}

// crowded answers when there is no room for the body.
func crowded(w http.ResponseWriter, r *http.Request) Result {
	retryAfter(w, retryUnavailable)
	problem.Write(w, problem.Problem{
		Name:   problem.StoreUnavailable,
		Detail: "Nothing was stored: too many bodies are on their way at once. Send the same events again later, with the same ids.",
	})
	if r.Context().Err() != nil {
		return Abandoned
	}
	return Unavailable
}

// unstored answers when the store did not take the events.
func (h *Handler) unstored(w http.ResponseWriter, r *http.Request, err error) Result {
	if errors.Is(err, event.ErrFull) {
		retryAfter(w, retryFull)
		problem.Write(w, problem.Problem{
			Name:   problem.StoreFull,
			Detail: "Nothing was stored: deliveries that their receivers do not take fill the store. Send the same events again later, with the same ids.",
		})
		return Full
	}

	// Also for a producer that has gone: without an answer of ours, net/http
	// would say 200.
	retryAfter(w, retryUnavailable)
	problem.Write(w, problem.Problem{
		Name:   problem.StoreUnavailable,
		Detail: "The events may or may not have been stored. Send the same events again later, with the same ids: what was stored is not sent twice.",
	})
	if r.Context().Err() != nil || connOf(r).left() {
		return Abandoned
	}
	h.failing.Do(func() {
		h.log.LogAttrs(r.Context(), slog.LevelError, "events could not be stored", slog.Any("err", err))
	})
	return Unavailable
}

// read returns the body, of at most [event.MaxBody] bytes, in memory that
// nobody else holds and within the time that a body may take.
func (h *Handler) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > event.MaxBody {
		w.Header().Set("Connection", "close") // rather than to read what is refused
		return nil, &http.MaxBytesError{Limit: event.MaxBody}
	}
	// Without a connection beneath, as in a recorder, there is nothing to bound.
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(time.Now().Add(h.time))
	body, err := readAll(w, r)
	if err == nil {
		// Else net/http would take the deadline, while the store is at work,
		// for a producer that has left. After a failure it stays, for the rest
		// of the body that net/http skips.
		_ = connection.SetReadDeadline(time.Time{})
	}
	return body, err
}

func readAll(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength != 0 { // with a body that is empty net/http reads on already
		connOf(r).occupy(true)
	}
	if r.ContentLength < 0 {
		return io.ReadAll(http.MaxBytesReader(w, r.Body, event.MaxBody))
	}
	body := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, body)
	return body, err
}

func retryAfter(w http.ResponseWriter, d time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(d.Seconds())))
}
