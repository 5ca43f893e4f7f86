package egress_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/test/receiver"
)

// BenchmarkSend measures what each road costs, guard and bounds included, next
// to the bare transport of net/http, with a receiver on loopback in the same
// process.
func BenchmarkSend(b *testing.B) {
	event := []byte(strings.Repeat("a", 1024))
	for _, w := range roads {
		for answer, reply := range map[string]http.HandlerFunc{"empty": receiver.Status(204), "short": receiver.Body("ok")} {
			b.Run(w.name+"/"+answer, func(b *testing.B) {
				r, c := w.open(b)
				r.On("/", reply)
				measure(b, w.sender(b, c, r.URL("/"), event))
			})
		}
	}
	b.Run("Transport.RoundTrip/empty", func(b *testing.B) {
		r := receiver.New(b, receiver.Options{})
		r.On("/", receiver.Status(204))
		transport := &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true}
		defer transport.CloseIdleConnections()
		measure(b, bySend(r.URL("/"), event, func(req *http.Request) error {
			resp, err := transport.RoundTrip(req)
			if err != nil {
				return err
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				return err
			}
			return resp.Body.Close()
		}))
	})
}

func measure(b *testing.B, send func(context.Context) error) {
	b.Helper()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := send(b.Context()); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// sender makes ready to send the event again and again.
func (w road) sender(b *testing.B, c *egress.Client, address string, event []byte) func(context.Context) error {
	b.Helper()
	if !w.post {
		return bySend(address, event, func(req *http.Request) error {
			_, err := c.Send(req)
			return err
		})
	}
	u, err := url.Parse(address)
	if err != nil {
		b.Fatal(err)
	}
	target, err := egress.NewTarget(u, nil)
	if err != nil {
		b.Fatal(err)
	}
	return func(ctx context.Context) error {
		_, err := c.Post(ctx, &egress.Post{Target: target, Body: event, Deadline: time.Now().Add(long)})
		return err
	}
}

func bySend(address string, event []byte, send func(*http.Request) error) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, long)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(string(event)))
		if err != nil {
			return err
		}
		return send(req)
	}
}
