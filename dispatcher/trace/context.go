package trace

import (
	"context"
	"maps"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/postrider/postrider/dispatcher/event"
)

// w3c reads and writes trace contexts; what is malformed is none to it.
var w3c propagation.TraceContext

// The names of a trace context, as extension attributes of an event (CloudEvents
// distributed tracing extension) and, whatever their case, as headers.
const (
	parent = "traceparent"
	state  = "tracestate"
)

// fromHeader adds the trace context of a request to ctx, if it has one. Two
// parents are none.
func fromHeader(ctx context.Context, header http.Header) context.Context {
	parents := header["Traceparent"]
	if len(parents) != 1 {
		return ctx
	}
	return w3c.Extract(ctx, propagation.MapCarrier{
		parent: parents[0],
		state:  strings.Join(header["Tracestate"], ","), // one list, whatever the number of lines (RFC 9110, 5.3)
	})
}

// fromEvent adds the trace context that e is kept with to ctx, if it has one.
func fromEvent(ctx context.Context, e *event.Event) context.Context {
	if e.Extensions[parent] == "" {
		return ctx
	}
	return w3c.Extract(ctx, propagation.MapCarrier(e.Extensions))
}

// A Store keeps events.
type Store interface {
	Append(ctx context.Context, events []event.Event) error
}

// Keep returns a store that adds the trace context of each Append, see
// [Tracer.Ingest], to those of its events that bring none of their own, as
// extension attributes. So it stays with them until they are delivered.
func Keep(next Store) Store { return keeper{next} }

type keeper struct{ next Store }

func (k keeper) Append(ctx context.Context, events []event.Event) error {
	if trace.SpanContextFromContext(ctx).IsValid() {
		attributes := propagation.MapCarrier{}
		w3c.Inject(ctx, attributes)
		if len(attributes[state]) > event.MaxAttribute {
			delete(attributes, state) // which a trace does without
		}
		for i := range events {
			stamp(&events[i], attributes)
		}
	}
	return k.next.Append(ctx, events)
}

// stamp adds attributes to e, unless it has a trace context or no room for one.
func stamp(e *event.Event, attributes map[string]string) {
	if e.Extensions[parent] != "" || len(e.Extensions)+len(attributes) > event.MaxExtensions {
		return
	}
	if e.Extensions == nil {
		e.Extensions = attributes // shared by a batch: nobody modifies an event
		return
	}
	delete(e.Extensions, state) // without its parent it means nothing
	maps.Copy(e.Extensions, attributes)
}
