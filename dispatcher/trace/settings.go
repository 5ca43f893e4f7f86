package trace

import (
	"log/slog"

	"github.com/go-logr/logr"
)

// settings is what OpenTelemetry says on the side, such as which of its
// environment variables it cannot read. It quotes what they hold, which may be
// the credentials of the collector: only what it was about is passed on.
type settings struct{ log *slog.Logger }

var _ logr.LogSink = settings{}

func (settings) Init(logr.RuntimeInfo) {}

// Enabled is asked about everything but errors.
func (settings) Enabled(int) bool { return false }

func (settings) Info(int, string, ...any) {}

func (s settings) Error(_ error, about string, _ ...any) {
	s.log.Warn("a setting of OpenTelemetry cannot be used; look at its environment variables", "reason", about)
}

func (s settings) WithValues(...any) logr.LogSink { return s }

func (s settings) WithName(string) logr.LogSink { return s }
