package conformance_test

import (
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/test/process"
	"github.com/postrider/postrider/test/receiver"
)

// What is posted faster than a small memory has room for waits, and is delivered.
func TestADispatcherWithLittleMemoryTakesLargeEventsAtItsPace(t *testing.T) {
	t.Parallel()
	const (
		pace   = 4 << 20 // bytes a second, the least there is, and as many at once
		size   = 1000 << 10
		events = 4*pace/size + 1
	)
	p := process.New(t, process.Options{Wrap: `GOMEMLIMIT=64MiB exec "$@"`})
	p.Start(t)
	rc := receiver.New(t, receiver.Options{})
	n := at(p).tenant(t, hook("all", rc.URL("/all")))
	body := `"` + strings.Repeat("a", size) + `"`
	began := time.Now()
	for range events {
		n.post(t, "large", body)
	}
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("%d events of %d bytes were stored in %s", events, size, took)
	}
	rc.Wait(t, events)
}
