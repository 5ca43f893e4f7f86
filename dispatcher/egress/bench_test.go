package egress_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/test/receiver"
)

// BenchmarkSend measures what the guard and the bounds cost above the bare
// transport, with a receiver on loopback in the same process.
func BenchmarkSend(b *testing.B) {
	client := egress.New(egress.Options{Allow: loopback})
	defer client.CloseIdle()
	transport := &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true}
	defer transport.CloseIdleConnections()

	for _, bb := range []struct {
		name string
		send func(*http.Request) error
	}{
		{"Client.Send", func(req *http.Request) error {
			_, err := client.Send(req)
			return err
		}},
		{"Transport.RoundTrip", func(req *http.Request) error {
			resp, err := transport.RoundTrip(req)
			if err != nil {
				return err
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				return err
			}
			return resp.Body.Close()
		}},
	} {
		for answer, reply := range map[string]http.HandlerFunc{"empty": receiver.Status(204), "short": receiver.Body("ok")} {
			b.Run(bb.name+"/"+answer, func(b *testing.B) {
				r := receiver.New(b, receiver.Options{IDsOnly: true})
				r.On("/", reply)
				event := strings.Repeat("a", 1024)
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := attempt(b.Context(), r.URL("/"), event, bb.send); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}

func attempt(ctx context.Context, url, event string, send func(*http.Request) error) error {
	ctx, cancel := context.WithTimeout(ctx, long)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(event))
	if err != nil {
		return err
	}
	return send(req)
}
