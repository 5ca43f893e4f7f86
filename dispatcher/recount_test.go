package dispatcher_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher"
)

func TestACountThatDisagreesIsRepeatedSoonUnlessThatIsDear(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		counts := []struct {
			takes  time.Duration
			agreed bool
			err    error
		}{
			{0, true, nil},
			{0, false, nil}, // and soon once more,
			{0, false, nil}, // as long as they differ
			{0, true, nil},
			{200 * time.Millisecond, false, nil}, // not so soon
			{5 * time.Second, false, nil},        // no sooner than ever
			{0, false, errors.New("no leader")},
			{0, true, nil},
		}
		var pauses []time.Duration
		last := time.Now()
		dispatcher.KeepCounting(ctx, func(context.Context) (bool, error) {
			c := counts[len(pauses)]
			pauses = append(pauses, time.Since(last))
			if len(pauses) == len(counts) {
				cancel()
			}
			<-time.After(c.takes)
			last = time.Now()
			return c.agreed, c.err
		}, slog.New(slog.DiscardHandler))
		const every = 30 * time.Second
		want := []time.Duration{every, every, 2 * time.Second, 2 * time.Second, every, 10 * time.Second, every, every}
		if diff := cmp.Diff(want, pauses); diff != "" {
			t.Error("(-want +got)\n" + diff)
		}
	})
}
