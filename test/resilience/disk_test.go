package resilience_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/process"
)

func TestAStoreThatCannotGrowRefusesEventsAndLosesNone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		args  []string
		wrap  string // limits the process
		want  int    // status of the refusal
		small int    // room of a file system of its own for the store, in MiB; 0 = none
	}{
		{"no room left for the store", []string{"--store-max-bytes", "16777216"}, "", http.StatusTooManyRequests, 0},
		{"a disk that is kept from filling up", []string{"--store-min-free-bytes", "9000000000000000"}, "", http.StatusTooManyRequests, 0},
		// No file may grow beyond 2 MiB, a quarter of what a file of the store has: the
		// write itself fails, as on a full disk.
		{"writes that fail", nil, `ulimit -f 4096; exec "$@"`, http.StatusServiceUnavailable, 0},
		{"a file system that is full", []string{"--store-min-free-bytes", "0"}, "", http.StatusServiceUnavailable, 24},
		{"a file system that is kept from filling up", []string{"--store-min-free-bytes", "201326592"}, "", http.StatusTooManyRequests, 256},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := process.Options{Args: tt.args, Wrap: tt.wrap}
			var fs *fileSystem
			if tt.small > 0 {
				fs = newFileSystem(t, tt.small)
				o.Data = fs.dir
			}
			l, rc, p := oneRoute(t, o)
			rc.set(hook, down) // so that all of it stays in the store
			p.Start(t)
			if status := fill(t, l, p); status != tt.want {
				t.Fatalf("after %d events the answer is %d, want %d", l.count(), status, tt.want)
			}
			if _, text := get(t, p, "/readyz"); !strings.Contains(text, "store") {
				t.Errorf("readiness does not speak of the store: %s", text)
			}
			alive := http.StatusOK
			if tt.want == http.StatusServiceUnavailable {
				alive = tt.want // a write has failed
			}
			if status, text := get(t, p, "/healthz"); status != alive {
				t.Errorf("health answers %d, want %d: %s", status, alive, text)
			}

			// Somebody makes room and starts it again; the receiver has recovered.
			p.Kill(t)
			p.Args, p.Wrap = nil, ""
			if fs != nil {
				fs.makeRoom(t)
			}
			rc.heal()
			p.Start(t)
			eventually.True(t, "every accepted event to arrive", func() bool { return l.missing() == 0 })
			eventually.True(t, "nothing to be pending", func() bool { return pending(t, p) == 0 })
			l.settle(t, deadLetters(t, p, l))
		})
	}
}

// fill posts large events until one is refused, and returns the status of that.
func fill(t *testing.T, l *ledger, p *process.Dispatcher) int {
	t.Helper()
	data := append(append([]byte(`"`), bytes.Repeat([]byte("x"), 200<<10)...), '"')
	for i := range 1000 {
		promise := l.begin("x")
		id, status := post(t.Context(), p.Events(), "x", fmt.Sprint(i), data)
		if status != http.StatusAccepted {
			return status
		}
		l.accept(promise, id)
		pause(2*time.Millisecond, nil) // the room is measured once a second
	}
	return http.StatusAccepted
}
