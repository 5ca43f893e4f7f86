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

// Problem is what the caller is told when a body was not read to its end, or
// when what it holds was refused by [event.Read].
func Problem(err error) problem.Problem {
	if refusal, ok := errors.AsType[*event.Refusal](err); ok {
		p := problem.Problem{Name: names[refusal.Reason], Detail: refusal.Detail, Limit: refusal.Limit}
		if refusal.Index >= 0 {
			p.Index = &refusal.Index
			p.Detail += " (no event of the batch was accepted)"
		}
		return p
	}
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
