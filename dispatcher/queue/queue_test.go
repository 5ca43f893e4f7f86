package queue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/queue"
	"github.com/postrider/postrider/internal/eventually"
)

func TestAnEventComesOutAsItWentIn(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	want := anEvent("1")
	want.Subject, want.Schema, want.Extensions = "s", "https://example.com/schema", map[string]string{"a": "1", "b": ""}
	want.Time = time.Date(2026, 11, 22, 8, 0, 0, 5, time.UTC)
	if err := s.Append(t.Context(), []event.Event{want}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got *event.Event
	s.Events(ctx, noGate, func(st event.Stored) { got = st.Event; st.Claim.Done(); cancel() })
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

func TestConcurrentAppendsAllArriveOnce(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	const callers, each = 50, 20
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				if err := s.Append(t.Context(), []event.Event{anEvent(fmt.Sprintf("%d-%d", c, i))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]int{}
	for _, id := range s.take(t, callers*each, every) {
		seen[id]++
	}
	if len(seen) != callers*each {
		t.Errorf("%d distinct events arrived, want %d", len(seen), callers*each)
	}
}

func TestTheSameEventAgainIsAcceptedAndNotStoredTwice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	twice := []event.Event{anEvent("1"), anEvent("1"), anEvent("2")}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := s.Append(t.Context(), twice); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	other := anEvent("1")
	other.Source = "/other"
	if err := s.Append(t.Context(), []event.Event{other}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1", "2", "1"}, s.take(t, 3, every)); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}

	s.close()
	s = open(t, dir)
	stored, fresh := anEvent("1"), anEvent("3")
	if !s.Seen(stored.Key()) || s.Seen(fresh.Key()) {
		t.Error("what was stored is not known, or what was not is")
	}
	if err := s.Append(t.Context(), append(twice, fresh)); err != nil {
		t.Fatal(err)
	}
	got := s.take(t, 1, every)
	if got[len(got)-1] != "3" {
		t.Errorf("after a restart %v came, want only event 3 to be new", got)
	}
}

func TestWhatIsNotSettledComesAgainAtOnceAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	for _, e := range events(3) { // three packs
		if err := s.Append(t.Context(), []event.Event{e}); err != nil {
			t.Fatal(err)
		}
	}
	s.take(t, 3, func(id string) bool { return id != "e1" })
	s.close()

	s = open(t, dir)
	var again bool
	for _, id := range s.take(t, 1, every) {
		again = again || id == "e1"
	}
	if !again {
		t.Error("the event that was not settled did not come again")
	}
}

func TestDeadLettersAreCountedByRoute(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	e := anEvent("1")
	letter := func(route string) deliver.DeadLetter {
		return deliver.DeadLetter{Route: route, Attempts: 8, Why: outcome.Outcome{Reason: outcome.Rejected, Status: 404}, At: time.Now(), Event: &e}
	}
	if err := s.Bury(t.Context(), letter("cms/a"), letter("cms/b.c"), letter("cms/a")); err != nil {
		t.Fatal(err)
	}
	s.close()
	_, dead, err := open(t, dir).Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"cms/a": 2, "cms/b.c": 1}, dead); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

func TestAFullStoreRefusesEventsAndKeepsWhatItHas(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), func(o *queue.Options) { o.MaxBytes = 1 << 20 })
	big := func(i int) event.Event {
		e := anEvent(fmt.Sprint("e", i))
		e.Data = make([]byte, 100<<10)
		return e
	}
	accepted := 0
	var err error
	for i := range 20 {
		if err = s.Append(t.Context(), []event.Event{big(i)}); err != nil {
			break
		}
		accepted++
	}
	if !errors.Is(err, event.ErrFull) {
		t.Fatalf("after %d events the error is %v, want ErrFull", accepted, err)
	}
	e := anEvent("deferred")
	if err := s.Defer(t.Context(), deliver.Deferral{Route: "cms/a", Due: time.Now(), Event: &e}); err != nil {
		t.Errorf("a full store must still defer: %v", err)
	}
	if got := s.take(t, accepted, every); len(got) != accepted {
		t.Errorf("%d of %d accepted events came out", len(got), accepted)
	}
	eventually.True(t, "room after all is settled", func() bool {
		return s.Append(t.Context(), []event.Event{anEvent("more")}) == nil
	})
}

func TestANearlyFullDiskRefusesEvents(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), func(o *queue.Options) {
		o.Free = func() (uint64, error) { return 10, nil }
		o.MinFree = 11
	})
	if err := s.Append(t.Context(), events(1)); !errors.Is(err, event.ErrFull) {
		t.Errorf("the error is %v, want ErrFull", err)
	}
	if s.Full() == nil {
		t.Error("the queue does not say why it refuses")
	}
}

func TestWhatCannotBeReadIsSetAsideAndHoldsUpNobody(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	garbage := []byte("from a later version")
	if _, err := s.js(t).Publish(t.Context(), "postrider.events", garbage); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), events(1)); err != nil {
		t.Fatal(err)
	}
	if got := s.take(t, 1, every); got[0] != "e0" {
		t.Errorf("%v came", got)
	}
	msg, err := s.stream(t, "POSTRIDER_DEAD").GetLastMsgForSubject(t.Context(), "postrider.unreadable")
	if err != nil || !bytes.Equal(msg.Data, garbage) {
		t.Errorf("it was not set aside: %v", err)
	}
}

func TestAfterACrashWhatIsSettledDoesNotComeAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	const n = 100
	for i := range n { // a pack each
		if err := s.Append(t.Context(), []event.Event{anEvent(fmt.Sprint("e", i))}); err != nil {
			t.Fatal(err)
		}
	}
	s.take(t, n, func(id string) bool { return id != "e0" }) // which hangs
	eventually.True(t, "the acks to be heard", func() bool {
		c, err := s.conn.Request("$JS.API.CONSUMER.INFO.POSTRIDER_EVENTS.fanout", nil, time.Second)
		return err == nil && bytes.Contains(c.Data, []byte(`"num_ack_pending":1,`))
	})
	s.Sever()
	s.close()

	s = open(t, dir)
	if err := s.Append(t.Context(), []event.Event{anEvent("new")}); err != nil {
		t.Fatal(err)
	}
	var got []string
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s.Events(ctx, noGate, func(st event.Stored) {
		got = append(got, st.Event.ID)
		st.Claim.Done()
		if len(got) > n || len(got) > 1 && (got[0] == "new" || got[1] == "new") {
			cancel()
		}
	})
	if len(got) != 2 {
		t.Errorf("%d events come after the restart, want the one that was not settled and the new one", len(got))
	}
}

// Order among deliveries begins with that of the events.
func TestAfterACrashEventsComeInTheOrderInWhichTheyWereAccepted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	const n, rounds = 40, 5
	for round := range rounds {
		for i := range n { // a pack each
			if err := s.Append(t.Context(), []event.Event{anEvent(fmt.Sprint(round*n + i))}); err != nil {
				t.Fatal(err)
			}
		}
		var got []int
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		s.Events(ctx, noGate, func(st event.Stored) {
			i, err := strconv.Atoi(st.Event.ID)
			if err != nil {
				t.Error(err)
			}
			got = append(got, i)
			if i%7 > 2 {
				st.Claim.Done()
			}
			if i == round*n+n/2 { // the rest is never handed out
				cancel()
			}
		})
		cancel()
		if !slices.IsSorted(got) {
			t.Errorf("round %d: the events come in this order: %v", round, got)
		}
		s.Sever()
		s.close()
		s = open(t, dir)
	}
}

func TestAnEventThatIsNotSettledKeepsOnlyItsOwnRoom(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), func(o *queue.Options) { o.MaxBytes = 1 << 30 })
	const size = 900 << 10
	const packs = queue.MaxEventBytes/size + queue.FetchSize + 2 // more than there may be in memory
	for i := range packs {
		hangs, large := anEvent(fmt.Sprint("hangs-", i)), anEvent(fmt.Sprint("large-", i))
		large.Data = bytes.Repeat([]byte("x"), size)
		if err := s.Append(t.Context(), []event.Event{hangs, large}); err != nil {
			t.Fatal(err)
		}
	}
	got := s.take(t, 2*packs, func(id string) bool { return strings.HasPrefix(id, "large-") })
	if len(got) != 2*packs {
		t.Errorf("%d of %d events came while one of each pack was not settled", len(got), 2*packs)
	}
}

func TestAnEventDoesNotKeepThePackThatItCameIn(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	small, large := anEvent("small"), anEvent("large")
	large.Data = make([]byte, 900<<10)
	if err := s.Append(t.Context(), []event.Event{small, large}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	collected := make(chan struct{})
	var kept *event.Event
	s.Events(ctx, noGate, func(st event.Stored) {
		if st.Event.ID == "small" {
			kept = st.Event
			return
		}
		runtime.AddCleanup(&st.Event.Data[0], func(ch chan struct{}) { close(ch) }, collected)
		cancel()
	})
	eventually.True(t, "the data of the other event to be collected", func() bool {
		runtime.GC()
		select {
		case <-collected:
			return true
		default:
			return false
		}
	})
	runtime.KeepAlive(kept)
}
