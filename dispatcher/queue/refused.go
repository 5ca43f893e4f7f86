package queue

import (
	"errors"

	"github.com/nats-io/nats.go"
)

// errTooLarge is the error of a message that is larger than the servers took
// when the queue was opened. What they refuse later is about their configuration.
var errTooLarge = errors.New("it is larger than a message may be")

// refused reports whether err is about what was to be stored and not about the
// store: it would be refused again.
func refused(err error) bool {
	_, noRoute := errors.AsType[errNoRoute](err)
	return noRoute || errors.Is(err, errTooLarge) || errors.Is(err, nats.ErrBadSubject) || errors.Is(err, nats.ErrBadHeaderMsg)
}

// A kept is a delivery on its way into the store, which says what would be
// looked for if it were refused.
type kept interface {
	sized
	// rest is its stored form, as far as it has one.
	rest() []byte
	// names are attributes for a log.
	names() []any
}

// sparing flushes what flush takes when some of it is refused: in halves, and so
// in order, until only that is left. Somebody would try it for ever, and all
// that was brought with it. It is set aside instead.
func sparing[R kept](q *Queue, flush func([]R) error) func([]R) error {
	var spare func([]R) error
	spare = func(records []R) error {
		err := flush(records)
		switch {
		case err == nil || !refused(err):
			return err
		case len(records) > 1:
			half := len(records) / 2
			if err := spare(records[:half]); err != nil {
				return err
			}
			return spare(records[half:])
		}
		r := records[0]
		q.opts.Log.Error("a delivery cannot be stored", append(r.names(), "bytes", r.size(), "err", err)...)
		if err = q.setAside(unreadable{r.rest(), err}); refused(err) { // too large even for that, which packLimit lets no accepted event be
			return nil
		}
		return err
	}
	return spare
}
