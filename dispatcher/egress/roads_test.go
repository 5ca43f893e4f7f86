package egress_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/test/receiver"
)

// A road is one of the ways from a client to a receiver. What a test promises
// holds on all of them.
type road struct {
	name       string
	tls, http2 bool
}

var roads = []road{{name: "http"}, {name: "https", tls: true}, {name: "HTTP/2", tls: true, http2: true}}

// open starts a receiver at the end of the road and a client that takes it.
func (w road) open(tb testing.TB) (*receiver.Receiver, *egress.Client) {
	tb.Helper()
	r := receiver.New(tb, receiver.Options{TLS: w.tls, HTTP1: !w.http2})
	o := egress.Options{Allow: loopback}
	if w.tls {
		o.RootCAs = r.RootCAs()
	}
	c := egress.New(o)
	tb.Cleanup(c.CloseIdle)
	if w.tls && !w.http2 {
		if err := c.TakeForHTTP1(r.URL("")); err != nil {
			tb.Fatal(err)
		}
	}
	return r, c
}

// send posts a body, with headers, within the timeout.
func (w road) send(ctx context.Context, tb testing.TB, c *egress.Client, address string, timeout time.Duration) (egress.Response, error) {
	tb.Helper()
	return c.Post(ctx, &egress.Post{
		Target: target(tb, address, http.Header{"X-Team": {"cms"}}), Fields: []egress.Field{{Name: "Webhook-Id", Value: "msg_1"}},
		Body: []byte(`{"type":"item:added"}`), Deadline: time.Now().Add(timeout),
	})
}

func (w road) mustSend(tb testing.TB, c *egress.Client, address string) egress.Response {
	tb.Helper()
	resp, err := w.send(tb.Context(), tb, c, address, long)
	if err != nil {
		tb.Fatal(err)
	}
	return resp
}

func TestARequestArrivesAsItWasMade(t *testing.T) {
	for _, w := range roads {
		t.Run(w.name, func(t *testing.T) {
			r, c := w.open(t)
			w.mustSend(t, c, r.URL("/hooks/a%2Fb?token=%26&x"))
			got := r.Wait(t, 1)[0]
			if got.Method != http.MethodPost || got.Target != "/hooks/a%2Fb?token=%26&x" || string(got.Body) != `{"type":"item:added"}` {
				t.Errorf("%s %s arrived with %q", got.Method, got.Target, got.Body)
			}
			if w.http2 != (got.Proto == "HTTP/2.0") {
				t.Errorf("it came by %s", got.Proto)
			}
			for name, want := range map[string]string{"X-Team": "cms", "Webhook-Id": "msg_1", "Content-Length": "21"} {
				if v := got.Header.Values(name); len(v) != 1 || v[0] != want {
					t.Errorf("%s: %q arrived, want %q", name, v, want)
				}
			}
			for _, name := range []string{"Idempotency-Key", "Accept-Encoding", "Cookie", "Transfer-Encoding"} {
				if v, ok := got.Header[name]; ok {
					t.Errorf("%s: %q was sent", name, v)
				}
			}
		})
	}
}

func TestARedirectIsAnAnswerAndIsNotFollowed(t *testing.T) {
	for _, w := range roads {
		t.Run(w.name, func(t *testing.T) {
			r, c := w.open(t)
			r.On("/", receiver.Redirect("http://169.254.169.254/latest/meta-data/"))
			r.On("/here", receiver.Redirect("/"))
			for _, path := range []string{"/", "/here"} {
				if resp := w.mustSend(t, c, r.URL(path)); resp.Status != 302 || resp.Header.Get("Location") == "" {
					t.Errorf("%s answered %d", path, resp.Status)
				}
			}
			if r.Count() != 2 {
				t.Errorf("%d requests arrived, want 2", r.Count())
			}
		})
	}
}

func TestStatusHeaderAndBodyOfTheAnswerAreReturned(t *testing.T) {
	for _, w := range roads {
		t.Run(w.name, func(t *testing.T) {
			r, c := w.open(t)
			r.On("/", receiver.Body("thank you"))
			r.On("/busy", receiver.RetryAfter(503, "120"))
			if resp := w.mustSend(t, c, r.URL("/")); resp.Status != 200 || string(resp.Body) != "thank you" || resp.Truncated || resp.Reused {
				t.Errorf("got %+v", resp)
			}
			if resp := w.mustSend(t, c, r.URL("/busy")); resp.Status != 503 || resp.Header.Get("Retry-After") != "120" || !resp.Reused {
				t.Errorf("got %+v", resp)
			}
		})
	}
}

func TestConnectionsAreReusedUnlessTheBodyGoesOn(t *testing.T) {
	for _, w := range roads {
		t.Run(w.name, func(t *testing.T) {
			r, c := w.open(t)
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
					if resp := w.mustSend(t, c, r.URL("/")); resp.Truncated != (tt.connections > 1) || len(resp.Body) > egress.MaxResponse {
						t.Fatalf("%s: %d bytes, truncated: %v", tt.name, len(resp.Body), resp.Truncated)
					}
				}
				if got := r.Connections() - before; got > tt.connections {
					t.Errorf("%s: %d connections for 10 requests, want %d", tt.name, got, tt.connections)
				}
			}
		})
	}
}

func TestAGigabyteIsCutOff(t *testing.T) {
	for _, w := range roads {
		t.Run(w.name, func(t *testing.T) {
			r, c := w.open(t)
			r.On("/", receiver.Flood(1<<30))
			resp := w.mustSend(t, c, r.URL("/"))
			if resp.Status != 200 || len(resp.Body) != egress.MaxResponse || !resp.Truncated {
				t.Errorf("got %d with %d bytes, truncated: %v", resp.Status, len(resp.Body), resp.Truncated)
			}
		})
	}
}

func TestAGzipBombIsNotDecompressed(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := z.Write(make([]byte, 10<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, w := range roads {
		t.Run(w.name, func(t *testing.T) {
			r, c := w.open(t)
			r.On("/", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = w.Write(bomb.Bytes()) // the client checks what came
			})
			if resp := w.mustSend(t, c, r.URL("/")); !bytes.Equal(resp.Body, bomb.Bytes()) {
				t.Errorf("got %d bytes, want the %d that were sent", len(resp.Body), bomb.Len())
			}
		})
	}
}

func TestAReceiverThatTakesTooLongTimesOut(t *testing.T) {
	for _, w := range roads {
		t.Run(w.name, func(t *testing.T) {
			r, c := w.open(t)
			r.On("/", receiver.Hang(nil, receiver.Status(200)))
			_, err := w.send(t.Context(), t, c, r.URL("/"), short)
			wantFailure(t, err, outcome.Timeout, "no answer in time")

			r.On("/", receiver.Drip(time.Second))
			resp, err := w.send(t.Context(), t, c, r.URL("/"), short)
			wantFailure(t, err, outcome.Timeout, "answer not complete in time")
			if resp.Status != 200 {
				t.Errorf("the status is %d, want 200", resp.Status)
			}
		})
	}
}

func TestACancelledAttemptEnds(t *testing.T) {
	for _, w := range roads {
		t.Run(w.name, func(t *testing.T) {
			r, c := w.open(t)
			w.mustSend(t, c, r.URL("/")) // so that a pooled connection is tried, once
			for _, reply := range []http.HandlerFunc{receiver.Hang(nil, receiver.Status(200)), receiver.Drip(time.Hour)} {
				r.On("/", reply)
				before := r.Count()
				ctx, cancel := context.WithCancel(t.Context())
				var attempt sync.WaitGroup
				attempt.Go(func() {
					_, err := w.send(ctx, t, c, r.URL("/"), long)
					wantFailure(t, err, outcome.Timeout, "attempt cancelled")
				})
				r.Wait(t, before+1)
				cancel()
				attempt.Wait()
				if r.Count() != before+1 {
					t.Errorf("%d requests arrived, want one", r.Count()-before)
				}
			}
		})
	}
}

func TestAReceiverThatBreaksOffIsTold(t *testing.T) {
	for _, w := range roads {
		t.Run(w.name, func(t *testing.T) {
			r, c := w.open(t)
			r.On("/break", receiver.BreakOff)
			resp, err := w.send(t.Context(), t, c, r.URL("/break"), long)
			if w.http2 {
				wantFailure(t, err, outcome.BodyFailed, "answer not valid HTTP") // a stream that was reset
			} else {
				wantFailure(t, err, outcome.BodyFailed, "answer broke off")
			}
			if resp.Status != 200 || !strings.HasPrefix("half an answer", string(resp.Body)) {
				t.Errorf("got %d with %q", resp.Status, resp.Body)
			}
			if w.http2 {
				return
			}
			r.On("/", receiver.HangUp)
			_, err = w.send(t.Context(), t, c, r.URL("/"), long)
			wantFailure(t, err, outcome.ConnectFailed, "connection closed without an answer")
		})
	}
}

func TestAPooledConnectionThatTurnsOutClosedCostsNoAttempt(t *testing.T) {
	for _, w := range roads {
		t.Run(w.name, func(t *testing.T) {
			if w.http2 {
				return // there the transport knows by itself which streams were not begun
			}
			r, c := w.open(t)
			r.On("/", receiver.Status(200), receiver.HangUp, receiver.Status(202))
			w.mustSend(t, c, r.URL("/"))
			if resp := w.mustSend(t, c, r.URL("/")); resp.Status != 202 || resp.Reused {
				t.Errorf("got %d, on a used connection: %v", resp.Status, resp.Reused)
			}
			got := r.Wait(t, 3)
			if len(got[1].Body) == 0 || !bytes.Equal(got[1].Body, got[2].Body) {
				t.Errorf("the bodies are %q and %q, want the same twice", got[1].Body, got[2].Body)
			}
		})
	}
}

func TestTimingsAreTakenOfWhatHappened(t *testing.T) {
	for _, w := range roads {
		t.Run(w.name, func(t *testing.T) {
			r, c := w.open(t)
			address := strings.Replace(r.URL("/"), "127.0.0.1", "localhost", 1)
			if w.tls {
				address = r.URL("/") // the certificate is for the address
			}
			if w.tls && !w.http2 {
				if err := c.TakeForHTTP1(address); err != nil {
					t.Fatal(err)
				}
			}
			var first, second, cut egress.Timings
			for _, into := range []*egress.Timings{&first, &second} {
				if _, err := w.send(egress.WithTimings(t.Context(), into), t, c, address, long); err != nil {
					t.Fatal(err)
				}
			}
			if first.Connect <= 0 || first.FirstByte < first.Connect || first.Total < first.FirstByte || first.Reused {
				t.Errorf("the first took %+v", first)
			}
			if (first.TLS > 0) != w.tls || (first.DNS > 0) == w.tls {
				t.Errorf("the first took %+v, with TLS: %v", first, w.tls)
			}
			if second.Connect != 0 || second.DNS != 0 || second.TLS != 0 || second.FirstByte <= 0 || second.Total < second.FirstByte || !second.Reused {
				t.Errorf("the second took %+v", second)
			}
			r.On("/", receiver.Hang(nil, receiver.Status(200)))
			if _, err := w.send(egress.WithTimings(t.Context(), &cut), t, c, address, short); err == nil || cut.Total < short || cut.FirstByte != 0 {
				t.Errorf("the one cut off took %+v: %v", cut, err)
			}
		})
	}
}

func TestALargeBodyArrivesWhole(t *testing.T) {
	for _, w := range roads {
		t.Run(w.name, func(t *testing.T) {
			r, c := w.open(t)
			to := target(t, r.URL("/"), nil)
			for i, n := range []int{0, 1, 64 << 10, 64<<10 + 1, 1 << 20} {
				body := bytes.Repeat([]byte{'a'}, n)
				if _, err := c.Post(t.Context(), &egress.Post{Target: to, Body: body, Deadline: time.Now().Add(long)}); err != nil {
					t.Fatal(err)
				}
				if got := r.Wait(t, i+1)[i].Body; !bytes.Equal(got, body) {
					t.Errorf("%d bytes arrived, want %d", len(got), n)
				}
			}
		})
	}
}

func TestAHostIsRememberedForHTTP1AndForgottenWhenThatEnds(t *testing.T) {
	w := road{tls: true}
	r := receiver.New(t, receiver.Options{TLS: true, HTTP1: true})
	c := newClient(t, egress.Options{Allow: loopback, RootCAs: r.RootCAs()})
	if c.HasShortRoad(r.URL("/")) {
		t.Error("the short road is open before the host was asked")
	}
	w.mustSend(t, c, r.URL("/"))
	if !c.HasShortRoad(r.URL("/")) {
		t.Error("the short road is not open after the host chose HTTP/1.1")
	}
	if w.mustSend(t, c, r.URL("/")); c.Idle() != 1 {
		t.Errorf("%d connections of the short road are idle, want 1", c.Idle())
	}
	c.CloseIdle()
	r.Close()
	if _, err := w.send(t.Context(), t, c, r.URL("/"), long); err == nil {
		t.Error("a closed receiver answered")
	}

	modern := receiver.New(t, receiver.Options{TLS: true})
	c = newClient(t, egress.Options{Allow: loopback, RootCAs: modern.RootCAs()})
	w.mustSend(t, c, modern.URL("/"))
	if c.HasShortRoad(modern.URL("/")) {
		t.Error("the short road is open to a host that speaks HTTP/2")
	}
	untrusting := newClient(t, egress.Options{Allow: loopback})
	if err := untrusting.TakeForHTTP1(modern.URL("")); err != nil {
		t.Fatal(err)
	}
	_, err := w.send(t.Context(), t, untrusting, modern.URL("/"), long)
	wantFailure(t, err, outcome.TLSFailed, "certificate of an unknown authority")
	if untrusting.HasShortRoad(modern.URL("/")) {
		t.Error("the short road is still open after a handshake failed")
	}
}
