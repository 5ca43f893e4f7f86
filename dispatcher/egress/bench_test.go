package egress_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/test/receiver"
)

// BenchmarkPost measures what each road costs, guard and bounds included, next
// to the bare transport of net/http, with a receiver on loopback in the same
// process.
func BenchmarkPost(b *testing.B) {
	event := []byte(strings.Repeat("a", 1024))
	for _, w := range roads {
		for answer, reply := range map[string]http.HandlerFunc{"empty": receiver.Status(204), "short": receiver.Body("ok")} {
			b.Run(w.name+"/"+answer, func(b *testing.B) {
				r, c := w.open(b)
				r.On("/", reply)
				to := target(b, r.URL("/"), nil)
				measure(b, func(ctx context.Context) error {
					_, err := c.Post(ctx, &egress.Post{Target: to, Body: event, Deadline: time.Now().Add(long)})
					return err
				})
			})
		}
	}
	b.Run("Transport.RoundTrip/empty", func(b *testing.B) {
		r := receiver.New(b, receiver.Options{})
		r.On("/", receiver.Status(204))
		transport := &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true}
		defer transport.CloseIdleConnections()
		measure(b, func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, long)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL("/"), bytes.NewReader(event))
			if err != nil {
				return err
			}
			resp, err := transport.RoundTrip(req)
			if err != nil {
				return err
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				return err
			}
			return resp.Body.Close()
		})
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
