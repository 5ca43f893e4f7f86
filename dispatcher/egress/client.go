// Package egress is the only HTTP client for addresses that others chose: it
// judges each address when it is dialled, follows no redirect, heeds no proxy
// and bounds everything that a receiver sends.
package egress

import (
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// MaxResponse bounds what is read of a response body, in bytes: enough for any
// acknowledgement or error page, too little to fill the memory.
const MaxResponse = 64 << 10

const (
	maxResponseHeader = 64 << 10 // bytes; a page behind a proxy with many cookies stays below

	// Idle connections of each road. One of the short road costs about 2 KiB, or
	// 12 with TLS, one of net/http about 22. One busy host may hold half: what it
	// loses to the bound, it dials again.
	maxIdle        = 1024
	maxIdlePerHost = maxIdle / 2
	idleTimeout    = 90 * time.Second

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
//
// There are two roads to a receiver. The short one is HTTP/1.1 in the goroutine
// of the attempt, for http://, for the https:// hosts that are known not to
// speak HTTP/2, and for all that shows a certificate, whose connections it keeps
// apart. Everything else takes the long one, which is net/http.
type Client struct {
	dialer dialer
	idle   *pool          // connections of the short road
	http1  *versions      // https hosts that chose HTTP/1.1
	long   http.Transport // the long road
}

// New makes a Client.
func New(o Options) *Client {
	c := &Client{
		dialer: dialer{
			net: net.Dialer{
				Timeout:        orDefault(o.ConnectTimeout, defaultConnectTimeout),
				ControlContext: Guard{Allow: o.Allow}.control,
			},
			rootCAs:    o.RootCAs,
			tlsTimeout: orDefault(o.TLSTimeout, defaultTLSTimeout),
		},
		idle:  newPool(maxIdle, maxIdlePerHost, idleTimeout),
		http1: newVersions(),
	}
	c.pave()
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
	Reused    bool   // the connection had been used before
}

// CloseIdle closes the pooled connections that carry no request.
func (c *Client) CloseIdle() {
	c.idle.closeAll()
	c.long.CloseIdleConnections()
}
