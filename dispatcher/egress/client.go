// Package egress is the only HTTP client for addresses that others chose: it
// judges each address when it is dialled, follows no redirect, heeds no proxy
// and bounds everything that a receiver sends.
package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/net/http/httpguts"
)

// MaxResponse bounds what is read of a response body, in bytes: enough for any
// acknowledgement or error page, too little to fill the memory.
const MaxResponse = 64 << 10

const (
	maxResponseHeader = 64 << 10 // bytes; a page behind a proxy with many cookies stays below

	// An idle connection costs about 22 KiB, so these cost 22 MiB at most. One
	// busy host may hold half: what it loses to the bound, it dials again.
	maxIdle        = 1024
	maxIdlePerHost = maxIdle / 2
	idleTimeout    = 90 * time.Second

	// A connection of HTTP/2 that is silent for this long is asked for a sign
	// of life; else a dead one would fail attempts until TCP gives up.
	http2Silence = 15 * time.Second
	http2Buffer  = 1 << 20 // bytes that a connection may send ahead

	defaultConnectTimeout = 5 * time.Second
	defaultTLSTimeout     = 5 * time.Second
)

// Options of a [Client]. The zero Options are safe.
type Options struct {
	Allow   []netip.Prefix // see [Guard]
	RootCAs *x509.CertPool // whom receivers' certificates must come from; nil = the system's

	ConnectTimeout time.Duration // to resolve and connect, within the attempt's; 0 = 5 s
	TLSTimeout     time.Duration // of the handshake, within the attempt's; 0 = 5 s
}

// A Client sends requests and pools connections. It is safe for concurrent use.
type Client struct {
	dialer     *net.Dialer
	tls        *tls.Config
	tlsTimeout time.Duration
	transport  *http.Transport
}

// New makes a Client.
func New(o Options) *Client {
	c := &Client{
		dialer: &net.Dialer{
			Timeout:        orDefault(o.ConnectTimeout, defaultConnectTimeout),
			ControlContext: Guard{Allow: o.Allow}.control,
		},
		tls:        &tls.Config{RootCAs: o.RootCAs, NextProtos: []string{"h2", "http/1.1"}},
		tlsTimeout: orDefault(o.TLSTimeout, defaultTLSTimeout),
	}
	// No Proxy: one would dial in our place, past the guard.
	c.transport = &http.Transport{
		DialContext:            c.dial,
		DialTLSContext:         c.dialTLS,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxResponseHeader,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerConnection: http2Buffer,
			MaxReceiveBufferPerStream:     MaxResponse,
			SendPingTimeout:               http2Silence,
		},
	}
	return c
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// A Response is what a receiver answered.
type Response struct {
	Status    int // of HTTP
	Header    http.Header
	Body      []byte // as sent, never decompressed; at most MaxResponse bytes
	Truncated bool   // the body went on
}

// Send sends req and reads the response, all of it before the deadline that the
// context of req must have. Within it, resolving and connecting take at most
// ConnectTimeout and the handshake TLSTimeout (see [Options]); the first byte and
// the rest of the response have no timeouts of their own, only what is left of
// the attempt's. Redirects are responses like others. When the body
// broke off or took too long, the response comes with the error. [Classify]
// tells what an error means.
//
// Send takes req over. It may send it twice, when a pooled connection turns out
// to be closed: deliveries carry an id by which receivers drop a repetition.
func (c *Client) Send(req *http.Request) (Response, error) {
	if _, ok := req.Context().Deadline(); !ok {
		return Response{}, &failure{sending, errors.New("the context of the request has no deadline")}
	}
	// With this key, and no value to send, the transport takes a POST for
	// repeatable.
	const repeatable = "Idempotency-Key"
	if _, ok := req.Header[repeatable]; !ok {
		req.Header[repeatable] = nil
	}

	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return Response{}, failed(req, err)
	}
	// What matters of the body has been read by then; to close it before its
	// end closes the connection.
	defer func() { _ = resp.Body.Close() }()

	r := Response{Status: resp.StatusCode, Header: resp.Header}
	if resp.Body == http.NoBody || r.Status == http.StatusSwitchingProtocols {
		return r, nil // after a switch the body is the bare connection, which heeds no deadline
	}
	r.Body, err = io.ReadAll(io.LimitReader(resp.Body, MaxResponse+1))
	if len(r.Body) > MaxResponse {
		r.Body, r.Truncated = r.Body[:MaxResponse], true
	}
	if err != nil {
		return r, &failure{reading, err}
	}
	return r, nil
}

// CloseIdle closes the pooled connections that carry no request.
func (c *Client) CloseIdle() { c.transport.CloseIdleConnections() }

func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, &failure{connecting, err}
	}
	return conn, nil
}

// dialTLS does what the transport would do, with errors that tell a failed
// handshake from a failed connection.
func (c *Client) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	config := c.tls.Clone()
	if config.ServerName, _, err = net.SplitHostPort(address); err != nil {
		return nil, errors.Join(&failure{sending, err}, conn.Close())
	}
	ctx, cancel := context.WithTimeout(ctx, c.tlsTimeout)
	defer cancel()
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake says why
		return nil, &failure{securing, err}
	}
	return secured, nil
}

// failed says at which stage the transport failed with req.
func failed(req *http.Request, err error) error {
	if _, ok := errors.AsType[*failure](err); ok {
		return err
	}
	if !sendable(req) {
		return &failure{sending, err}
	}
	return &failure{waiting, err}
}

// sendable reports whether the transport can have begun with req. It is asked
// only after a failure: the transport checks the same and gives no typed error.
func sendable(req *http.Request) bool {
	if req.URL.Scheme != "http" && req.URL.Scheme != "https" || req.URL.Host == "" {
		return false
	}
	for name, values := range req.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			return false
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return false
			}
		}
	}
	return true
}
