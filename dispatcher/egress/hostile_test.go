package egress_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/test/receiver"
)

// A hostile is a receiver that writes what it wants.
type hostile struct {
	address     string // of the URL, without a path
	connections atomic.Int32
	requests    atomic.Int32
}

// An exchange is one request of a connection, as a hostile sees it.
type exchange struct {
	net.Conn
	on, number int // the connection and the request on it, from 1
}

// answer writes s. A client that has enough breaks off.
func (x exchange) answer(s string) { _, _ = io.WriteString(x, s) }

// newHostile starts a hostile, with TLS or without, and a client that takes the
// short road to it. It calls serve for each request, when all of it has come,
// and closes the connection when serve says that it ends there.
func newHostile(t *testing.T, secure bool, serve func(exchange) (end bool)) (*hostile, *egress.Client) {
	t.Helper()
	o := egress.Options{Allow: loopback}
	var config *tls.Config
	if secure {
		config, o.RootCAs = certificate(t)
	}
	h := &hostile{}
	h.address = scheme(secure) + "://" + accept(t, config, func(conn net.Conn) { h.serve(conn, int(h.connections.Add(1)), serve) })
	c := newClient(t, o)
	if secure {
		if err := c.TakeForHTTP1(h.address); err != nil {
			t.Fatal(err)
		}
	}
	return h, c
}

func scheme(secure bool) string {
	if secure {
		return "https"
	}
	return "http"
}

func (h *hostile) serve(conn net.Conn, on int, serve func(exchange) bool) {
	requests := bufio.NewReader(conn)
	for number := 1; ; number++ {
		req, err := http.ReadRequest(requests)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		h.requests.Add(1)
		if serve(exchange{conn, on, number}) {
			return
		}
	}
}

// certificate is what a receiver on loopback and its client need for TLS.
func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates, NextProtos: []string{"http/1.1"}}, pool
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

func TestAnAnswerEndsWhereHTTPSaysSo(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		end          bool // the receiver closes the connection then
		status       int
		body         string
		reused       bool
	}{
		{"early hints", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + ok, false, 200, "", true},
		{"no length", "HTTP/1.1 200 OK\r\n\r\nall that comes", true, 200, "all that comes", false},
		{"an old version", "HTTP/1.0 500 Oops\r\n\r\nall that comes", true, 500, "all that comes", false},
		{"an old version that goes on", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", false, 200, "ok", true},
		{"chunks with a trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n1;a=b\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n", false, 200, "ok!", true},
		{"a length and chunks, which win", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false, 200, "ok", true},
		{"no body by its status", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, 304, "", true},
		{"lines that end in a line feed", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", false, 200, "ok", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, secure := range []bool{false, true} {
				t.Run(scheme(secure), func(t *testing.T) {
					h, c := newHostile(t, secure, func(x exchange) bool { x.answer(tt.answer); return tt.end })
					for i := range 3 {
						if resp := mustSend(t, c, h.address); resp.Status != tt.status || string(resp.Body) != tt.body || resp.Reused != (tt.reused && i > 0) {
							t.Errorf("got %d with %q, on a used connection: %v", resp.Status, resp.Body, resp.Reused)
						}
					}
				})
			}
		})
	}
}

func TestAReceiverThatNeverComesToThePointIsCutOff(t *testing.T) {
	const invalid, late = "no valid HTTP answer", "no answer in time"
	endless := func(piece string) func(exchange) bool {
		return func(x exchange) bool {
			for {
				if _, err := io.WriteString(x, piece); err != nil {
					return true
				}
			}
		}
	}
	once := func(answer string) func(exchange) bool {
		return func(x exchange) bool { x.answer(answer); return false }
	}
	for _, tt := range []struct {
		name   string
		serve  func(exchange) bool
		reason outcome.Reason
		detail string
	}{
		{"an endless header", endless("X-Padding: " + strings.Repeat("a", 1000) + "\r\n"), outcome.ConnectFailed, invalid},
		{"an endless line", endless(strings.Repeat("a", 1000)), outcome.ConnectFailed, invalid},
		{"endless informational answers", endless("HTTP/1.1 103 Early Hints\r\n\r\n"), outcome.ConnectFailed, invalid},
		{"endless empty lines", endless("\r\n"), outcome.ConnectFailed, invalid},
		{"something before the answer", once("\x00\x00" + ok), outcome.ConnectFailed, invalid},
		{"a body before the answer", once("hello\r\n" + ok), outcome.ConnectFailed, invalid},
		{"two lengths", once("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello"), outcome.ConnectFailed, invalid},
		{"a length below zero", once("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), outcome.ConnectFailed, invalid},
		{"an encoding of transfer that is unknown", once("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"), outcome.ConnectFailed, invalid},
		{"a status beyond three digits", once("HTTP/1.1 2000 OK\r\n\r\n"), outcome.ConnectFailed, invalid},
		{"another version", once("HTTP/9.1 OK\r\n\r\n"), outcome.ConnectFailed, invalid},
		{"an endless trailer", once("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("X-Padding: "+strings.Repeat("a", 1000)+"\r\n", 100)), outcome.BodyFailed, "answer not valid HTTP"},
		{"a header that drips", drip("HTTP/1.1 200 OK\r\nX-Padding: ", "a"), outcome.Timeout, late},
		{"chunks that drip", drip("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n"), outcome.Timeout, "answer not complete in time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, secure := range []bool{false, true} {
				t.Run(scheme(secure), func(t *testing.T) {
					h, c := newHostile(t, secure, tt.serve)
					patience := long
					if tt.reason == outcome.Timeout {
						patience = short
					}
					_, err := send(t, c, h.address, patience)
					wantFailure(t, err, tt.reason, tt.detail)
					if c.Idle() != 0 {
						t.Error("the connection was kept")
					}
				})
			}
		})
	}
}

// drip answers with s at once and then with a piece every few milliseconds.
func drip(s, piece string) func(exchange) bool {
	return func(x exchange) bool {
		x.answer(s)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := io.WriteString(x, piece); err != nil {
				return true
			}
		}
		return true
	}
}

func TestAnAnswerThatComesBeforeTheBodyWasReadCounts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it only binds
	if err != nil {
		t.Fatal(err)
	}
	var server sync.WaitGroup
	t.Cleanup(server.Wait)
	server.Go(func() {
		conn, err := l.Accept()
		_ = l.Close() // one is enough
		if err != nil {
			return
		}
		if _, err := conn.Read(make([]byte, 10)); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n") // the client checks what came
		}
		_ = conn.Close() // with a reset, for most of the request is unread
	})
	u := &url.URL{Scheme: "http", Host: l.Addr().String(), Path: "/"}
	target, err := egress.NewTarget(u, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, egress.Options{Allow: loopback})
	resp, err := c.Post(t.Context(), &egress.Post{Target: target, Body: make([]byte, 64<<10), Deadline: time.Now().Add(long)})
	if err != nil || resp.Status != 413 {
		t.Errorf("got %d and %v", resp.Status, err)
	}
}

func TestNoHeaderOfAnAnswerHoldsALineBreak(t *testing.T) {
	h, c := newHostile(t, false, func(x exchange) bool {
		x.answer("HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\nX-Bare: a\rX-Injected: 1\r\nContent-Length: 0\r\n\r\n")
		return false
	})
	resp, err := send(t, c, h.address, long)
	if err == nil {
		for name, values := range resp.Header {
			if strings.ContainsAny(name+strings.Join(values, ""), "\n") || name == "X-Injected" {
				t.Errorf("%q: %q", name, values)
			}
		}
	}
	if got := resp.Header.Get("X-Folded"); err == nil && got != "a b" {
		t.Errorf("the folded header is %q", got)
	}
}

func TestTheGuardJudgesTheShortRoadToHTTPS(t *testing.T) {
	r := receiver.New(t, receiver.Options{TLS: true, HTTP1: true})
	c := newClient(t, egress.Options{RootCAs: r.RootCAs()})
	if err := c.TakeForHTTP1(r.URL("")); err != nil {
		t.Fatal(err)
	}
	_, err := send(t, c, r.URL("/"), long)
	wantFailure(t, err, outcome.EgressDenied, "loopback address")
	if r.Connections() != 0 {
		t.Error("the receiver was dialled")
	}
}
