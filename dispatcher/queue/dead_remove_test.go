package queue_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/queue"
)

func TestPagesAreFoundAmongRemovedLetters(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), func(o *queue.Options) { o.MaxBytes = 256 << 20 })
	const n = 60
	large := letters("cms/a", "a", n)
	for i := range large { // several blocks of the store's files
		large[i].Event.Data = make([]byte, 500<<10)
	}
	s.bury(t, large...)
	s.bury(t, letters("cms/b", "b", 2)...)
	all := s.allDead(t, "cms/a", 7, nothing)
	if diff := cmp.Diff(newestFirst("a", n), idsOf(all)); diff != "" {
		t.Fatal("(-want +got)\n" + diff)
	}
	for _, d := range all[:n-5] { // the newest, whole blocks of them
		if n, err := s.RemoveDead(t.Context(), "cms/a", d.ID); err != nil || n != 1 {
			t.Fatalf("removed %d, %v", n, err)
		}
	}
	for _, limit := range []int{1, 2, 5, 1000} {
		got := idsOf(s.allDead(t, "cms/a", limit, nothing))
		if diff := cmp.Diff(newestFirst("a", 5), got); diff != "" {
			t.Errorf("pages of %d (-want +got)\n%s", limit, diff)
		}
	}
}

func TestARemovedDeadLetterIsGoneAndCountsOnce(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	s.bury(t, letters("cms/a", "a", 3)...)
	all := s.allDead(t, "cms/a", 10, nothing)
	for i, want := range []int{2, 0} {
		n, err := s.RemoveDead(t.Context(), "cms/a", all[0].ID, all[2].ID, all[0].ID)
		if n != want || err != nil {
			t.Errorf("call %d removed %d, %v, want %d", i, n, err, want)
		}
	}
	if _, err := s.DeadLetter(t.Context(), "cms/a", all[0].ID); !errors.Is(err, event.ErrNotFound) {
		t.Errorf("the error is %v, want ErrNotFound", err)
	}
	if diff := cmp.Diff([]string{"a1"}, idsOf(s.allDead(t, "cms/a", 10, nothing))); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

func TestOnlyTheNamedLettersAreRemoved(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		remove, left []int
	}{
		{"the oldest", []int{0, 1, 2}, []int{3, 4, 5}},
		{"the oldest but one", []int{0, 2, 3}, []int{1, 4, 5}},
		{"the newest", []int{3, 4, 5}, []int{0, 1, 2}},
		{"all, in any order", []int{5, 1, 0, 2, 4, 3}, nil},
		{"none", nil, []int{0, 1, 2, 3, 4, 5}},
	} {
		s := open(t, t.TempDir())
		six := letters("cms/a", "a", 6)
		for i := range six { // others lie before, between and behind
			s.bury(t, letters("cms/a.b", "other", 1)[0], six[i], letters("cms/b", "other", 1)[0])
		}
		all := s.allDead(t, "cms/a", 10, nothing)
		slices.Reverse(all)
		var ids []uint64
		for _, i := range tt.remove {
			ids = append(ids, all[i].ID)
		}
		if n, err := s.RemoveDead(t.Context(), "cms/a", ids...); n != len(ids) || err != nil {
			t.Errorf("%s: removed %d, %v", tt.name, n, err)
		}
		var left []int
		if err := s.EachDead(t.Context(), "cms/a", func(d deliver.DeadLetter) error {
			left = append(left, int(d.Seq))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.left, left); diff != "" {
			t.Errorf("%s (-want left +got)\n%s", tt.name, diff)
		}
		for _, route := range []string{"cms/a.b", "cms/b"} {
			if n := len(s.allDead(t, route, 10, nothing)); n != 6 {
				t.Errorf("%s: %d of 6 letters of %s are left", tt.name, n, route)
			}
		}
	}
}

func TestTwoWhoRemoveTheSameLettersCountThemOnce(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	s.bury(t, letters("cms/a", "a", 50)...)
	var ids []uint64
	for _, d := range s.allDead(t, "cms/a", 50, nothing) {
		ids = append(ids, d.ID)
	}
	counts := make([]int, 4)
	var wg sync.WaitGroup
	for i := range counts {
		wg.Go(func() {
			var err error
			if counts[i], err = s.RemoveDead(t.Context(), "cms/a", ids...); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if sum := counts[0] + counts[1] + counts[2] + counts[3]; sum != 50 {
		t.Errorf("%v were removed, want 50 in all", counts)
	}
}
