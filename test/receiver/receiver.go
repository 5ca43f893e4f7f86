// Package receiver is a scriptable webhook receiver on loopback, shared by the
// unit, conformance, resilience and end-to-end tests. It knows nothing of the
// product: it verifies signatures with the reference library.
package receiver

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Bounds of what a Receiver keeps, so that a load test does not measure it.
const (
	maxBody     = 4 << 20 // of one request, in bytes: more than an event in base64 takes
	maxIDs      = 1 << 20
	maxFailures = 100
	defaultKeep = 1000
)

// Options of a Receiver. The zero Options suit most tests.
type Options struct {
	Key      string        // "whsec_..." to verify Standard Webhooks signatures with; empty = none is verified
	IDsOnly  bool          // count the ids and keep no request, for load tests
	Keep     int           // requests to keep, the first ones; 0 = 1000
	TLS      bool          // speak HTTPS and HTTP/2 with a certificate under RootCAs
	HTTP1    bool          // with TLS, speak no HTTP/2
	Patience time.Duration // before a Wait fails its test; 0 = 30 s
}

// A Request is one that was received.
type Request struct {
	Method       string
	Target       string // path and query, as sent
	Proto        string // e.g. "HTTP/2.0"
	Header       http.Header
	Body         []byte
	Time         time.Time
	SignatureErr error // why the signature is not valid; nil without a key
}

// ID is the webhook-id.
func (r *Request) ID() string { return r.Header.Get(standardwebhooks.HeaderWebhookID) }

// A Receiver answers as scripted, 200 by default, and remembers what came.
type Receiver struct {
	options Options
	verify  *standardwebhooks.Webhook // nil without a key
	server  *httptest.Server
	abandon context.CancelFunc // ends the requests being answered

	mu          sync.Mutex // guards what follows
	arrived     *sync.Cond
	scripts     map[string][]http.HandlerFunc // by path: the replies to come, the last one stays
	requests    []Request
	ids         map[string]int
	count       int
	connections int
	failures    []error
}

// New starts a Receiver that ends with the test.
func New(tb testing.TB, o Options) *Receiver {
	tb.Helper()
	if o.Keep == 0 {
		o.Keep = defaultKeep
	}
	if o.Patience == 0 {
		o.Patience = 30 * time.Second
	}
	r := &Receiver{options: o, scripts: map[string][]http.HandlerFunc{}, ids: map[string]int{}}
	r.arrived = sync.NewCond(&r.mu)
	if o.Key != "" {
		var err error
		if r.verify, err = standardwebhooks.NewWebhook(o.Key); err != nil {
			tb.Fatalf("the receiver's key is not valid: %v", err)
		}
	}
	ctx, abandon := context.WithCancel(tb.Context())
	r.abandon = abandon

	r.server = httptest.NewUnstartedServer(http.HandlerFunc(r.serve))
	r.server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	r.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug) // broken connections are the point of many tests
	r.server.Config.ConnState = r.countConnection
	if o.TLS {
		r.server.EnableHTTP2 = !o.HTTP1
		r.server.StartTLS()
	} else {
		r.server.Start()
	}
	tb.Cleanup(r.Close)
	return r
}

// Close stops the receiver and breaks off what it is answering. It may be
// called more than once.
func (r *Receiver) Close() {
	r.abandon()
	r.server.CloseClientConnections()
	r.server.Close()
}

// URL is the address of path, e.g. "http://127.0.0.1:41234/hooks".
func (r *Receiver) URL(path string) string { return r.server.URL + path }

// RootCAs is what a client needs to trust a receiver with TLS.
func (r *Receiver) RootCAs() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(r.server.Certificate())
	return pool
}

// On scripts the replies to the requests for path, in order; the last one is
// for all that follow. It replaces what was scripted before.
func (r *Receiver) On(path string, replies ...http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.scripts[path] = slices.Clone(replies)
}

func (r *Receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		http.Error(w, "the body did not arrive", http.StatusBadRequest)
		return
	}
	req.Body = io.NopCloser(bytes.NewReader(body)) // a scripted reply may look at it
	if reply := r.record(req, body); reply != nil {
		reply(w, req)
	}
}

// record remembers the request and picks the reply.
func (r *Receiver) record(req *http.Request, body []byte) http.HandlerFunc {
	var failure error
	if r.verify != nil {
		failure = r.verify.Verify(body, req.Header)
	}
	id := req.Header.Get(standardwebhooks.HeaderWebhookID)

	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.arrived.Broadcast()
	r.count++
	if _, known := r.ids[id]; id != "" && (known || len(r.ids) < maxIDs) {
		r.ids[id]++
	}
	if failure != nil && len(r.failures) < maxFailures {
		r.failures = append(r.failures, failure)
	}
	if !r.options.IDsOnly && len(r.requests) < r.options.Keep {
		r.requests = append(r.requests, Request{
			Method: req.Method, Target: req.RequestURI, Proto: req.Proto, Header: req.Header.Clone(),
			Body: body, Time: time.Now(), SignatureErr: failure,
		})
	}

	script := r.scripts[req.URL.Path]
	if len(script) == 0 {
		return nil
	}
	if len(script) > 1 {
		r.scripts[req.URL.Path] = script[1:]
	}
	return script[0]
}

func (r *Receiver) countConnection(_ net.Conn, state http.ConnState) {
	if state == http.StateNew {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.connections++
	}
}

// Wait returns when at least n requests have arrived, answered or not, with
// those that were kept.
func (r *Receiver) Wait(tb testing.TB, n int) []Request {
	tb.Helper()
	if err := r.until(tb.Context(), func() bool { return r.count >= n }); err != nil {
		tb.Fatalf("%d of %d requests arrived: %v", r.Count(), n, err)
	}
	return r.Requests()
}

// WaitIDs returns when at least n different webhook-ids have arrived, with the
// number of requests for each.
func (r *Receiver) WaitIDs(tb testing.TB, n int) map[string]int {
	tb.Helper()
	if err := r.until(tb.Context(), func() bool { return len(r.ids) >= n }); err != nil {
		tb.Fatalf("%d of %d ids arrived: %v", len(r.IDs()), n, err)
	}
	return r.IDs()
}

// until waits for done, which is called with the lock held after each arrival.
func (r *Receiver) until(ctx context.Context, done func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.options.Patience, errors.New("the patience of the test is over"))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		r.mu.Lock() // else the wake-up could slip between the check and the wait
		defer r.mu.Unlock()
		r.arrived.Broadcast()
	})()

	r.mu.Lock()
	defer r.mu.Unlock()
	for !done() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.arrived.Wait()
	}
	return nil
}

// Requests returns the kept requests in the order of their arrival.
func (r *Receiver) Requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// IDs returns how often each webhook-id arrived.
func (r *Receiver) IDs() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.ids)
}

// Count is the number of requests that arrived, kept or not.
func (r *Receiver) Count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// Connections is the number of connections that were accepted.
func (r *Receiver) Connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.connections
}

// SignatureErrors returns why signatures were not valid, the first 100 of them.
func (r *Receiver) SignatureErrors() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.failures)
}
