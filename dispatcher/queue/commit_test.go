package queue_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/queue"
)

// A disk takes what is flushed when it is told to.
type disk struct {
	flushes chan []string // what a flush brings
	results chan error    // how it ends
}

func newDisk() disk { return disk{make(chan []string), make(chan error)} }

func (d disk) flush(texts []string) error {
	d.flushes <- texts
	return <-d.results
}

// take ends the next flush and returns what it brought.
func (d disk) take(err error) []string {
	texts := <-d.flushes
	slices.Sort(texts) // the calls came at the same time
	d.results <- err
	return texts
}

// calls are Commits under way, and how they ended.
type calls struct {
	wg     sync.WaitGroup
	mu     sync.Mutex
	result map[string]error
}

func (c *calls) start(commit func(...string) error, texts ...string) {
	c.wg.Go(func() {
		err := commit(texts...)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.result == nil {
			c.result = map[string]error{}
		}
		c.result[texts[0]] = err
	})
}

func (c *calls) wait() map[string]error {
	c.wg.Wait()
	return c.result
}

func TestCallersThatComeDuringAFlushShareTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		c := queue.NewCommitter(d.flush)
		defer c.Close()
		var all calls
		all.start(c.Commit, "a1", "a2")
		synctest.Wait() // the first is being flushed
		all.start(c.Commit, "b")
		all.start(c.Commit, "c1", "c2")
		synctest.Wait()
		if diff := cmp.Diff([]string{"a1", "a2"}, d.take(nil)); diff != "" {
			t.Error("the first flush (-want +got)\n" + diff)
		}
		if diff := cmp.Diff([]string{"b", "c1", "c2"}, d.take(nil)); diff != "" {
			t.Error("the second flush (-want +got)\n" + diff)
		}
		for name, err := range all.wait() {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestNobodyReturnsBeforeTheFlush(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		c := queue.NewCommitter(d.flush)
		defer c.Close()
		var all calls
		all.start(c.Commit, "a")
		synctest.Wait()
		if len(all.result) != 0 {
			t.Errorf("the call has returned: %v", all.result)
		}
		d.take(nil)
		all.wait()
	})
}

func TestAFailedFlushFailsExactlyItsCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		c := queue.NewCommitter(d.flush)
		defer c.Close()
		broken := errors.New("broken")
		var all calls
		all.start(c.Commit, "before")
		synctest.Wait() // alone in its flush
		all.start(c.Commit, "a")
		all.start(c.Commit, "b")
		synctest.Wait()
		d.take(nil)
		d.take(broken)
		all.start(c.Commit, "after")
		d.take(nil)
		want := map[string]error{"before": nil, "a": broken, "b": broken, "after": nil}
		if diff := cmp.Diff(want, all.wait(), cmp.Comparer(func(a, b error) bool { return errors.Is(a, b) })); diff != "" {
			t.Error("(-want +got)\n" + diff)
		}
	})
}

func TestAPackStopsGrowing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		c := queue.NewCommitter(d.flush)
		defer c.Close()
		large := strings.Repeat("x", queue.MaxPack/2)
		var all calls
		all.start(c.Commit, "first")
		synctest.Wait()
		for i := range 5 {
			all.start(c.Commit, fmt.Sprint(i, large))
		}
		synctest.Wait()
		var sizes []int
		for range 4 {
			sizes = append(sizes, len(d.take(nil)))
		}
		all.wait()
		// Two of them pass the bound.
		if diff := cmp.Diff([]int{1, 2, 2, 1}, sizes); diff != "" {
			t.Error("records of each flush (-want +got)\n" + diff)
		}
	})
}

func TestCloseFinishesWhatWasHandedInAndRefusesTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		c := queue.NewCommitter(d.flush)
		var all calls
		all.start(c.Commit, "a")
		synctest.Wait()
		all.start(c.Commit, "b")
		all.start(c.Commit, "c")
		synctest.Wait()
		closed := make(chan struct{})
		go func() { defer close(closed); c.Close() }()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("the committer closed with calls in hand")
		default:
		}
		d.take(nil)
		d.take(nil)
		<-closed
		for name, err := range all.wait() {
			if err != nil {
				t.Errorf("%s, handed in before the close: %v", name, err)
			}
		}
		for range 2 {
			if err := c.Commit("late"); !errors.Is(err, queue.ErrClosed) {
				t.Fatalf("after the close the error is %v", err)
			}
		}
	})
}

func TestManyCallersAreAllServedWhileTheCommitterCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		stored := map[string]bool{}
		c := queue.NewCommitter(func(texts []string) error {
			mu.Lock()
			defer mu.Unlock()
			for _, text := range texts {
				stored[text] = true
			}
			return nil
		})
		var all calls
		for i := range 3000 {
			all.start(c.Commit, fmt.Sprint(i))
		}
		c.Close()
		for text, err := range all.wait() {
			switch {
			case err == nil && !stored[text]:
				t.Errorf("%s is said to be stored and is not", text)
			case err != nil && !errors.Is(err, queue.ErrClosed):
				t.Errorf("%s: %v", text, err)
			}
		}
	})
}

func TestCallersThatComeAtOnceGatherForTheNextFlush(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		first, next int // callers of two flushes
		waits       bool
	}{
		"after one who came alone nobody waits": {1, 1, false},
		"after several the next ones gather":    {queue.GatherFrom, 2, true},
		"as many as before are enough":          {queue.GatherFrom, queue.GatherFrom, false},
		"most of many are enough":               {16, 14, false},
		"fewer of many are not":                 {16, 13, true},
		"a crowd is not waited for":             {2 * queue.GatherEnough, queue.GatherEnough, false},
		"part of a crowd gathers":               {2 * queue.GatherEnough, queue.GatherEnough - 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDisk()
				c := queue.NewCommitter(d.flush)
				defer c.Close()
				var all calls
				all.start(c.Commit, "alone")
				synctest.Wait() // while it is flushed, the first come
				for i := range tt.first {
					all.start(c.Commit, fmt.Sprint("first", i))
				}
				synctest.Wait()
				d.take(nil)
				begun := time.Now()
				d.take(nil)
				synctest.Wait() // who comes before the flush has ended counts as one of its crowd
				for i := range tt.next {
					all.start(c.Commit, fmt.Sprint("next", i))
				}
				if got := len(d.take(nil)); got != tt.next {
					t.Errorf("the flush brought %d calls of %d", got, tt.next)
				}
				if waited := time.Since(begun); waited != 0 != tt.waits {
					t.Errorf("it came after %s", waited)
				}
				all.wait()
			})
		})
	}
}
