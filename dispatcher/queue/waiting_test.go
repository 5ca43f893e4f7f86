package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/queue"
	"github.com/postrider/postrider/internal/eventually"
)

func TestAQueueGivesInOrderWhatWasPutIn(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, t.TempDir(), way.options)
			nothingIn(t, s.Queue, "cms/a")
			want := owed("cms/a", upTo(3)...)
			other := owed("cms/a.b", 7)
			s.enqueue(t, slices.Concat(want[:2], other, want[2:])...)
			last := owed("cms/a", 3)
			s.enqueue(t, last...)
			for _, want := range [][]deliver.Deferral{want, last, other} {
				got, claim := dequeue(t, s.Queue, want[0].Route)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error("(-want +got)\n" + diff)
				}
				settle(claim)
			}
			nothingIn(t, s.Queue, "cms/a")
			nothingIn(t, s.Queue, "cms/a.b")
		})
	}
}

func TestAPackOfAQueueIsBounded(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	s.enqueue(t, owed("cms/many", upTo(2*deliver.MaxDequeue+1)...)...)
	large := owed("cms/large", upTo(5)...)
	for i := range large {
		large[i].Event.Data = make([]byte, queue.MaxWaitingPack/2-1000)
	}
	large[4].Event.Data = make([]byte, 2*queue.MaxWaitingPack)
	s.enqueue(t, large...)
	for route, want := range map[string][]int{"cms/many": {deliver.MaxDequeue, deliver.MaxDequeue, 1}, "cms/large": {2, 2, 1}} {
		var sizes []int
		for range want {
			ds, _ := dequeue(t, s.Queue, route)
			sizes = append(sizes, len(ds))
		}
		if diff := cmp.Diff(want, sizes); diff != "" {
			t.Errorf("packs of %s (-want +got)\n%s", route, diff)
		}
	}
}

func TestWhatIsDequeuedNobodyElseGetsUntilItIsGivenBack(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), func(o *queue.Options) { o.Exclusive = false })
	second := s.another(t)
	for _, id := range upTo(3) { // three packs
		s.enqueue(t, owed("cms/a", id)...)
	}
	first, claim := dequeue(t, s.Queue, "cms/a")
	other, otherClaim := dequeue(t, second, "cms/a")
	third, _ := dequeue(t, s.Queue, "cms/a")
	if diff := cmp.Diff([]string{"0", "1", "2"}, ids(slices.Concat(first, other, third))); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
	nothingIn(t, second, "cms/a")
	settle(claim)
	settle(otherClaim)
	s.Close()
	eventually.True(t, "what the first left", func() bool {
		ds, _, err := second.Dequeue(t.Context(), deliver.QueueID{Route: "cms/a"})
		return err == nil && cmp.Equal([]string{"2"}, ids(ds))
	})
}

func TestWhatADeadDispatcherHadDequeuedGoesToAnother(t *testing.T) {
	t.Parallel()
	impatient := func(o *queue.Options) { o.Exclusive = false; o.Impatient(time.Second) }
	s := open(t, t.TempDir(), impatient)
	dying := s.another(t, impatient)
	s.enqueue(t, owed("cms/a", 1)...)
	dequeue(t, dying, "cms/a")
	nothingIn(t, s.Queue, "cms/a")
	dying.Sever()
	eventually.True(t, "what the dead one had", func() bool {
		ds, _, err := s.Dequeue(t.Context(), deliver.QueueID{Route: "cms/a"})
		return err == nil && cmp.Equal([]string{"1"}, ids(ds))
	})
}

func TestWhatWasDequeuedComesAgainAtOnceAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	for _, id := range upTo(3) {
		s.enqueue(t, owed("cms/a", id)...)
	}
	_, claims := dequeue(t, s.Queue, "cms/a")
	settle(claims)
	dequeue(t, s.Queue, "cms/a")
	s.close()

	s = open(t, dir)
	for _, want := range []string{"1", "2"} {
		ds, claim := dequeue(t, s.Queue, "cms/a")
		if diff := cmp.Diff([]string{want}, ids(ds)); diff != "" {
			t.Error("(-want +got)\n" + diff)
		}
		settle(claim)
	}
	nothingIn(t, s.Queue, "cms/a")
}

func TestWhatWaitsIsCountedByRoute(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := open(t, dir, way.options)
			count := func(want map[string]int) {
				t.Helper()
				waiting, err := s.Waiting(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				got := map[string]int{}
				for id, n := range waiting {
					got[id.Route] += n
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error("(-want +got)\n" + diff)
				}
			}
			count(map[string]int{})
			s.enqueue(t, slices.Concat(owed("cms/a", upTo(300)...), owed("cms/a.b.5", 1), owed("shop/a", 1, 2))...)
			count(map[string]int{"cms/a": 300, "cms/a.b.5": 1, "shop/a": 2})
			ds, claim := dequeue(t, s.Queue, "cms/a")
			count(map[string]int{"cms/a": 300 - len(ds), "cms/a.b.5": 1, "shop/a": 2}) // without what is in memory
			s.close()
			s = open(t, dir, way.options)
			count(map[string]int{"cms/a": 300, "cms/a.b.5": 1, "shop/a": 2})
			stored, _, err := s.Counts(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]int{"cms/a": 300, "cms/a.b.5": 1, "shop/a": 2}, stored); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
			_ = claim
		})
	}
}

func TestTheFrontOfAQueueTellsItsAge(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	oldest := func() time.Time {
		t.Helper()
		_, at, err := s.Oldest(t.Context(), "cms/a")
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	if at := oldest(); !at.IsZero() {
		t.Errorf("an empty queue is of %s", at)
	}
	before := time.Now()
	for _, id := range upTo(2) {
		s.enqueue(t, owed("cms/a", id)...)
	}
	first := oldest()
	if first.Before(before.Add(-time.Second)) || first.After(time.Now().Add(time.Second)) {
		t.Errorf("the front is of %s, it was put there after %s", first, before)
	}
	_, claims := dequeue(t, s.Queue, "cms/a")
	settle(claims)
	eventually.True(t, "the next to be at the front", func() bool { return oldest().After(first) })
}

func TestAPackThatCannotBeReadIsSetAsideAndHoldsUpNoQueue(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, t.TempDir(), way.options)
			if _, err := s.js(t).Publish(t.Context(), queue.SubjectOfPack(deliver.QueueID{Route: "cms/a"}, 3), []byte("from a later version")); err != nil {
				t.Fatal(err)
			}
			s.enqueue(t, owed("cms/a", 1)...)
			ds, claim := dequeue(t, s.Queue, "cms/a")
			if diff := cmp.Diff([]string{"1"}, ids(ds)); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
			settle(claim)
			if _, err := s.stream(t, "POSTRIDER_DEAD").GetLastMsgForSubject(t.Context(), "postrider.unreadable"); err != nil {
				t.Errorf("it was not set aside: %v", err)
			}
		})
	}
}

func TestManyRoutesDrainAtOnce(t *testing.T) {
	t.Parallel()
	const routes, packs, each = 200, 3, 2
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, t.TempDir(), way.options)
			queues := []*queue.Queue{s.Queue}
			if !way.exclusive {
				queues = append(queues, s.another(t))
			}
			route := func(i int) string { return fmt.Sprintf("cms/route-%d", i) }
			for p := range packs {
				var all []deliver.Deferral
				for r := range routes {
					all = append(all, owed(route(r), p*each, p*each+1)...)
				}
				s.enqueue(t, all...)
			}
			var mu sync.Mutex
			got := map[string]int{}
			var wg sync.WaitGroup
			for _, q := range queues {
				for r := range routes {
					wg.Go(func() {
						for {
							ds, claim, err := q.Dequeue(t.Context(), deliver.QueueID{Route: route(r)})
							if err != nil {
								t.Error(err)
							}
							if len(ds) == 0 {
								return
							}
							mu.Lock()
							for _, d := range ds {
								got[d.Route+" "+d.Event.ID]++
							}
							mu.Unlock()
							settle(claim)
						}
					})
				}
			}
			wg.Wait()
			if len(got) != routes*packs*each {
				t.Errorf("%d deliveries came, want %d", len(got), routes*packs*each)
			}
			for d, n := range got {
				if n != 1 {
					t.Errorf("%s came %d times", d, n)
				}
			}
			eventually.True(t, "the queues to be empty in the store", func() bool {
				left, err := s.Waiting(t.Context())
				return err == nil && len(left) == 0
			})
		})
	}
}

func TestDequeueWaitsWhileTooMuchIsInMemory(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), func(o *queue.Options) { o.MaxBytes = 1 << 30 })
	const size = 900 << 10
	const packs = queue.MaxWaitingBytes/size + 2
	for i := range packs {
		ds := owed("cms/a", i)
		ds[0].Event.Data = make([]byte, size)
		s.enqueue(t, ds...)
	}
	var claims []*event.Claim
	for {
		patience := 20 * time.Second
		if len(claims)*size >= queue.MaxWaitingBytes {
			patience = 200 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		ds, claim, err := s.Dequeue(ctx, deliver.QueueID{Route: "cms/a"})
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if err != nil || len(ds) == 0 {
			t.Fatalf("after %d packs: %d deliveries, error %v", len(claims), len(ds), err)
		}
		claims = append(claims, claim...)
	}
	if got := len(claims) * size; got < queue.MaxWaitingBytes-size || got > queue.MaxWaitingBytes+size {
		t.Errorf("it waits with %d bytes in memory, the bound is %d", got, queue.MaxWaitingBytes)
	}
	claims[0].Done()
	dequeue(t, s.Queue, "cms/a")
}
