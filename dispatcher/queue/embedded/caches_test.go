package embedded_test

import (
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/postrider/postrider/dispatcher/queue/embedded"
)

// The server by itself would keep all of it for ten seconds.
func TestWhatWasWrittenLeavesTheMemoryWithinSeconds(t *testing.T) {
	const (
		message = 1 << 20
		written = 96
		kept    = 24 << 20 // the file that is written to, and what the collector has not come to
	)
	server, err := embedded.Start(t.TempDir(), false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	nc, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "S", Subjects: []string{"s"}, Storage: jetstream.FileStorage, MaxBytes: 1 << 30, AllowDirect: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.LimitCaches(); err != nil {
		t.Fatal(err)
	}
	before := held()
	for range written {
		ack, err := js.Publish(t.Context(), "s", make([]byte, message))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.GetMsg(t.Context(), ack.Sequence); err != nil { // what is read is kept longest
			t.Fatal(err)
		}
	}
	// The server's own time would let nothing go before this is over.
	deadline := time.After(8 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for held() > before+kept {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d MB were written, and %d MB are still in memory", written, (held()-before)>>20)
		}
	}
}

// held is how many bytes of the heap are in use after what can go has gone: what
// pools keep goes at the second collection.
func held() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
