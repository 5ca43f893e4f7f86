package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http/httptrace"
	"time"
)

// maxShort bounds what takes the short road, in bytes of the body. A receiver
// may answer before it has read a larger one, and then no longer read: that
// needs somebody who reads while another writes, as net/http does. What shows a
// certificate has no other road: there such an attempt takes all of its time.
const maxShort = 64 << 10

// hasShort reports whether there is a short road to an origin.
func (c *Client) hasShort(to origin) bool {
	return !to.secure || to.identity != "" || c.http1.has(to.address)
}

// An attempt is one request on the short road.
type attempt struct {
	ctx      context.Context //nolint:containedctx // it lives as long as the call that it was given to
	deadline time.Time
	to       origin
	shows    *tls.Certificate // that to.identity names; nil = none
	wire     []byte           // the whole request
	clock    *stopwatch
}

// sendShort sends a over a pooled connection, if there is one, and over a new
// one when that turns out to be closed before anything of the answer has come.
func (c *Client) sendShort(a *attempt) (Response, error) {
	if conn := c.idle.take(a.to); conn != nil {
		resp, err := c.over(conn, a)
		if !errors.Is(err, errUnanswered) {
			return resp, err
		}
	}
	conn, err := c.connect(a)
	if err != nil {
		if cancelled := a.ctx.Err(); errors.Is(cancelled, context.Canceled) {
			return Response{}, &failure{waiting, cancelled}
		}
		return Response{}, err
	}
	return c.over(conn, a)
}

// over sends a over conn and pools or closes it.
func (c *Client) over(conn *conn, a *attempt) (Response, error) {
	a.clock.reused(conn.used)
	if err := conn.SetDeadline(a.deadline); err != nil {
		conn.abandon()
		return Response{}, &failure{waiting, err}
	}
	// What a cancelled attempt waits for ends at once.
	undisturbed := func() bool { return true }
	if a.ctx.Done() != nil {
		undisturbed = context.AfterFunc(a.ctx, func() { _ = conn.SetDeadline(longAgo) }) // a closed connection needs none
	}
	resp, fate, err := conn.exchange(a.wire, a.clock)
	switch left := !undisturbed(); {
	case err != nil || left:
		conn.abandon()
	case fate == reusable:
		c.idle.put(conn)
	default:
		conn.end(fate)
	}
	if err != nil && errors.Is(a.ctx.Err(), context.Canceled) {
		err = &failure{waiting, context.Canceled}
	}
	return resp, err
}

// connect opens a connection to where a goes.
func (c *Client) connect(a *attempt) (*conn, error) {
	ctx, cancel := context.WithDeadline(a.ctx, a.deadline)
	defer cancel()
	if a.clock != nil {
		ctx = httptrace.WithClientTrace(ctx, a.clock.trace())
	}
	plain, err := c.dialer.dial(ctx, "tcp", a.to.address)
	if err != nil {
		return nil, err
	}
	if !a.to.secure {
		return newConn(a.to, plain, plain)
	}
	secured, err := c.dialer.secure(ctx, plain, a.to.address, a.shows, protocolHTTP1)
	if err != nil {
		c.http1.remove(a.to.address) // it may speak nothing but HTTP/2 by now
		return nil, err
	}
	return newConn(a.to, plain, secured)
}
