package queue_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/queue"
	"github.com/postrider/postrider/internal/eventually"
)

// infoOf is what the server says of a stream.
func (s *store) infoOf(t *testing.T, stream string) (jetstream.JetStream, *jetstream.StreamInfo) {
	t.Helper()
	js, err := jetstream.New(s.conn)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return js, opened.CachedInfo()
}

// state is that of the stream of events.
func (s *store) state(t *testing.T) jetstream.StreamState {
	t.Helper()
	_, info := s.infoOf(t, "POSTRIDER_EVENTS")
	return info.State
}

// change changes how a stream is configured.
func (s *store) change(t *testing.T, stream string, change func(*jetstream.StreamConfig)) {
	t.Helper()
	js, info := s.infoOf(t, stream)
	change(&info.Config)
	if _, err := js.UpdateStream(t.Context(), info.Config); err != nil {
		t.Fatal(err)
	}
}

// appendSettled stores n events of so many bytes, a pack each, and settles them.
func (s *store) appendSettled(t *testing.T, phase string, n, bytes int) {
	t.Helper()
	for i := range n {
		e := anEvent(fmt.Sprint(phase, i))
		e.Data = make([]byte, bytes)
		if err := s.Append(t.Context(), []event.Event{e}); err != nil {
			t.Fatal(i, err)
		}
	}
	s.take(t, n, every)
}

func TestSettledEventsAreKeptForTheRetention(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), func(o *queue.Options) { o.Retention = time.Hour })
	s.appendSettled(t, "settled", 5, 100)
	if err := s.Append(t.Context(), events(1)); err != nil { // and one that is not
		t.Fatal(err)
	}
	now := time.Now()
	for _, tt := range []struct {
		after time.Duration
		want  uint64
	}{{0, 6}, {59 * time.Minute, 6}, {62 * time.Minute, 1}, {1000 * time.Hour, 1}} {
		eventually.True(t, fmt.Sprintf("%d packs after %s", tt.want, tt.after), func() bool {
			if err := s.Measure(t.Context(), now.Add(tt.after)); err != nil {
				t.Fatal(err)
			}
			return s.state(t).Msgs == tt.want
		})
	}
}

func TestSettledEventsTakeNoMoreThanTheyMay(t *testing.T) {
	t.Parallel()
	const size = 10 << 10
	s := open(t, t.TempDir(), func(o *queue.Options) {
		o.Retention, o.RetentionBytes = time.Hour, 10*size+size/2
	})
	s.appendSettled(t, "settled", 30, size)
	if err := s.Measure(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if n := s.state(t).Msgs; n != 30 {
		t.Errorf("%d packs are left within the window in which events are recognised, want 30", n)
	}
	later := time.Now().Add(queue.MinRetention + time.Minute)
	eventually.True(t, "the oldest to be gone", func() bool {
		if err := s.Measure(t.Context(), later); err != nil {
			t.Fatal(err)
		}
		n := s.state(t).Msgs
		return n == 10 || n == 9
	})
}

func TestSettledEventsNeverStandInTheWayOfNewOnes(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), func(o *queue.Options) { o.MaxBytes, o.Retention = 2<<20, 24*time.Hour })
	for round := range 6 { // many times the room
		s.appendSettled(t, fmt.Sprint("round", round, "-"), 10, 150<<10)
	}
}

func TestANamespaceThatFillsItsShareIsRefusedAndNoOther(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	small := func(o *queue.Options) { o.MaxBytes, o.NamespaceShare = 4<<20, 0.1 }
	s := open(t, dir, small)
	other := anEvent("other")
	other.Namespace = "shop"
	refused := func() error { return s.Append(t.Context(), []event.Event{anEvent(fmt.Sprint(rand.Int64()))}) }
	if err := refused(); err != nil {
		t.Fatal(err)
	}
	large := func(route string) []deliver.Deferral {
		ds := owed(route, 1, 2, 3)
		for i := range ds {
			ds[i].Event.Data = make([]byte, 100<<10)
			ds[i].Due = time.Now().Add(time.Second)
		}
		return ds
	}
	if err := s.Enqueue(t.Context(), large("cms/a")...); err != nil {
		t.Fatal(err)
	}
	if err := s.Defer(t.Context(), append(large("cms/b"), owed("shop/a", 1)...)...); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		eventually.True(t, "the namespace to be refused", func() bool { return errors.Is(refused(), event.ErrNamespaceFull) })
		if err := refused(); !errors.Is(err, event.ErrFull) {
			t.Errorf("the error is %v, want one that is ErrFull", err)
		}
		if err := s.Append(t.Context(), []event.Event{other}); err != nil {
			t.Errorf("another namespace: %v", err)
		}
		if err := s.Full(); err != nil {
			t.Errorf("the store says of itself: %v", err)
		}
	}
	check()
	s.close()
	s = open(t, dir, small)
	check() // what is owed is counted anew
	for {
		ds, claim, err := s.Dequeue(t.Context(), deliver.QueueID{Route: "cms/a"})
		if err != nil {
			t.Fatal(err)
		}
		if len(ds) == 0 {
			break
		}
		settle(claim)
	}
	eventually.True(t, "the namespace to be accepted again", func() bool { return refused() == nil })
}

func TestAStoreThatHasStoppedIsToldAtOnce(t *testing.T) {
	t.Parallel()
	var stopped atomic.Bool
	s := open(t, t.TempDir(), func(o *queue.Options) {
		o.Alive = func() error {
			if stopped.Load() {
				return errors.New("no room on the disk")
			}
			return nil
		}
	})
	if err := s.Append(t.Context(), []event.Event{anEvent("1")}); err != nil {
		t.Fatal(err)
	}
	stopped.Store(true)
	i := 0
	eventually.True(t, "events to be refused", func() bool {
		i++
		err := s.Append(t.Context(), []event.Event{anEvent(fmt.Sprint("more", i))})
		return err != nil && strings.Contains(err.Error(), "no room on the disk") && !errors.Is(err, event.ErrFull)
	})
	for what, err := range map[string]error{"healthy": s.Healthy(), "ready": s.Ready()} {
		if err == nil || !strings.Contains(err.Error(), "no room on the disk") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestWhileTheStoreIsBrokenOnlyOneCallTriesIt(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	largest := func(size int32) {
		t.Helper()
		s.change(t, "POSTRIDER_EVENTS", func(c *jetstream.StreamConfig) { c.MaxMsgSize = size })
	}
	largest(1) // nothing fits
	var failed sync.WaitGroup
	var refusals atomic.Int64
	for i := range 20 {
		failed.Go(func() {
			if s.Append(t.Context(), []event.Event{anEvent(fmt.Sprint("e", i))}) != nil {
				refusals.Add(1)
			}
		})
	}
	failed.Wait()
	if n := refusals.Load(); n != 20 || s.Ready() == nil {
		t.Errorf("%d of 20 calls failed, ready: %v", n, s.Ready())
	}
	largest(-1)
	if err := s.Append(t.Context(), []event.Event{anEvent("after")}); err != nil {
		t.Errorf("the next call finds the store broken still: %v", err)
	}
	if err := s.Ready(); err != nil {
		t.Error(err)
	}
}

func TestABookAgreesWithTheStreamWhateverGoesOnDuringTheCensus(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		w := &world{dice: rand.New(rand.NewPCG(seed, 1)), stored: map[uint64]pack{}, unnoted: map[uint64]pack{}}
		w.store(w.dice.IntN(20))
		clear(w.unnoted) // that was before the start
		w.book.Begin()
		for seq := uint64(1); seq <= min(w.last, 100); seq++ { // later ones are noted as they come
			w.goOn()
			if p, ok := w.stored[seq]; ok {
				w.book.Count(seq, p.route, p.n)
			}
			w.goOn()
		}
		w.book.Finish()
		w.goOn()
		w.note(len(w.unnoted))

		routes, bytes := map[string]int{}, map[string]int64{}
		for _, p := range w.stored {
			routes[p.route] += p.n
			bytes[p.route[:3]] += int64(p.n)
		}
		gotRoutes, gotBytes := w.book.Owed()
		if diff := cmp.Diff(routes, gotRoutes); diff != "" {
			t.Fatalf("seed %d: routes (-want +got)\n%s", seed, diff)
		}
		if diff := cmp.Diff(bytes, gotBytes); diff != "" {
			t.Fatalf("seed %d: bytes (-want +got)\n%s", seed, diff)
		}
	}
}

// A world is a stream that packs come to and go from, and a book about it.
type world struct {
	dice    *rand.Rand
	book    queue.Book
	last    uint64
	stored  map[uint64]pack
	unnoted map[uint64]pack // those that the book has not been told of
}

type pack struct {
	route string
	n     int
}

func (w *world) store(n int) {
	for range n {
		w.last++
		p := pack{fmt.Sprintf("ns%d/r%d", w.dice.IntN(2), w.dice.IntN(3)), 1 + w.dice.IntN(5)}
		w.stored[w.last], w.unnoted[w.last] = p, p
	}
}

// note tells the book of n packs: who has stored one does so a little later.
func (w *world) note(n int) {
	for seq, p := range w.unnoted {
		if n--; n < 0 {
			return
		}
		w.book.Add(seq, p.route, p.n)
		delete(w.unnoted, seq)
	}
}

// settle removes a pack, which may be one that is not noted yet.
func (w *world) settle() {
	seq := 1 + w.dice.Uint64N(w.last+1)
	if p, ok := w.stored[seq]; ok {
		delete(w.stored, seq)
		w.book.Remove(seq, p.route, p.n)
	}
}

func (w *world) goOn() {
	for range w.dice.IntN(4) {
		switch w.dice.IntN(3) {
		case 0:
			w.store(1)
		case 1:
			w.note(1)
		case 2:
			w.settle()
		}
	}
}

func FuzzParseTallies(f *testing.F) {
	f.Add("cms/a 3 1234,cms/b.c 1 99")
	f.Add("")
	f.Add("cms/a#00000000000000ff 3 1234,cms/a 1 99,cms/a#0 1 1")
	f.Add("cms/a -1 5,x 99999999999999999999 1, ,,a")
	f.Fuzz(func(t *testing.T, header string) {
		counts, bytes := queue.ParseTallies(header)
		for id, n := range counts {
			if n <= 0 || bytes[id] < 0 || id.Route == "" {
				t.Errorf("%v has %d deliveries of %d bytes", id, n, bytes[id])
			}
			again, size := queue.ParseTallies(queue.FormatTallies(id, n, bytes[id]))
			if again[id] != n || size[id] != bytes[id] {
				t.Errorf("%v: %d, %d came back as %d, %d", id, n, bytes[id], again[id], size[id])
			}
		}
	})
}
