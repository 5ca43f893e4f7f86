package ingest

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/problem"
)

// names gives every reason to refuse events its place in the HTTP contract.
var names = map[event.Reason]problem.Name{
	event.InvalidNamespace:       problem.InvalidNamespace,
	event.UnsupportedContentType: problem.UnsupportedContentType,
	event.InvalidJSON:            problem.InvalidJSON,
	event.InvalidEvent:           problem.InvalidEvent,
	event.AttributeTooLong:       problem.AttributeTooLong,
	event.EmptyBatch:             problem.EmptyBatch,
	event.BatchTooLarge:          problem.BatchTooLarge,
}

// refused is the problem of a request whose events were refused.
func refused(err error) problem.Problem {
	refusal, ok := errors.AsType[*event.Refusal](err)
	if !ok {
		return problem.Problem{Name: problem.InvalidEvent, Detail: err.Error()}
	}
	p := problem.Problem{Name: names[refusal.Reason], Detail: refusal.Detail, Limit: refusal.Limit}
	if refusal.Index >= 0 {
		p.Index = &refusal.Index
		p.Detail += " (no event of the batch was accepted)"
	}
	return p
}

// unread is the problem of a body that was not read to its end.
func unread(err error) problem.Problem {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problem.Problem{
			Name:   problem.BodyTooLarge,
			Detail: fmt.Sprintf("A body has at most %d bytes: split the batch, or send a reference to large data instead of the data.", tooLarge.Limit),
			Limit:  int(tooLarge.Limit),
		}
	}
	return problem.Problem{
		Name:   problem.UnreadableBody,
		Detail: "The body broke off or came too slowly: send it again.",
	}
}
