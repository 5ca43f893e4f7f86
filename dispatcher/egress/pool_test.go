package egress_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/receiver"
)

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
