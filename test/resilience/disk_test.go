package resilience_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/process"
	"github.com/postrider/postrider/test/receiver"
)

func TestAStoreThatCannotGrowRefusesEventsAndLosesNone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		args []string
		wrap string // limits the process
		want int    // status of the refusal
	}{
		{"no room left for the store", []string{"--store-max-bytes", "16777216"}, "", http.StatusTooManyRequests},
		{"a disk that is kept from filling up", []string{"--store-min-free-bytes", "9000000000000000"}, "", http.StatusTooManyRequests},
		// No file may grow beyond 4 MiB: the write itself fails, as on a full disk.
		{"writes that fail", nil, `ulimit -f 8192; exec "$@"`, http.StatusServiceUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rc := receiver.New(t, receiver.Options{IDsOnly: true})
			rc.On("/hook", receiver.Status(http.StatusServiceUnavailable)) // so that all of it stays in the store
			p := process.New(t, process.Options{Routes: []route.Route{aRoute(rc.URL("/hook"))}, Args: tt.args, Wrap: tt.wrap})
			p.Start(t)

			data := append(append([]byte(`"`), bytes.Repeat([]byte("x"), 200<<10)...), '"')
			l := &load{accepted: map[string]bool{}}
			status := 0
			for i := range 500 {
				var id string
				if id, status = post(t.Context(), p, fmt.Sprint(i), data); status != http.StatusAccepted {
					break
				}
				l.accepted[id] = true
			}
			if status != tt.want {
				t.Fatalf("after %d events the answer is %d, want %d", len(l.accepted), status, tt.want)
			}
			if _, text := get(t, p, "/readyz"); !strings.Contains(text, "store") {
				t.Errorf("readiness does not speak of the store: %s", text)
			}
			if status, text := get(t, p, "/healthz"); tt.wrap != "" && status != http.StatusServiceUnavailable {
				t.Errorf("a store that cannot be written is alive (%d): %s", status, text)
			}

			// Somebody makes room and starts it again; the receiver has recovered.
			p.Kill(t)
			p.Args, p.Wrap = nil, ""
			rc.On("/hook", receiver.Status(http.StatusOK))
			p.Start(t)
			eventually.True(t, "every accepted event to arrive", func() bool { lost, _ := l.missing(rc); return len(lost) == 0 })
			t.Logf("%d events accepted before the refusal, 0 lost", len(l.accepted))
		})
	}
}
