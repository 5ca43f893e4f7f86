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
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/internal/secrecy"
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
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it only binds
	if err != nil {
		t.Fatal(err)
	}
	h := &hostile{address: scheme(secure) + "://" + l.Addr().String()}
	o := egress.Options{Allow: loopback}
	if secure {
		var config *tls.Config
		config, o.RootCAs = certificate(t)
		l = tls.NewListener(l, config)
	}
	var conns sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close() // the connections end with the client's
		conns.Wait()
	})
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			on := int(h.connections.Add(1))
			conns.Go(func() { h.serve(conn, on, serve) })
		}
	})
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
	defer func() { _ = conn.Close() }() // the client may have done so
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

func TestAConnectionThatIsNotCleanIsNotReused(t *testing.T) {
	const gone = "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
	for name, answer := range map[string]string{
		"a second answer that nobody asked for": ok + gone,
		"a body longer than its length":         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok, and more",
		"a body where there must be none":       "HTTP/1.1 204 No Content\r\n\r\n" + gone,
		"a length without a body":               "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello",
		"more than one buffer of it":            ok + gone + strings.Repeat(gone, 300),
		"something after the last chunk":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + gone,
		"a connection that is to be closed":     "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		"an old version":                        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			for _, secure := range []bool{false, true} {
				t.Run(scheme(secure), func(t *testing.T) {
					h, c := newHostile(t, secure, func(x exchange) bool { x.answer(answer); return false })
					for range 5 {
						if resp := mustSend(t, c, h.address); resp.Status >= 400 || resp.Reused {
							t.Errorf("got %d, on a used connection: %v", resp.Status, resp.Reused)
						}
					}
					if h.requests.Load() != 5 || h.connections.Load() != 5 {
						t.Errorf("%d requests on %d connections, want 5 on 5", h.requests.Load(), h.connections.Load())
					}
				})
			}
		})
	}
}

func TestWhatComesWhileAConnectionIsIdleEndsIt(t *testing.T) {
	for name, late := range map[string]string{"an answer": ok, "its end": ""} {
		t.Run(name, func(t *testing.T) {
			for _, secure := range []bool{false, true} {
				t.Run(scheme(secure), func(t *testing.T) {
					answered, done := make(chan struct{}), make(chan struct{})
					h, c := newHostile(t, secure, func(x exchange) bool {
						x.answer(ok)
						if x.on > 1 {
							return false
						}
						<-answered
						defer close(done)
						if late == "" {
							_ = x.Close() // what has come by then is seen by the client
							return true
						}
						x.answer(late)
						return false
					})
					mustSend(t, c, h.address)
					close(answered)
					<-done
					if resp := mustSend(t, c, h.address); resp.Reused {
						t.Error("the connection was used again")
					}
					if h.requests.Load() != 2 || h.connections.Load() != 2 {
						t.Errorf("%d requests on %d connections, want 2 on 2", h.requests.Load(), h.connections.Load())
					}
				})
			}
		})
	}
}

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

func TestConnectionsThatCloseAfterEachAnswerFailNoAttempt(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(scheme(secure), func(t *testing.T) {
			h, c := newHostile(t, secure, func(x exchange) bool { x.answer(ok); return x.number%3 == 0 }) // without a word about it
			var senders sync.WaitGroup
			for range 8 {
				senders.Go(func() {
					for range 50 {
						if resp, err := send(t, c, h.address, long); err != nil || resp.Status != 200 {
							t.Errorf("got %d and %v", resp.Status, err)
						}
					}
				})
			}
			senders.Wait()
			if n := h.requests.Load(); n < 400 {
				t.Errorf("%d requests arrived, want 400", n)
			}
		})
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

func TestIdleConnectionsAreBounded(t *testing.T) {
	const hosts, each = 4, 3
	c := newClient(t, egress.Options{Allow: loopback})
	c.BoundIdle(hosts*each/2, each-1, time.Hour)
	var open [hosts]*hostile
	for i := range open {
		var together sync.WaitGroup
		together.Add(each)
		open[i], _ = newHostile(t, false, func(x exchange) bool {
			if x.number == 1 {
				together.Done()
				together.Wait()
			}
			x.answer(ok)
			return false
		})
		var senders sync.WaitGroup
		for range each {
			senders.Go(func() {
				if _, err := send(t, c, open[i].address, long); err != nil {
					t.Error(err)
				}
			})
		}
		senders.Wait()
		if want := min((i+1)*(each-1), hosts*each/2); c.Idle() != want {
			t.Errorf("%d connections are idle after %d hosts, want %d", c.Idle(), i+1, want)
		}
	}
	// The newest are kept: the last host has its own still, the first has none.
	if resp := mustSend(t, c, open[hosts-1].address); !resp.Reused {
		t.Error("the host used last has no connection left")
	}
	c.CloseIdle()
	if c.Idle() != 0 {
		t.Errorf("%d connections are idle after all were closed", c.Idle())
	}
}

func TestAConnectionThatIsIdleForTooLongIsClosed(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	c := newClient(t, egress.Options{Allow: loopback})
	c.BoundIdle(10, 10, 20*time.Millisecond)
	mustSend(t, c, r.URL("/"))
	eventually.True(t, "no connection is idle", func() bool { return c.Idle() == 0 })
	if resp := mustSend(t, c, r.URL("/")); resp.Reused {
		t.Error("the connection was used again")
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

func TestATargetThatCannotBeSentToIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		url    url.URL
		header http.Header
	}{
		"another scheme":                   {url.URL{Scheme: "ftp", Host: "a.example"}, nil},
		"no host":                          {url.URL{Scheme: "https"}, nil},
		"a control character in the query": {url.URL{Scheme: "https", Host: "a.example", RawQuery: "a\r\nX-Admin: 1"}, nil},
		"a line break in a host":           {url.URL{Scheme: "https", Host: "a.example\r\nX-Admin: 1"}, nil},
		"a line break in a value":          {url.URL{Scheme: "https", Host: "a.example"}, http.Header{"X-Token": {"hunter2\r\nX-Admin: 1"}}},
		"a blank in a name":                {url.URL{Scheme: "https", Host: "a.example"}, http.Header{"X Token": {"hunter2"}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := egress.NewTarget(&tt.url, tt.header)
			wantFailure(t, err, outcome.Unsendable, "not a valid HTTP request")
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error quotes a value: %v", err)
			}
		})
	}
}

func TestAFieldThatIsMoreThanOneIsNotSent(t *testing.T) {
	for _, w := range roads {
		t.Run(w.name, func(t *testing.T) {
			if !w.post {
				return
			}
			r, c := w.open(t)
			u, err := url.Parse(r.URL("/"))
			if err != nil {
				t.Fatal(err)
			}
			target, err := egress.NewTarget(u, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range []egress.Field{{Name: "X-Token", Value: "hunter2\r\nX-Admin: 1"}, {Name: "X Token"}, {Name: ""}} {
				_, err := c.Post(t.Context(), &egress.Post{Target: target, Fields: []egress.Field{f}, Deadline: time.Now().Add(long)})
				wantFailure(t, err, outcome.Unsendable, "not a valid HTTP request")
			}
			_, err = c.Post(t.Context(), &egress.Post{Target: target}) // without a deadline
			wantFailure(t, err, outcome.Unsendable, "not a valid HTTP request")
			if r.Count() != 0 {
				t.Errorf("%d requests arrived", r.Count())
			}
		})
	}
}

func TestATargetDoesNotShowWhatItCarries(t *testing.T) {
	const secret = "hunter2-hunter2-hunter2"
	u := &url.URL{Scheme: "https", Host: "a.example", RawQuery: "token=" + secret}
	target, err := egress.NewTarget(u, http.Header{"Authorization": {"Bearer " + secret}})
	if err != nil {
		t.Fatal(err)
	}
	secrecy.AssertNo(t, secret, map[string]any{"a target": target, "what it points to": *target, "a post": egress.Post{Target: target}})
}
