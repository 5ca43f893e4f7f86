package share_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/postrider/postrider/dispatcher/share"
)

func TestNobodyHasMoreThanTheirShareNorAllTogetherMoreThanThereIs(t *testing.T) {
	p := share.New(10, 4)
	var holds []share.Hold
	for _, tt := range []struct {
		key string
		n   int64
		ok  bool
	}{
		{"a", 3, true}, {"a", 2, false}, {"a", 1, true}, {"a", 1, false},
		{"b", 4, true}, {"c", 3, false}, {"c", 2, true}, {"d", 1, false}, {"d", 0, true}, {"e", 5, false},
	} {
		h, ok := p.Try(tt.key, tt.n)
		if ok != tt.ok {
			t.Fatalf("%d for %s: %t", tt.n, tt.key, ok)
		}
		if ok {
			holds = append(holds, h)
		}
	}
	holds[0].Release()
	if _, ok := p.Try("d", 3); !ok {
		t.Error("what was released is not there")
	}
	if _, ok := p.Try("a", 1); ok {
		t.Error("more is there than was released")
	}
}

func TestWhoWaitsForTheirShareDoesNotStandInTheWayOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := share.New(10, 4)
		first, _ := p.Try("a", 4)
		got := make(chan share.Hold)
		go func() {
			h, err := p.Wait(t.Context(), "a", 4)
			if err != nil {
				t.Error(err)
			}
			got <- h
		}()
		synctest.Wait()
		if _, ok := p.Try("b", 4); !ok {
			t.Error("another finds no room")
		}
		first.Release()
		(<-got).Release()
	})
}

func TestWhoStopsWaitingHoldsNothing(t *testing.T) {
	for name, take := range map[string]func(*share.Pool) share.Hold{
		"for the share": func(p *share.Pool) share.Hold { h, _ := p.Try("a", 4); return h },
		"for all":       func(p *share.Pool) share.Hold { h, _ := p.Try("b", 4); return h },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := share.New(4, 4)
				before := take(p)
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() { _, err := p.Wait(ctx, "a", 4); ended <- err }()
				synctest.Wait()
				cancel()
				if err := <-ended; !errors.Is(err, context.Canceled) {
					t.Errorf("it ended with %v", err)
				}
				before.Release()
				if _, ok := p.Try("a", 4); !ok {
					t.Error("something is held")
				}
			})
		})
	}
}
