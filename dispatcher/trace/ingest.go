package trace

import (
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Ingest puts the trace context of each request into the context that next gets,
// where [Keep] finds it: the producer's, or that of a span "ingest" below it. It
// belongs behind what checks the caller, so that strangers cause no span.
func (t *Tracer) Ingest(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if t == nil {
			if len(r.Header["Traceparent"]) > 0 {
				r = r.WithContext(fromHeader(r.Context(), r.Header))
			}
			next.ServeHTTP(w, r)
			return
		}

		ctx, span := t.tracer.Start(fromHeader(r.Context(), r.Header), "ingest", trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			semconv.HTTPRequestMethodKey.String(method(r.Method)), semconv.HTTPRoute(r.Pattern),
		))
		defer span.End()
		answer := &answer{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answer, r.WithContext(ctx))
		span.SetAttributes(semconv.HTTPResponseStatusCode(answer.status))
		if answer.status >= http.StatusInternalServerError { // a refusal is no error of a server
			span.SetStatus(codes.Error, "")
			span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(answer.status)))
		}
	})
}

// method keeps the attribute to few values.
func method(m string) string {
	if m == http.MethodPost {
		return m
	}
	return "_OTHER"
}

// answer remembers the status of an answer.
type answer struct {
	http.ResponseWriter
	status int
}

func (a *answer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap lets [http.ResponseController] reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
