package queue_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/queue"
	"github.com/postrider/postrider/internal/eventually"
)

// sharing is for a store that dispatchers share, where an owner that is not
// heard of is replaced soon. The namespace "orders" orders its deliveries.
func sharing(leaseTime time.Duration) func(*queue.Options) {
	return func(o *queue.Options) {
		o.Exclusive = false
		o.Ordered = func(namespace string) bool { return namespace == "orders" }
		o.Leasing(leaseTime)
	}
}

// A reign is a dispatcher that wants to own what is ordered.
type reign struct {
	q     *queue.Queue
	leads chan struct{} // closed when it does
	ended chan error
}

// lead has q own what is ordered as soon as it may, and calls does then.
func lead(t *testing.T, q *queue.Queue, does func(context.Context)) *reign {
	t.Helper()
	r := &reign{q: q, leads: make(chan struct{}), ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.ended <- q.Lead(ctx, func(ctx context.Context) error { close(r.leads); does(ctx); return nil })
	}()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func (r *reign) has() bool {
	select {
	case <-r.leads:
		return true
	default:
		return false
	}
}

func (r *reign) await(t *testing.T) {
	t.Helper()
	eventually.True(t, "the dispatcher to own what is ordered", r.has)
}

// fails returns when it has ended, which it has to do, with an error.
func (r *reign) fails(t *testing.T) {
	t.Helper()
	select {
	case err := <-r.ended:
		if err == nil {
			t.Error("it ends without an error")
		}
	case <-time.After(20 * time.Second):
		t.Error("it goes on")
	}
}

func untilDone(ctx context.Context) { <-ctx.Done() }

func anOrder(id string) event.Event {
	e := anEvent(id)
	e.Namespace = "orders"
	return e
}

func TestOneOfManyOwnsWhatIsOrderedUntilItStops(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), sharing(time.Minute)) // who stops gives it up, and nobody waits for that
	reigns := []*reign{lead(t, s.Queue, untilDone)}
	reigns[0].await(t)
	for range 2 {
		reigns = append(reigns, lead(t, s.another(t, sharing(time.Second)), untilDone))
	}
	for n := range reigns {
		var owner *reign
		eventually.True(t, "somebody to own it", func() bool {
			i := slices.IndexFunc(reigns, func(r *reign) bool { return r.q != nil && r.has() })
			if i >= 0 {
				owner = reigns[i]
			}
			return i >= 0
		})
		for _, r := range reigns {
			if r.q != nil && r.q.Leads() != (r == owner) {
				t.Errorf("after %d have stopped, one that leads (%t) says it does: %t", n, r == owner, r.q.Leads())
			}
		}
		owner.q.Close()
		owner.q = nil
	}
}

func TestWhoHasTheStoreForHimselfAlwaysLeads(t *testing.T) {
	t.Parallel()
	if s := open(t, t.TempDir()); !s.Leads() {
		t.Error("it does not")
	}
}

func TestWhatIsOrderedComesToTheOwnerAloneAndAllElseToAnybody(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), sharing(time.Minute))
	for _, e := range []event.Event{anOrder("1"), anEvent("2"), anOrder("3"), anEvent("4")} {
		if err := s.Append(t.Context(), []event.Event{e}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"2", "4"}, s.take(t, 2, every)); diff != "" {
		t.Error("to anybody (-want +got)\n" + diff)
	}
	var got []string
	r := lead(t, s.Queue, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		s.OrderedEvents(ctx, noGate, func(st event.Stored) {
			st.Claim.Done()
			if got = append(got, st.Event.ID); len(got) == 2 {
				cancel()
			}
		})
	})
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"1", "3"}, got); diff != "" {
		t.Error("to the owner (-want +got)\n" + diff)
	}
}

// Each owner dies as a crash does; the next finds what it has not settled, before
// what is newer, and nothing that was settled a while before.
func TestWhatADeadOwnerHadUnderWayComesFirstAndInOrder(t *testing.T) {
	t.Parallel()
	const n = 60
	ownerTime := sharing(time.Second)
	s := open(t, t.TempDir(), sharing(time.Hour)) // which owns nothing
	q := s.another(t, ownerTime)
	open, next := []int{}, 0
	for round := range 4 {
		first := next
		for ; next < first+n; next++ {
			if err := s.Append(t.Context(), []event.Event{anOrder(strconv.Itoa(next))}); err != nil {
				t.Fatal(err)
			}
		}
		last := next - n/3 // those from there on never come to this owner
		var got, left []int
		r := lead(t, q, func(ctx context.Context) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			q.OrderedEvents(ctx, noGate, func(st event.Stored) {
				i, err := strconv.Atoi(st.Event.ID)
				if err != nil {
					t.Error(err)
				}
				if i >= last {
					cancel()
					return
				}
				got = append(got, i)
				if rand.IntN(3) > 0 {
					st.Claim.Done()
				} else {
					left = append(left, i)
				}
			})
		})
		if err := <-r.ended; err != nil {
			t.Error(err)
		}
		var want []int
		want = append(want, open...)
		for i := max(0, first-n/3); i < last; i++ {
			want = append(want, i)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("owner %d got (-want +got)\n%s", round, diff)
		}
		open = left
		heir := s.another(t, ownerTime)
		renewed(t, q)
		q.Sever()
		q = heir
	}
}

// renewed returns when the lease of q has been renewed.
func renewed(t *testing.T, q *queue.Queue) {
	t.Helper()
	before := q.Renewed()
	eventually.True(t, "the lease to be renewed", func() bool { return q.Renewed().After(before) })
}

func TestAnOwnerFindsWhatTheLastOneLeft(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), sharing(time.Second))
	lead(t, s.Queue, untilDone).await(t)
	id := deliver.QueueID{Route: "cms/a", Key: 7}
	if err := s.Enqueue(t.Context(), append(keyed("cms/a", 7, 0, 1, 2), owed("cms/a", 3)...)...); err != nil {
		t.Fatal(err)
	}
	first, _ := dequeueOne(t, s.Queue, id)
	later := keyed("cms/a", 8, 4)
	later[0].Due = time.Now()
	if err := s.Defer(t.Context(), append(later, deliver.Deferral{Route: "cms/a", Due: time.Now(), Event: new(anEvent("5"))})...); err != nil {
		t.Fatal(err)
	}
	dues := func(hand func(context.Context, func(context.Context) error, func(deliver.Deferral, *event.Claim))) []string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var due []deliver.Deferral
		hand(ctx, noGate, func(d deliver.Deferral, _ *event.Claim) { due = append(due, d); cancel() })
		return ids(due)
	}
	if got := dues(s.Due); !cmp.Equal([]string{"5"}, got) {
		t.Fatalf("%v came due for anybody, want 5", got)
	}
	if got := dues(s.OrderedDue); !cmp.Equal([]string{"4"}, got) {
		t.Fatalf("%v came due for the owner, want 4", got)
	}

	q := s.another(t, sharing(time.Second))
	s.Sever()
	lead(t, q, untilDone).await(t)
	waiting, err := q.Waiting(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[deliver.QueueID]int{id: 3, {Route: "cms/a"}: 1}, waiting); diff != "" {
		t.Error("waiting (-want +got)\n" + diff)
	}
	deferred, err := q.Deferred(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[deliver.QueueID]int{later[0].Queue(): 1, {Route: "cms/a"}: 1}, deferred); diff != "" {
		t.Error("deferred (-want +got)\n" + diff)
	}
	again, claim := dequeueOne(t, q, id)
	if again.Event.ID != first.Event.ID {
		t.Errorf("%s comes first, want %s", again.Event.ID, first.Event.ID)
	}
	claim.Done()
	if got := dues(q.OrderedDue); !cmp.Equal([]string{"4"}, got) {
		t.Errorf("%v came due, want 4", got)
	}
}

func TestAnOwnerThatWasReplacedStoresNothingOrderedAndFails(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]func(context.Context, *queue.Queue) error{
		"enqueue": func(ctx context.Context, q *queue.Queue) error {
			return q.Enqueue(ctx, append(owed("cms/a", 1), keyed("cms/a", 7, 2, 3)...)...)
		},
		"defer": func(ctx context.Context, q *queue.Queue) error {
			ds := keyed("cms/a", 7, 2, 3)
			ds[0].Due, ds[1].Due = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
			return q.Defer(ctx, ds...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, t.TempDir(), sharing(time.Hour))
			r := lead(t, s.Queue, untilDone)
			r.await(t)
			for range 3 {
				if err := store(t.Context(), s.Queue); err != nil {
					t.Fatalf("an owner cannot store: %v", err)
				}
			}
			before := s.messages(t)
			for _, stream := range []string{queue.StreamWaiting, "POSTRIDER_PARKED"} { // as another does that takes over
				if _, err := s.conn.Request("postrider.fence."+stream, nil, 10*time.Second); err != nil {
					t.Fatal(err)
				}
				before++
			}
			if err := store(t.Context(), s.Queue); err == nil {
				t.Error("it was stored")
			}
			if after := s.messages(t); after != before {
				t.Errorf("%d messages are stored, want %d", after, before)
			}
			if err := <-r.ended; err == nil || s.Leads() {
				t.Errorf("it leads: %t, and ends with error %v", s.Leads(), err)
			}
		})
	}
}

// messages is how many there are of what waits and what is parked.
func (s *store) messages(t *testing.T) (n uint64) {
	t.Helper()
	for _, name := range []string{queue.StreamWaiting, "POSTRIDER_PARKED"} {
		n += s.stream(t, name).CachedInfo().State.Msgs
	}
	return n
}

func TestAnOwnerThatFindsAnotherInItsPlaceFails(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), sharing(time.Second))
	r := lead(t, s.Queue, untilDone)
	r.await(t)
	if _, err := s.conn.Request("postrider.owner", []byte(`{"holder":"somebody else"}`), 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := <-r.ended; err == nil {
		t.Error("it ends without an error")
	}
	if s.Leads() {
		t.Error("it still leads")
	}
	if err := s.Enqueue(t.Context(), keyed("cms/a", 1, 1)...); err == nil {
		t.Error("it still stores")
	}
}

func TestAnOwnerThatIsCutOffRestsAndGoesOnIfNobodyHasTakenOver(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), sharing(time.Second))
	r := lead(t, s.Queue, untilDone)
	r.await(t)
	js, err := jetstream.New(s.conn)
	if err != nil {
		t.Fatal(err)
	}
	config := s.stream(t, "POSTRIDER_OWNER").CachedInfo().Config
	own := config.Subjects
	subjects := func(subjects []string) {
		t.Helper()
		config.Subjects = subjects
		if _, err := js.UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	subjects([]string{"elsewhere"}) // nobody hears a renewal
	eventually.True(t, "it to lead no more", func() bool { return !s.Leads() })
	subjects(own)
	eventually.True(t, "it to lead again", s.Leads)
	select {
	case err := <-r.ended:
		t.Errorf("it has ended, with error %v", err)
	default:
	}
}

func TestAnOwnerThatFindsNoPlaceForItsDeedFails(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), sharing(time.Second))
	r := lead(t, s.Queue, untilDone)
	r.await(t)
	js, err := jetstream.New(s.conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "POSTRIDER_OWNER"); err != nil {
		t.Fatal(err)
	}
	r.fails(t)
}
