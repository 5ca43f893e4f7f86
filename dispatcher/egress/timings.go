package egress

import (
	"context"
	"crypto/tls"
	"net/http/httptrace"
	"sync"
	"time"
)

// Timings are how long the parts of an attempt took; 0 for what did not happen,
// such as DNS, Connect and TLS on a pooled connection.
type Timings struct {
	DNS       time.Duration `json:"dns,omitempty"`
	Connect   time.Duration `json:"connect,omitempty"`
	TLS       time.Duration `json:"tls,omitempty"`
	FirstByte time.Duration `json:"firstByte,omitempty"` // from the beginning of the attempt
	Total     time.Duration `json:"total"`
	Reused    bool          `json:"reused,omitempty"` // the connection had been used before
}

// WithTimings asks for the timings of the attempt that is made with the context
// it returns, one attempt: t is filled when [Client.Send] or [Client.Post]
// returns, also after a failure.
func WithTimings(ctx context.Context, t *Timings) context.Context {
	return context.WithValue(ctx, timingsKey{}, t)
}

type timingsKey struct{}

// A stopwatch takes the times of an attempt. The nil stopwatch takes none.
type stopwatch struct {
	begun time.Time
	out   *Timings // filled at the end; nil = only whether a connection was used before is of interest

	mu                sync.Mutex // a dial may go on in a goroutine of the transport's, even after the attempt
	dns, connect, tls time.Time  // begun
	taken             Timings
}

// watch starts a stopwatch if ctx asks for timings.
func watch(ctx context.Context) *stopwatch {
	out, ok := ctx.Value(timingsKey{}).(*Timings)
	if !ok {
		return nil
	}
	return &stopwatch{begun: time.Now(), out: out}
}

// stop ends the attempt.
func (s *stopwatch) stop() {
	if s == nil || s.out == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	*s.out = s.taken
	s.out.Total = time.Since(s.begun)
}

func (s *stopwatch) firstByte() {
	if s == nil {
		return
	}
	s.set(func() { s.taken.FirstByte = time.Since(s.begun) })
}

func (s *stopwatch) reused(used bool) {
	if s == nil {
		return
	}
	s.set(func() { s.taken.Reused = used })
}

func (s *stopwatch) wasReused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken.Reused
}

func (s *stopwatch) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// trace makes the transport, the dialer and the resolver tell the stopwatch.
func (s *stopwatch) trace() *httptrace.ClientTrace {
	gotConn := func(info httptrace.GotConnInfo) { s.reused(info.Reused) }
	if s.out == nil {
		return &httptrace.ClientTrace{GotConn: gotConn}
	}
	begin := func(at *time.Time) {
		s.set(func() {
			if at.IsZero() { // addresses are tried side by side
				*at = time.Now()
			}
		})
	}
	return &httptrace.ClientTrace{
		GotConn:              gotConn,
		GotFirstResponseByte: s.firstByte,
		DNSStart:             func(httptrace.DNSStartInfo) { begin(&s.dns) },
		DNSDone:              func(httptrace.DNSDoneInfo) { s.set(func() { s.taken.DNS = time.Since(s.dns) }) },
		ConnectStart:         func(string, string) { begin(&s.connect) },
		ConnectDone:          func(string, string, error) { s.set(func() { s.taken.Connect = time.Since(s.connect) }) },
		TLSHandshakeStart:    func() { begin(&s.tls) },
		TLSHandshakeDone:     func(tls.ConnectionState, error) { s.set(func() { s.taken.TLS = time.Since(s.tls) }) },
	}
}
