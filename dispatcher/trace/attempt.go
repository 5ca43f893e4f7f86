package trace

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
)

// What OpenTelemetry has no name for.
const (
	routeKey  = attribute.Key("postrider.webhook") // "namespace/name"
	reasonKey = attribute.Key("postrider.outcome") // an outcome.Reason
)

// A Delivery is what an attempt is for.
type Delivery struct {
	Event   *event.Event
	Route   string // "namespace/name"
	Attempt int    // 1 for the first
}

// Concerns reports whether [Tracer.Attempt] has anything to do for e.
func (t *Tracer) Concerns(e *event.Event) bool { return t != nil || e.Extensions[parent] != "" }

// Attempt begins an attempt: header gets the trace context that the receiver is
// to know, which is that of the event or, with tracing on, that of a span
// "attempt" below it. The attempt is made with the context that it returns, and
// end is called with how it ended.
func (t *Tracer) Attempt(ctx context.Context, d Delivery, header http.Header) (_ context.Context, end func(outcome.Outcome)) {
	if t == nil {
		if t.Concerns(d.Event) {
			w3c.Inject(fromEvent(ctx, d.Event), propagation.HeaderCarrier(header))
		}
		return ctx, ignore
	}

	// The URL is not among the attributes: it may be a secret.
	ctx, span := t.tracer.Start(fromEvent(ctx, d.Event), "attempt", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		semconv.HTTPRequestMethodPost, semconv.HTTPRequestResendCount(d.Attempt-1),
		semconv.CloudEventsEventID(d.Event.ID), semconv.CloudEventsEventType(d.Event.Type),
		semconv.K8SNamespaceName(d.Event.Namespace), routeKey.String(d.Route),
	))
	w3c.Inject(ctx, propagation.HeaderCarrier(header))
	return ctx, func(o outcome.Outcome) {
		defer span.End()
		span.SetAttributes(reasonKey.String(string(o.Reason)))
		if o.Status != 0 {
			span.SetAttributes(semconv.HTTPResponseStatusCode(o.Status))
		}
		if !o.OK() {
			span.SetStatus(codes.Error, o.String())
			span.SetAttributes(semconv.ErrorTypeKey.String(string(o.Reason)))
		}
	}
}

func ignore(outcome.Outcome) {}
