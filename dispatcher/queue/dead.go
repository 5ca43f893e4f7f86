package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
)

const (
	subjectDead = "postrider.dead." // and the route

	defaultDeadLetterAge = 30 * 24 * time.Hour
	// defaultDeadLetters bounds each route, so that one webhook does not push
	// out the dead letters of the others.
	defaultDeadLetters = 10_000
)

// The header of a stored dead letter says all but its event, which is the body.
const (
	headerReason     = "Postrider-Reason"
	headerStatus     = "Postrider-Status"
	headerDetail     = "Postrider-Detail"
	headerRetryAfter = "Postrider-Retry-After"
	headerTook       = "Postrider-Took"
	headerAttempts   = "Postrider-Attempts"
	headerTime       = "Postrider-Time"
	headerSeq        = "Postrider-Seq"
)

func deadConfig(o Options) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: streamDead, Description: "deliveries that were given up", Subjects: []string{subjectDead + ">", subjectUnreadable},
		MaxAge: orDefault(o.DeadLetterAge, defaultDeadLetterAge), MaxBytes: o.MaxBytes / 4,
		MaxMsgsPerSubject: int64(orDefault(o.MaxDeadLetters, defaultDeadLetters)), AllowAtomicPublish: true,
		AllowDirect: true, // see shelf
	}
}

func orDefault[T int | int64 | time.Duration](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

// Bury implements [deliver.Backlog].
func (q *Queue) Bury(_ context.Context, ds ...deliver.DeadLetter) error {
	records := make([]record, len(ds))
	for i := range ds {
		records[i] = record{body: ds[i].Event.Append(nil), dead: &ds[i]}
	}
	return q.burials.commit(records...)
}

// A record is a dead letter on its way into the store.
type record struct {
	body []byte
	dead *deliver.DeadLetter
}

func (r record) size() int    { return len(r.body) }
func (r record) rest() []byte { return r.body }
func (r record) names() []any { return []any{"route", r.dead.Route, "event", r.dead.Event.ID} }

// flushDead stores one message per dead letter, under the subject of its
// route, so that they can be counted, read and removed one by one.
func (q *Queue) flushDead(records []record) error {
	msgs := make([]*nats.Msg, len(records))
	for i, r := range records {
		msg, err := encodeLetter(r.dead, r.body)
		if err != nil {
			return err
		}
		msgs[i] = msg
	}
	_, err := q.publishAll(msgs)
	return err
}

func encodeLetter(d *deliver.DeadLetter, body []byte) (*nats.Msg, error) {
	subject, err := subjectOf(subjectDead, d.Route)
	if err != nil {
		return nil, err
	}
	return &nats.Msg{Subject: subject, Data: body, Header: nats.Header{
		headerReason:     {string(d.Why.Reason)},
		headerStatus:     {strconv.Itoa(d.Why.Status)},
		headerDetail:     {d.Why.Detail},
		headerRetryAfter: {d.Why.RetryAfter.String()},
		headerTook:       {d.Why.Took.String()},
		headerAttempts:   {strconv.Itoa(d.Attempts)},
		headerTime:       {d.At.UTC().Format(time.RFC3339Nano)},
		headerSeq:        {strconv.FormatUint(d.Seq, 10)},
	}}, nil
}

// decodeLetter reads a dead letter of a route. Which route that is, its subject
// says and nothing else.
func decodeLetter(route string, it item) (deliver.DeadLetter, error) {
	fail := func(err error) (deliver.DeadLetter, error) {
		return deliver.DeadLetter{}, fmt.Errorf("dead letter %d of %s cannot be read: %w", it.seq, route, err)
	}
	status, statusErr := number(it.header, headerStatus)
	attempts, attemptsErr := number(it.header, headerAttempts)
	seq, seqErr := strconv.ParseUint(it.header.Get(headerSeq), 10, 64)
	retryAfter, retryErr := time.ParseDuration(it.header.Get(headerRetryAfter))
	took, tookErr := time.ParseDuration(it.header.Get(headerTook))
	at, atErr := time.Parse(time.RFC3339Nano, it.header.Get(headerTime))
	if err := errors.Join(statusErr, attemptsErr, seqErr, retryErr, tookErr, atErr); err != nil {
		return fail(err)
	}
	e, rest, err := event.Decode(it.data)
	if err != nil {
		return fail(err)
	}
	if len(rest) > 0 {
		return fail(errors.New("more follows its event"))
	}
	return deliver.DeadLetter{
		ID: it.seq, Route: route, Attempts: attempts, At: at, Seq: seq, Event: e,
		Why: outcome.Outcome{
			Reason: outcome.Reason(it.header.Get(headerReason)), Status: status, Detail: it.header.Get(headerDetail),
			RetryAfter: retryAfter, Took: took,
		},
	}, nil
}

func number(h nats.Header, name string) (int, error) {
	n, err := strconv.ParseUint(h.Get(name), 10, 31)
	return int(n), err
}

// lettersOf is where the dead letters of a route are. Everything that asks for
// one goes through it, so that nobody gets those of another route.
func (q *Queue) lettersOf(route string) (shelf, error) {
	subject, err := subjectOf(subjectDead, route)
	return shelf{q.side, streamDead, subject}, err
}

// DeadLetters lists the dead letters of a route, newest first: those before an
// ID, or all when before is 0, at most limit (1,000 if that is more) and fewer
// where they are large. next is the before of the next page, 0 when there are
// no more.
func (q *Queue) DeadLetters(ctx context.Context, route string, before uint64, limit int) (letters []deliver.DeadLetter, next uint64, err error) {
	shelf, err := q.lettersOf(route)
	if err != nil {
		return nil, 0, err
	}
	page, next, err := shelf.page(ctx, before, limit)
	for _, it := range page {
		if d, ok := q.readable(route, it); ok {
			letters = append(letters, d)
		}
	}
	return letters, next, err
}

// DeadLetter returns one dead letter of a route, or [event.ErrNotFound]: also
// when it is of another route.
func (q *Queue) DeadLetter(ctx context.Context, route string, id uint64) (deliver.DeadLetter, error) {
	shelf, err := q.lettersOf(route)
	if err != nil {
		return deliver.DeadLetter{}, err
	}
	it, ok, err := shelf.get(ctx, id)
	if err != nil {
		return deliver.DeadLetter{}, err
	}
	if !ok {
		return deliver.DeadLetter{}, event.ErrNotFound
	}
	return decodeLetter(route, it)
}

// EachDead visits the dead letters that a route has when it is called, oldest
// first, until visit returns an error, which it returns. Those that visit adds
// do not come, and it may remove any.
func (q *Queue) EachDead(ctx context.Context, route string, visit func(deliver.DeadLetter) error) error {
	shelf, err := q.lettersOf(route)
	if err != nil {
		return err
	}
	end, err := shelf.end(ctx)
	if err != nil {
		return err
	}
	return shelf.each(ctx, request{}, end, func(it item) error {
		d, ok := q.readable(route, it)
		if !ok {
			return nil
		}
		return visit(d)
	})
}

// readable leaves out a letter that cannot be read: the others are wanted.
func (q *Queue) readable(route string, it item) (deliver.DeadLetter, bool) {
	d, err := decodeLetter(route, it)
	if err != nil {
		q.opts.Log.Error("a dead letter is left out", "route", route, "id", it.seq, "err", err)
	}
	return d, err == nil
}

// RemoveDead removes dead letters of a route, and says how many of them were
// there; those of other routes are not. After an error some may be removed.
// Those that are the oldest of the route go at once, others, and all in a
// cluster, one by one.
func (q *Queue) RemoveDead(ctx context.Context, route string, ids ...uint64) (int, error) {
	shelf, err := q.lettersOf(route)
	if err != nil {
		return 0, err
	}
	removed, err := q.removeDead(ctx, shelf, ids)
	if err != nil {
		err = fmt.Errorf("removing dead letters of %s: %w", route, err)
	}
	return removed, err
}

func (q *Queue) removeDead(ctx context.Context, shelf shelf, ids []uint64) (int, error) {
	there := make([]uint64, 0, len(ids))
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		ok, err := shelf.has(ctx, id)
		if err != nil {
			return 0, err
		}
		if ok {
			there = append(there, id)
		}
	}
	// Where several replicas answer, one that lags would count too few, and
	// letters that nobody named would go.
	if len(there) > 1 && q.dead.CachedInfo().Config.Replicas <= 1 {
		last := there[len(there)-1]
		n, err := shelf.upTo(ctx, last)
		if err != nil {
			return 0, err
		}
		if n == uint64(len(there)) {
			return shelf.purge(ctx, last)
		}
	}
	removed := 0
	for _, id := range there {
		ok, err := q.removeLetter(ctx, shelf, id)
		if err != nil {
			return removed, err
		}
		if ok {
			removed++
		}
	}
	return removed, nil
}

func (q *Queue) removeLetter(ctx context.Context, shelf shelf, id uint64) (bool, error) {
	failed := q.dead.DeleteMsg(ctx, id)
	if failed == nil {
		return true, nil
	}
	if still, err := shelf.has(ctx, id); still || err != nil {
		return false, errors.Join(failed, err)
	}
	return false, nil // somebody else, or its age, was faster
}
