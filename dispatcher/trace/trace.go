// Package trace follows events from their producers to their receivers: a trace
// context that comes in (W3C Trace Context) is kept with the event and goes out
// with every attempt, and with tracing on there are spans of both ends.
package trace

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// scope names who made the spans.
const scope = "github.com/postrider/postrider/dispatcher"

// service is the service.name unless OTEL_SERVICE_NAME says another.
const service = "postrider-dispatcher"

// A Tracer makes spans. A nil Tracer is tracing switched off: it makes none, and
// trace contexts are passed on all the same.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// New makes a Tracer that exports by OTLP over HTTP in the background: where to,
// how and what share is said by the environment variables of OpenTelemetry, such
// as OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS and
// OTEL_TRACES_SAMPLER. Spans that cannot be exported are dropped and log says so.
func New(ctx context.Context, log *slog.Logger) (*Tracer, error) {
	// What it says, and which errors it has, can be heard by global settings
	// only. So is the process.
	otel.SetLogger(logr.New(settings{log}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.Warn("traces could not be exported", "err", err)
	}))
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("preparing the export of traces: %w", err)
	}
	// What comes later wins: the environment over the default.
	about, err := resource.New(ctx, resource.WithAttributes(semconv.ServiceName(service)),
		resource.WithHost(), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describing this process for traces: %w; look at OTEL_RESOURCE_ATTRIBUTES", err)
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about))
	return &Tracer{provider: provider, tracer: provider.Tracer(scope)}, nil
}

// Close exports what is still in memory, until ctx is done at the latest.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("exporting the last traces: %w", err)
	}
	return nil
}
