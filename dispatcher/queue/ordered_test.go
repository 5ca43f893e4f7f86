package queue_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/queue"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
)

func TestAQueueOfAKeyGivesOneDeliveryAtATimeInOrder(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, t.TempDir(), way.options)
			const key = 0x0000000000000005
			ordered := keyed("cms/a", key, 0, 1, 2, 3)
			unordered := owed("cms/a", 10, 11, 12)
			// Their subjects are alike: a name may end as a key does.
			lookalikes := slices.Concat(owed("cms/a.0000000000000005", 20), owed("cms/a.5", 21), keyed("cms/a.b", key, 22), keyed("cms/a", key+1, 23))
			s.enqueue(t, slices.Concat(ordered[:2], unordered[:1], ordered[2:3], lookalikes, unordered[1:])...)
			s.enqueue(t, ordered[3])
			from := deliver.QueueID{Route: "cms/a", Key: key}
			for _, want := range ordered {
				got, claim := dequeueOne(t, s.Queue, from)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error("(-want +got)\n" + diff)
				}
				claim.Done()
			}
			emptyQueue(t, s.Queue, from)
			got, claims := dequeue(t, s.Queue, "cms/a")
			if diff := cmp.Diff(unordered, got); diff != "" {
				t.Error("without a key (-want +got)\n" + diff)
			}
			settle(claims)
			for _, want := range lookalikes {
				got, claim := dequeueOne(t, s.Queue, want.Queue())
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error("(-want +got)\n" + diff)
				}
				claim.Done()
			}
			eventually.True(t, "nothing to wait", func() bool {
				left, err := s.Waiting(t.Context())
				return err == nil && len(left) == 0
			})
		})
	}
}

func TestADeliveryOfAKeyIsNotHandedOutAgainUntilItIsSettled(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, t.TempDir(), func(o *queue.Options) { o.Exclusive = way.exclusive })
			if err := s.Enqueue(t.Context(), keyed("cms/a", 7, 0, 1)...); err != nil {
				t.Fatal(err)
			}
			from := deliver.QueueID{Route: "cms/a", Key: 7}
			first, _ := dequeueOne(t, s.Queue, from)
			second, claim := dequeueOne(t, s.Queue, from)
			if diff := cmp.Diff([]string{"0", "1"}, ids([]deliver.Deferral{first, second})); diff != "" {
				t.Error("(-want +got)\n" + diff)
			}
			emptyQueue(t, s.Queue, from)
			claim.Done()
			emptyQueue(t, s.Queue, from)
		})
	}
}

// Whoever settles a delivery asks for the next at once, while the store may
// still be deleting the one before.
func TestManyKeysAreEmptiedInOrderAndNothingComesTwice(t *testing.T) {
	t.Parallel()
	const each = 4
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, t.TempDir(), way.options)
			keys := 2000
			if !way.exclusive {
				keys = 100
			}
			for i := range each {
				var all []deliver.Deferral
				for k := range keys {
					all = append(all, keyed("cms/a", route.Key(k+1), i)...)
				}
				s.enqueue(t, all...)
			}
			var wg sync.WaitGroup
			const takers = 8
			for taker := range takers {
				wg.Go(func() {
					for k := taker; k < keys; k += takers {
						var got []string
						for {
							ds, claims, err := s.Dequeue(t.Context(), deliver.QueueID{Route: "cms/a", Key: route.Key(k + 1)})
							if err != nil {
								t.Error(err)
							}
							if len(ds) == 0 {
								break
							}
							got = append(got, ids(ds)...)
							settle(claims)
						}
						if diff := cmp.Diff([]string{"0", "1", "2", "3"}, got); diff != "" {
							t.Errorf("key %d (-want +got)\n%s", k+1, diff)
						}
					}
				})
			}
			wg.Wait()
			eventually.True(t, "the queues to be empty in the store, and forgotten", func() bool {
				left, err := s.stream(t, queue.StreamWaiting).Info(t.Context())
				return err == nil && left.State.Msgs == 0 && s.Fronts() == 0
			})
		})
	}
}

func TestMoreQueuesThanConsumersAreNotHandedOutTwice(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), func(o *queue.Options) { o.Exclusive = false })
	var all []deliver.Deferral
	for k := range queue.MaxDrains + 1 {
		all = append(all, owed(fmt.Sprint("cms/a", k), k)...)
	}
	if err := s.Enqueue(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
	var claims []*event.Claim
	for _, d := range all[:queue.MaxDrains] {
		_, claim := dequeueOne(t, s.Queue, d.Queue())
		claims = append(claims, claim)
	}
	last := all[queue.MaxDrains].Queue()
	if ds, _, err := s.Dequeue(t.Context(), last); err == nil {
		t.Errorf("%d deliveries come, and something else has to come twice", len(ds))
	}
	claims[0].Done()
	eventually.True(t, "there to be room for another", func() bool {
		ds, _, err := s.Dequeue(t.Context(), last)
		return err == nil && len(ds) == 1
	})
}

func TestWhatIsOwedIsCountedByKey(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := open(t, dir, way.options)
			check := func(what string, count func(context.Context) (map[deliver.QueueID]int, error), want map[deliver.QueueID]int) {
				t.Helper()
				got, err := count(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(what + " (-want +got)\n" + diff)
				}
			}
			a, a1, a2, b1 := deliver.QueueID{Route: "cms/a"}, deliver.QueueID{Route: "cms/a", Key: 1}, deliver.QueueID{Route: "cms/a", Key: 1<<64 - 1}, deliver.QueueID{Route: "cms/b.c", Key: 1}
			waits := slices.Concat(owed("cms/a", 1, 2, 3), keyed("cms/a", a1.Key, 4, 5), keyed("cms/a", a2.Key, 6), keyed("cms/b.c", b1.Key, 7))
			s.enqueue(t, waits...)
			parked := slices.Concat(owed("cms/a", 1), keyed("cms/a", a1.Key, 2), keyed("cms/b.c", b1.Key, 3, 4))
			for i := range parked {
				parked[i].Due = time.Now().Add(time.Hour)
			}
			if err := s.Defer(t.Context(), parked...); err != nil {
				t.Fatal(err)
			}
			deferred := map[deliver.QueueID]int{a: 1, a1: 1, b1: 2}
			check("waiting", s.Waiting, map[deliver.QueueID]int{a: 3, a1: 2, a2: 1, b1: 1})
			check("deferred", s.Deferred, deferred)
			dequeueOne(t, s.Queue, a1)
			dequeueOne(t, s.Queue, a2)
			check("waiting", s.Waiting, map[deliver.QueueID]int{a: 3, a1: 1, b1: 1}) // without what is in memory
			s.close()

			s = open(t, dir, way.options)
			check("deferred after a restart", s.Deferred, deferred)
			check("waiting after a restart", s.Waiting, map[deliver.QueueID]int{a: 3, a1: 2, a2: 1, b1: 1})
			stored, _, err := s.Counts(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]int{"cms/a": 8, "cms/b.c": 3}, stored); diff != "" {
				t.Error("by route (-want +got)\n" + diff)
			}
		})
	}
}

func TestTheOldestOfARouteIsFoundInWhicheverQueueItIs(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			s := open(t, t.TempDir(), func(o *queue.Options) { o.Exclusive = way.exclusive })
			if !way.exclusive {
				lead(t, s.Queue, untilDone).await(t)
			}
			all := slices.Concat(keyed("cms/a", 9, 0), owed("cms/a", 1), keyed("cms/a", 3, 2), keyed("cms/a", 9, 3))
			for _, d := range all {
				if err := s.Enqueue(t.Context(), keyed("cms/a.b", 9, 100)[0], d); err != nil {
					t.Fatal(err)
				}
			}
			var last time.Time
			for _, d := range all {
				id, at, err := s.Oldest(t.Context(), "cms/a")
				if err != nil || id != d.Queue() || !at.After(last) {
					t.Errorf("the oldest is in %v, of %s, error %v; want one in %v, after %s", id, at, err, d.Queue(), last)
				}
				last = at
				dequeueOne(t, s.Queue, d.Queue()) // what is dequeued does not wait
			}
			if id, at, err := s.Oldest(t.Context(), "cms/a"); err != nil || !at.IsZero() {
				t.Errorf("the oldest of nothing is in %v, of %s, error %v", id, at, err)
			}
		})
	}
}

func TestDeferralsOfManyKeysFitIntoTheHeadersOfTheirPacks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	name := "cms/" + strings.Repeat("long-name.", 24) + "x"
	want := map[deliver.QueueID]int{}
	var all []deliver.Deferral
	due := time.Now().Add(time.Hour)
	for k := range 1000 {
		d := keyed(name, route.Key(k+1), k)[0]
		d.Due = due
		all = append(all, d)
		want[d.Queue()]++
	}
	if err := s.Defer(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
	s.close()
	got, err := open(t, dir).Deferred(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

func TestADeferralOfAKeyComesBackWithIt(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	want := keyed("cms/a", 5, 0, 1)
	for i := range want {
		want[i].Due = time.Now()
	}
	if err := s.Defer(t.Context(), want...); err != nil {
		t.Fatal(err)
	}
	got, claims := s.due(t, len(want))
	for i := range want {
		want[i].Due = time.Time{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
	if left, err := s.Deferred(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("%v are deferred though they came back, error %v", left, err)
	}
	settle(claims)
}

func TestAKeyDoesNotWaitForWhatACrashLeftWithoutASchedule(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	park := func(d deliver.Deferral) {
		t.Helper()
		d.Due = time.Now().Add(time.Hour)
		if err := s.Defer(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	park(keyed("cms/a", 1, 1)[0])
	s.parkOnly(t, keyed("cms/a", 2, 2)[0])
	park(keyed("cms/a", 1, 3)[0])
	s.close()

	got, err := open(t, dir).Deferred(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[deliver.QueueID]int{{Route: "cms/a", Key: 1}: 2}, got); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

func TestAfterAnAppendThatMayHaveBeenHeardWhatWaitsIsCountedAnew(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	heard := keyed("cms/a", 1, 1)[0]
	for _, known := range []int{0, 1} {
		got, err := s.Waiting(t.Context())
		if err != nil || got[heard.Queue()] != known {
			t.Errorf("%v wait, error %v; want %d", got, err, known)
		}
		msg := nats.NewMsg(queue.SubjectOfPack(heard.Queue(), 1))
		msg.Data = queue.AppendDeferral(nil, heard)
		if _, err := s.conn.RequestMsg(msg, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		s.Doubt()
	}
}

// What comes again after a crash was there before: nothing that is new comes
// before what is older under its key.
func TestKeysKeepTheirOrderThroughCrashes(t *testing.T) {
	t.Parallel()
	const keys, crashes = 5, 8
	dir := t.TempDir()
	var lines [keys]line
	for i := range lines {
		lines[i].id = deliver.QueueID{Route: "cms/a", Key: route.Key(i + 1)}
	}
	for crash := range crashes + 1 {
		s := open(t, dir)
		if crash < crashes {
			time.AfterFunc(rand.N(200*time.Millisecond), s.Sever)
		}
		var wg sync.WaitGroup
		for i := range lines {
			wg.Go(func() { lines[i].put(t, s.Queue) })
			wg.Go(func() { lines[i].take(t, s.Queue) })
		}
		wg.Wait()
		s.close()
	}
	for i := range lines {
		if l := &lines[i]; l.stored < lineLength || l.came != lineLength {
			t.Errorf("of %v %d were stored and %d came, want %d", l.id, l.stored, l.came, lineLength)
		}
	}
}

// A line is the deliveries under one key, numbered.
type line struct {
	id     deliver.QueueID
	stored int // how many are, for sure
	came   int // how many came at least once
}

const lineLength = 300

// put enqueues what is missing until the store fails. What may be stored and was
// not confirmed is stored again, as by whoever settles a claim only then.
func (l *line) put(t *testing.T, q *queue.Queue) {
	t.Helper()
	for l.stored < lineLength {
		n := 1 + rand.IntN(min(3, lineLength-l.stored))
		numbers := make([]int, n)
		for i := range numbers {
			numbers[i] = l.stored + i
		}
		if err := q.Enqueue(t.Context(), keyed(l.id.Route, l.id.Key, numbers...)...); err != nil {
			return
		}
		l.stored += n
	}
}

// take settles what comes until the store fails, or all have come.
func (l *line) take(t *testing.T, q *queue.Queue) {
	t.Helper()
	for {
		ds, claims, err := q.Dequeue(t.Context(), l.id)
		if err != nil || len(ds) == 0 && l.came == lineLength {
			return
		}
		for _, d := range ds {
			switch n, err := strconv.Atoi(d.Event.ID); {
			case err != nil || n > l.came:
				t.Errorf("of %v %s came when %d had come", l.id, d.Event.ID, l.came)
				return
			case n == l.came:
				l.came++
			}
		}
		settle(claims)
	}
}
