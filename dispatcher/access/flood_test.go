package access_test

import (
	"bytes"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/dispatcher/access"
)

func TestAFloodOfFirstQuestionsLeavesRenewalsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		get := access.Recall(slog.New(slog.NewTextHandler(&log, nil)))
		known, strangers := serverOf(reply{answer: "a", grants: true}), serverOf(reply{})
		if _, err := get(t.Context(), "known", known.ask); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Minute)
		known.replies(reply{answer: "b", grants: true})

		var flood sync.WaitGroup
		for i := range 1000 {
			flood.Go(func() { _, _ = get(t.Context(), strconv.Itoa(i), strangers.ask) })
		}
		synctest.Wait()
		start := time.Now()
		if got, err := get(t.Context(), "known", known.ask); got != "b" || err != nil || time.Since(start) != 0 {
			t.Errorf("got %q and %v after %s", got, err, time.Since(start))
		}
		flood.Wait()
		if asked := strangers.replies(reply{}); asked == 0 || asked > 100 {
			t.Errorf("the API server was asked about %d of 1000 strangers", asked)
		}
		if log.Len() > 0 {
			t.Errorf("log %s", &log)
		}
	})
}

func TestAFloodOfRefusalsDisplacesNoGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		get := access.Recall(slog.New(slog.DiscardHandler))
		known, strangers := serverOf(reply{answer: "a", grants: true}), serverOf(reply{})
		if _, err := get(t.Context(), "known", known.ask); err != nil {
			t.Fatal(err)
		}
		for i := range 5000 {
			<-time.After(100 * time.Millisecond)
			if _, err := get(t.Context(), strconv.Itoa(i), strangers.ask); err != nil {
				t.Fatal(err)
			}
		}
		known.replies(reply{err: errDown})
		if got, err := get(t.Context(), "known", known.ask); got != "a" || err != nil {
			t.Errorf("got %q and %v", got, err)
		}
	})
}

func TestOurOwnLimitIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers = 500
		var log bytes.Buffer
		get, s := access.Recall(slog.New(slog.NewTextHandler(&log, nil))), serverOf(reply{answer: "a", grants: true})
		for i := range callers {
			<-time.After(50 * time.Millisecond)
			if _, err := get(t.Context(), strconv.Itoa(i), s.ask); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(2 * time.Minute)
		s.replies(reply{answer: "b", grants: true})

		var all sync.WaitGroup
		var renewed, refused atomic.Int64
		for i := range callers {
			all.Go(func() {
				switch got, err := get(t.Context(), strconv.Itoa(i), s.ask); {
				case err != nil:
					refused.Add(1)
				case got == "b":
					renewed.Add(1)
				default:
					t.Errorf("an old grant counts on: %q", got)
				}
			})
		}
		all.Wait()
		if renewed.Load() < 100 || refused.Load() == 0 || log.Len() > 0 {
			t.Errorf("%d renewed, %d refused, log %q", renewed.Load(), refused.Load(), &log)
		}
	})
}
