package main

import "testing"

func TestMemoryIsGivenBackOnceWhenWorkIsFollowedByRest(t *testing.T) {
	t.Parallel()
	var r rest
	var now uint64
	// pass lets seconds pass that allocate so much each, and returns how often a rest came.
	pass := func(seconds int, each uint64) (times int) {
		for range seconds {
			if now += each; r.comes(now) {
				times++
			}
		}
		return times
	}
	for _, step := range []struct {
		what    string
		seconds int
		each    uint64
		want    int
	}{
		{"a start is no work", 60, 1 << 20, 0},
		{"work", 60, 100 << 20, 0},
		{"a pause", 9, 1 << 20, 0},
		{"work again", 1, 100 << 20, 0},
		{"rest", 60, 1 << 20, 1},
		{"a metrics page now and then is no work", 1, 60 << 20, 0},
		{"more rest", 60, 1 << 20, 0},
	} {
		if got := pass(step.seconds, step.each); got != step.want {
			t.Errorf("%s: memory is given back %d times, want %d", step.what, got, step.want)
		}
	}
}
