package egress

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"

	"golang.org/x/net/http/httpguts"
)

const (
	// A connection of HTTP/2 that is silent for this long is asked for a sign
	// of life; else a dead one would fail attempts until TCP gives up.
	http2Silence = 15 * time.Second
	http2Buffer  = 1 << 20 // bytes that a connection may send ahead
)

// pave makes the long road.
func (c *Client) pave() {
	// No Proxy: one would dial in our place, past the guard.
	c.long = http.Transport{
		DialContext:            c.dialer.dial,
		DialTLSContext:         c.dialLong,
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
}

// dialLong does what the transport would do, with errors that tell a failed
// handshake from a failed connection. It remembers who does not speak HTTP/2:
// from the next request on, that host has the short road.
func (c *Client) dialLong(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.dialer.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	secured, err := c.dialer.secure(ctx, conn, address, nil, protocolHTTP2, protocolHTTP1)
	if err != nil {
		return nil, err
	}
	if secured.ConnectionState().NegotiatedProtocol != protocolHTTP2 {
		c.http1.add(address)
	}
	return secured, nil
}

// sendLong sends req, whose context has a deadline, over the long road.
func (c *Client) sendLong(req *http.Request) (Response, error) {
	clock := watch(req.Context())
	if clock == nil {
		clock = new(stopwatch) // the transport says only to a trace whether a connection was used before
	}
	defer clock.stop()
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), clock.trace()))

	// With this key, and no value to send, the transport takes a POST for
	// repeatable.
	const repeatable = "Idempotency-Key"
	if _, ok := req.Header[repeatable]; !ok {
		req.Header[repeatable] = nil
	}

	resp, err := c.long.RoundTrip(req)
	if err != nil {
		return Response{}, failed(req, err)
	}
	// What matters of the body has been read by then; to close it before its
	// end closes the connection.
	defer func() { _ = resp.Body.Close() }()
	r, err := digest(resp)
	r.Reused = clock.wasReused()
	return r, err
}

// digest reads what is wanted of a response.
func digest(resp *http.Response) (Response, error) {
	r := Response{Status: resp.StatusCode, Header: resp.Header}
	if resp.Body == http.NoBody || r.Status == http.StatusSwitchingProtocols {
		return r, nil // after a switch the body is the bare connection, which heeds no deadline
	}
	var err error
	r.Body, err = io.ReadAll(io.LimitReader(resp.Body, MaxResponse+1))
	if len(r.Body) > MaxResponse {
		r.Body, r.Truncated = r.Body[:MaxResponse], true
	}
	if err != nil {
		return r, &failure{reading, err}
	}
	return r, nil
}

// failed says at which stage the transport failed with req.
func failed(req *http.Request, err error) error {
	if isFailure(err) {
		return err
	}
	if !sendable(req) {
		return &failure{sending, err}
	}
	return &failure{waiting, err}
}

// sendable reports whether the transport can begin with req. It checks the same,
// and gives no typed error.
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
