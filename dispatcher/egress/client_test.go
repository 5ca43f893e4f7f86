package egress_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/test/receiver"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// long is ample for what must succeed, short is what a test of a timeout takes.
const long, short = 30 * time.Second, 100 * time.Millisecond

func newClient(t *testing.T, o egress.Options) *egress.Client {
	t.Helper()
	c := egress.New(o)
	t.Cleanup(c.CloseIdle)
	return c
}

// send posts a small body within the timeout.
func send(t *testing.T, c *egress.Client, url string, timeout time.Duration) (egress.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	return c.Send(req)
}

func mustSend(t *testing.T, c *egress.Client, url string) egress.Response {
	t.Helper()
	resp, err := send(t, c, url, long)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// wantFailure checks what Classify makes of err.
func wantFailure(t *testing.T, err error, reason outcome.Reason, detail string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s: %s", reason, detail)
	}
	if r, d := egress.Classify(err); r != reason || d != detail {
		t.Errorf("classified as %s: %s, want %s: %s (%v)", r, d, reason, detail, err)
	}
}

func TestADeniedAddressIsNotDialled(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	c := newClient(t, egress.Options{})
	port := r.URL("")[strings.LastIndexByte(r.URL(""), ':'):]
	for url, detail := range map[string]string{
		r.URL("/"):                                  "loopback address",
		"http://localhost" + port:                   "loopback address", // a name that resolves to loopback
		"http://[::ffff:127.0.0.1]" + port:          "loopback address",
		"http://0.0.0.0" + port:                     "unspecified address",
		"http://169.254.169.254/latest/meta-data/":  "link-local or metadata address",
		"https://[fd00:ec2::254]/latest/meta-data/": "private address",
		"https://10.0.0.1/":                         "private address",
	} {
		_, err := send(t, c, url, long)
		wantFailure(t, err, outcome.EgressDenied, detail)
	}
	if r.Connections() != 0 {
		t.Errorf("the receiver was dialled %d times", r.Connections())
	}
}

func TestTheProxyOfTheEnvironmentIsIgnored(t *testing.T) {
	proxy := receiver.New(t, receiver.Options{})
	t.Setenv("HTTP_PROXY", proxy.URL("")) // which Go would not use for a receiver on loopback
	t.Setenv("HTTPS_PROXY", proxy.URL(""))
	c := newClient(t, egress.Options{Allow: loopback})
	_, err := send(t, c, "http://203.0.113.1/", long)
	wantFailure(t, err, outcome.EgressDenied, "documentation address")
	if proxy.Connections() != 0 {
		t.Error("the proxy was asked")
	}
}

func TestARedirectIsAnAnswerAndIsNotFollowed(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	r.On("/", receiver.Redirect("http://169.254.169.254/latest/meta-data/"))
	r.On("/here", receiver.Redirect("/"))
	c := newClient(t, egress.Options{Allow: loopback})
	for _, path := range []string{"/", "/here"} {
		if resp := mustSend(t, c, r.URL(path)); resp.Status != 302 || resp.Header.Get("Location") == "" {
			t.Errorf("%s answered %d", path, resp.Status)
		}
	}
	if r.Count() != 2 {
		t.Errorf("%d requests arrived, want 2", r.Count())
	}
}

func TestStatusHeaderAndBodyOfTheAnswerAreReturned(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	r.On("/", receiver.Body("thank you"))
	r.On("/busy", receiver.RetryAfter(503, "120"))
	c := newClient(t, egress.Options{Allow: loopback})
	if resp := mustSend(t, c, r.URL("/")); resp.Status != 200 || string(resp.Body) != "thank you" || resp.Truncated {
		t.Errorf("got %+v", resp)
	}
	if resp := mustSend(t, c, r.URL("/busy")); resp.Status != 503 || resp.Header.Get("Retry-After") != "120" {
		t.Errorf("got %+v", resp)
	}
	for _, got := range r.Requests() {
		for _, name := range []string{"Idempotency-Key", "Accept-Encoding", "Cookie"} {
			if v, ok := got.Header[name]; ok {
				t.Errorf("%s: %q was sent", name, v)
			}
		}
	}
}

func TestConnectionsAreReusedUnlessTheBodyGoesOn(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	c := newClient(t, egress.Options{Allow: loopback})
	for _, tt := range []struct {
		name        string
		reply       http.HandlerFunc
		connections int
	}{
		{"an empty body", receiver.Status(204), 1},
		{"a short body", receiver.Body("ok"), 1},
		{"a body of exactly the limit", receiver.Flood(egress.MaxResponse), 1},
		{"a chunked body of exactly the limit", receiver.Body(strings.Repeat(".", egress.MaxResponse)), 1},
		{"a body beyond the limit", receiver.Flood(egress.MaxResponse + 1), 10},
	} {
		r.On("/", tt.reply)
		before := r.Connections()
		for range 10 {
			if resp := mustSend(t, c, r.URL("/")); resp.Truncated != (tt.connections > 1) || len(resp.Body) > egress.MaxResponse {
				t.Fatalf("%s: %d bytes, truncated: %v", tt.name, len(resp.Body), resp.Truncated)
			}
		}
		if got := r.Connections() - before; got > tt.connections {
			t.Errorf("%s: %d connections for 10 requests, want %d", tt.name, got, tt.connections)
		}
	}
}

func TestAGigabyteIsCutOff(t *testing.T) {
	for _, tls := range []bool{false, true} {
		r := receiver.New(t, receiver.Options{TLS: tls})
		r.On("/", receiver.Flood(1<<30))
		o := egress.Options{Allow: loopback}
		if tls {
			o.RootCAs = r.RootCAs()
		}
		resp := mustSend(t, newClient(t, o), r.URL("/"))
		if resp.Status != 200 || len(resp.Body) != egress.MaxResponse || !resp.Truncated {
			t.Errorf("got %d with %d bytes, truncated: %v", resp.Status, len(resp.Body), resp.Truncated)
		}
	}
}

func TestAGzipBombIsNotDecompressed(t *testing.T) {
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	if _, err := w.Write(make([]byte, 10<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r := receiver.New(t, receiver.Options{})
	r.On("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes()) // the client checks what came
	})
	resp := mustSend(t, newClient(t, egress.Options{Allow: loopback}), r.URL("/"))
	if !bytes.Equal(resp.Body, bomb.Bytes()) {
		t.Errorf("got %d bytes, want the %d that were sent", len(resp.Body), bomb.Len())
	}
}

func TestAReceiverThatTakesTooLongTimesOut(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	c := newClient(t, egress.Options{Allow: loopback})

	r.On("/", receiver.Hang(nil, receiver.Status(200)))
	_, err := send(t, c, r.URL("/"), short)
	wantFailure(t, err, outcome.Timeout, "no answer in time")

	r.On("/", receiver.Drip(time.Second))
	resp, err := send(t, c, r.URL("/"), short)
	wantFailure(t, err, outcome.Timeout, "answer not complete in time")
	if resp.Status != 200 {
		t.Errorf("the status is %d, want 200", resp.Status)
	}
}

func TestACancelledAttemptEnds(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	r.On("/", receiver.Hang(nil, receiver.Status(200)))
	ctx, cancel := context.WithTimeout(t.Context(), long)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL("/"), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	var attempt sync.WaitGroup
	attempt.Go(func() {
		_, err := newClient(t, egress.Options{Allow: loopback}).Send(req)
		wantFailure(t, err, outcome.Timeout, "attempt cancelled")
	})
	r.Wait(t, 1)
	cancel()
	attempt.Wait()
}

func TestAReceiverThatBreaksOffIsTold(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	c := newClient(t, egress.Options{Allow: loopback})

	r.On("/", receiver.HangUp)
	_, err := send(t, c, r.URL("/"), long)
	wantFailure(t, err, outcome.ConnectFailed, "connection closed without an answer")

	r.On("/", receiver.BreakOff)
	resp, err := send(t, c, r.URL("/"), long)
	wantFailure(t, err, outcome.BodyFailed, "answer broke off")
	if resp.Status != 200 || !strings.HasPrefix("half an answer", string(resp.Body)) {
		t.Errorf("got %d with %q", resp.Status, resp.Body)
	}
}

func TestAPooledConnectionThatTurnsOutClosedCostsNoAttempt(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	r.On("/", receiver.Status(200), receiver.HangUp, receiver.Status(202))
	c := newClient(t, egress.Options{Allow: loopback})
	mustSend(t, c, r.URL("/"))
	if resp := mustSend(t, c, r.URL("/")); resp.Status != 202 {
		t.Errorf("got %d, want 202", resp.Status)
	}
	got := r.Wait(t, 3)
	if string(got[1].Body) != "{}" || string(got[2].Body) != "{}" {
		t.Errorf("the bodies are %q and %q, want the same twice", got[1].Body, got[2].Body)
	}
}

// raw answers what comes first on each connection with the same bytes and keeps
// it open.
func raw(t *testing.T, answer string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it only binds
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		conns.Wait()
	})
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer func() { _ = conn.Close() }() // the client may have done so
				if _, err := conn.Read(make([]byte, 1)); err != nil {
					return
				}
				_, _ = io.WriteString(conn, answer) // the client checks what came
				_, _ = io.Copy(io.Discard, conn)    // until the client has enough
			})
		}
	})
	return l.Addr().String()
}

func TestWhatIsNotHTTPIsNoAnswer(t *testing.T) {
	c := newClient(t, egress.Options{Allow: loopback})
	for name, answer := range map[string]string{
		"another protocol":  "SSH-2.0-OpenSSH_9.9\r\n",
		"an endless header": "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Padding: "+strings.Repeat("a", 1000)+"\r\n", 100),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := send(t, c, "http://"+raw(t, answer), long)
			wantFailure(t, err, outcome.ConnectFailed, "no valid HTTP answer")
		})
	}
	_, err := send(t, c, "http://"+raw(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n"), long)
	wantFailure(t, err, outcome.BodyFailed, "answer not valid HTTP")
}

func TestASwitchOfProtocolsIsNotAccepted(t *testing.T) {
	addr := raw(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if resp := mustSend(t, newClient(t, egress.Options{Allow: loopback}), "http://"+addr); resp.Status != 101 {
		t.Errorf("got %d", resp.Status)
	}
}

func TestWhatCannotBeSentIsUnsendable(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	c := newClient(t, egress.Options{Allow: loopback})
	for name, spoil := range map[string]func(*http.Request){
		"another scheme": func(r *http.Request) { r.URL.Scheme = "ftp" },
		"no host":        func(r *http.Request) { r.URL.Host = "" },
		"a header value": func(r *http.Request) { r.Header.Set("X-Team", "cms\r\nX-Admin: 1") },
		"a header name":  func(r *http.Request) { r.Header["X Team"] = []string{"cms"} },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), long)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL("/"), http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			spoil(req)
			_, err = c.Send(req)
			wantFailure(t, err, outcome.Unsendable, "not a valid HTTP request")
		})
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL("/"), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Send(req) // without a deadline
	wantFailure(t, err, outcome.Unsendable, "not a valid HTTP request")
	if r.Count() != 0 {
		t.Errorf("%d requests arrived", r.Count())
	}
}
