package ingest

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/problem"
	"github.com/postrider/postrider/dispatcher/sitecore"
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

// ofBatch tells the place of a refused event in its batch.
func ofBatch(p problem.Problem, index int) problem.Problem {
	p.Index = &index
	p.Detail += " (no event of the batch was accepted)"
	return p
}

// check refuses events that no producer may send, and those of Sitecore's types
// whose data receivers would not know as such. It returns nil if there is none.
func check(events []event.Event, lenient bool) *problem.Problem {
	for i := range events {
		p := checkOne(&events[i], lenient)
		if p == nil {
			continue
		}
		if len(events) > 1 {
			*p = ofBatch(*p, i)
		}
		return p
	}
	return nil
}

func checkOne(e *event.Event, lenient bool) *problem.Problem {
	if e.Type == sitecore.WorkflowCommand {
		return &problem.Problem{
			Name:   problem.ReservedType,
			Detail: fmt.Sprintf("Events of type %q are what workflow commands become when nobody refuses them: use another type.", e.Type),
		}
	}
	if commands := sitecore.CommandSources(e.Namespace); strings.HasPrefix(e.Source, commands) {
		return &problem.Problem{
			Name:   problem.InvalidEvent,
			Detail: fmt.Sprintf("Events with a source below %q are workflow commands: use another source.", commands),
		}
	}
	if lenient {
		return nil
	}
	if err := sitecore.Check(e); err != nil {
		return &problem.Problem{Name: problem.InvalidSitecoreEvent, Detail: err.Error()}
	}
	return nil
}

// Problem is what the caller is told when a body was not read to its end, or
// when what it holds was refused by [event.Read].
func Problem(err error) problem.Problem {
	if refusal, ok := errors.AsType[*event.Refusal](err); ok {
		p := problem.Problem{Name: names[refusal.Reason], Detail: refusal.Detail, Limit: refusal.Limit}
		if refusal.Index >= 0 {
			p = ofBatch(p, refusal.Index)
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
