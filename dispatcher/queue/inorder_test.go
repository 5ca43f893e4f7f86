package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/queue"
	"github.com/postrider/postrider/internal/eventually"
)

// As when the disk of its only server is lost: its sequences begin anew.
func TestOrderedEventsOfAStreamThatWasMadeAnewAreNotTakenForSettled(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), sharing(time.Hour))
	add := func(id string) {
		t.Helper()
		if err := s.Append(t.Context(), []event.Event{anOrder(id)}); err != nil {
			t.Fatal(err)
		}
	}
	came := make(chan string, 10)
	takeAll := func(q *queue.Queue) *reign {
		return lead(t, q, func(ctx context.Context) {
			q.OrderedEvents(ctx, noGate, func(st event.Stored) { came <- st.Event.ID; st.Claim.Done() })
		})
	}
	q := s.another(t, sharing(time.Second))
	r := takeAll(q)
	for i := range 3 {
		add(fmt.Sprint(i))
		<-came
	}
	renewed(t, q)
	renewed(t, q)
	js, err := jetstream.New(s.conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "POSTRIDER_EVENTS"); err != nil {
		t.Fatal(err)
	}
	heir := s.another(t, sharing(time.Second))
	add("new")
	r.fails(t)
	if err := s.Measure(t.Context(), time.Now().Add(48*time.Hour)); err != nil {
		t.Fatal(err)
	}
	takeAll(heir)
	select {
	case id := <-came:
		if id != "new" {
			t.Errorf("%s came, want new", id)
		}
	case <-time.After(20 * time.Second):
		t.Error("what was accepted never comes")
	}
}

// What gets lost between two servers is not sent again by itself.
func TestWhatGotLostOnItsWayIsMissedThoughNothingFollows(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), sharing(time.Minute))
	if err := s.Append(t.Context(), []event.Event{anOrder("1")}); err != nil {
		t.Fatal(err)
	}
	c, err := s.stream(t, "POSTRIDER_EVENTS").CreateConsumer(t.Context(), jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy})
	if err != nil {
		t.Fatal(err)
	}
	if lost, err := c.Next(); err != nil || lost.Data() == nil {
		t.Fatal(err)
	}
	for visited, want := range []error{queue.ErrMissed, nil} { // of the one that was sent
		sub, err := s.conn.SubscribeSync(s.conn.NewInbox())
		if err != nil {
			t.Fatal(err)
		}
		request := `{"batch":16,"expires":2500000000,"idle_heartbeat":1000000000}`
		if err := s.conn.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.POSTRIDER_EVENTS."+c.CachedInfo().Name, sub.Subject, []byte(request)); err != nil {
			t.Fatal(err)
		}
		if err := queue.VisitFew(t.Context(), sub, uint64(visited)); !errors.Is(err, want) {
			t.Errorf("with %d visited: %v, want %v", visited, err, want)
		}
	}
}

func TestAnOrderedPackThatCannotBeReadIsSetAsideAndHoldsUpNothing(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), sharing(time.Second))
	if _, err := s.conn.Request("postrider.ordered-events", []byte("no pack"), 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), []event.Event{anOrder("1")}); err != nil {
		t.Fatal(err)
	}
	came := make(chan string, 2)
	lead(t, s.Queue, func(ctx context.Context) {
		s.OrderedEvents(ctx, noGate, func(st event.Stored) { came <- st.Event.ID; st.Claim.Done() })
	})
	if id := <-came; id != "1" {
		t.Errorf("%s came, want 1", id)
	}
	js, err := jetstream.New(s.conn)
	if err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "it to be set aside once, and both to be settled", func() bool {
		aside, err := s.stream(t, "POSTRIDER_DEAD").Info(t.Context(), jetstream.WithSubjectFilter("postrider.unreadable"))
		if err != nil || aside.State.Subjects["postrider.unreadable"] != 1 {
			return false
		}
		deed, err := js.Stream(t.Context(), "POSTRIDER_OWNER")
		if err != nil {
			return false
		}
		msg, err := deed.GetLastMsgForSubject(t.Context(), "postrider.owner")
		return err == nil && strings.Contains(string(msg.Data), `"upTo":2}`)
	})
}

func TestEventsAreTrimmedWhereNobodyOrdersAny(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), sharing(time.Minute))
	for i := range 3 {
		if err := s.Append(t.Context(), []event.Event{anEvent(fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
	}
	s.take(t, 3, every)
	eventually.True(t, "them to be gone", func() bool {
		err := s.Measure(t.Context(), time.Now().Add(48*time.Hour))
		return err == nil && s.stream(t, "POSTRIDER_EVENTS").CachedInfo().State.Msgs == 0
	})
}

func TestOrderedEventsAreKeptUntilTheyAreSettled(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), sharing(time.Second))
	for i := range 4 {
		for _, e := range []event.Event{anEvent(fmt.Sprint("e", i)), anOrder(fmt.Sprint("o", i))} {
			if err := s.Append(t.Context(), []event.Event{e}); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.take(t, 4, every)
	stored := func() uint64 {
		t.Helper()
		if err := s.Measure(t.Context(), time.Now().Add(48*time.Hour)); err != nil {
			t.Fatal(err)
		}
		return s.stream(t, "POSTRIDER_EVENTS").CachedInfo().State.Msgs
	}
	eventually.True(t, "what came before anything ordered to be gone", func() bool { return stored() == 7 })
	claims := make(chan *event.Claim, 4)
	lead(t, s.Queue, func(ctx context.Context) {
		s.OrderedEvents(ctx, noGate, func(st event.Stored) { claims <- st.Claim })
	})
	first := <-claims
	(<-claims).Done() // only this one
	renewed(t, s.Queue)
	renewed(t, s.Queue)
	if n := stored(); n != 7 {
		t.Errorf("%d are left, want 7: the first is not settled", n)
	}
	first.Done()
	eventually.True(t, "those before the third to be gone", func() bool { return stored() == 3 })
	(<-claims).Done()
	(<-claims).Done()
	eventually.True(t, "all to be gone", func() bool { return stored() == 0 })
}
