package access_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/dispatcher/access"
)

// server answers questions and counts them.
type server struct {
	mu    sync.Mutex
	asked int
	reply
}

type reply struct {
	answer string
	grants bool
	err    error
	took   time.Duration
}

func (s *server) ask(ctx context.Context) (string, bool, error) {
	s.mu.Lock()
	s.asked++
	r := s.reply
	s.mu.Unlock()
	select {
	case <-time.After(r.took):
		return r.answer, r.grants, r.err
	case <-ctx.Done():
		return "", false, ctx.Err()
	}
}

// replies changes the reply, and returns how often was asked since the last change.
func (s *server) replies(r reply) (asked int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked, s.asked, s.reply = s.asked, 0, r
	return asked
}

func serverOf(r reply) *server { return &server{reply: r} }

var errDown = errors.New("connection refused")

func TestAnAnswerIsRememberedForItsTime(t *testing.T) {
	tests := []struct {
		name   string
		grants bool
		later  time.Duration
		asked  int
	}{
		{"a grant within a minute", true, 59 * time.Second, 1},
		{"a grant after a minute", true, 61 * time.Second, 2},
		{"a refusal within ten seconds", false, 9 * time.Second, 1},
		{"a refusal after ten seconds", false, 11 * time.Second, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				get, s := access.Recall(slog.New(slog.DiscardHandler)), serverOf(reply{answer: "a", grants: tt.grants})
				for range 2 {
					if got, err := get(t.Context(), "key", s.ask); got != "a" || err != nil {
						t.Errorf("got %q and %v", got, err)
					}
					<-time.After(tt.later)
				}
				if asked := s.replies(reply{}); asked != tt.asked {
					t.Errorf("asked %d times, want %d", asked, tt.asked)
				}
			})
		})
	}
}

func TestAnOutageIsOutlivedByGrantsOnly(t *testing.T) {
	tests := []struct {
		name   string
		grants bool
		later  time.Duration
		known  bool
	}{
		{"a grant", true, 10*time.Minute + 59*time.Second, true},
		{"a grant that is too old", true, 11*time.Minute + time.Second, false},
		{"a refusal", false, 11 * time.Second, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				get, s := access.Recall(slog.New(slog.DiscardHandler)), serverOf(reply{answer: "a", grants: tt.grants})
				if _, err := get(t.Context(), "key", s.ask); err != nil {
					t.Fatal(err)
				}
				<-time.After(tt.later)
				s.replies(reply{err: errDown})
				got, err := get(t.Context(), "key", s.ask)
				if known := got == "a" && err == nil; known != tt.known {
					t.Errorf("got %q and %v", got, err)
				}
				if !tt.known && !errors.Is(err, errDown) {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

func TestAnOutageSlowsDownFewCallersAndIsReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		get, s := access.Recall(slog.New(slog.NewTextHandler(&log, nil))), serverOf(reply{answer: "a", grants: true})
		if _, err := get(t.Context(), "key", s.ask); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Minute)

		s.replies(reply{took: time.Hour}) // it takes connections and never answers
		start := time.Now()
		for range 100 {
			if got, err := get(t.Context(), "key", s.ask); got != "a" || err != nil {
				t.Fatalf("got %q and %v", got, err)
			}
		}
		took := time.Since(start)
		if asked := s.replies(reply{answer: "b", grants: true}); took != time.Second || asked != 1 {
			t.Errorf("100 calls took %s and asked %d times, want 1s and once", took, asked)
		}
		if n := strings.Count(log.String(), "cannot be asked"); n != 1 {
			t.Errorf("%d warnings: %s", n, &log)
		}

		<-time.After(6 * time.Second)
		if got, err := get(t.Context(), "key", s.ask); got != "b" || err != nil {
			t.Errorf("after the outage got %q and %v", got, err)
		}
	})
}

func TestARevokedGrantIsGoneAfterTheNextAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		get, s := access.Recall(slog.New(slog.DiscardHandler)), serverOf(reply{answer: "granted", grants: true})
		for _, step := range []struct {
			later  time.Duration
			answer string
			err    error
			want   string
		}{
			{0, "granted", nil, "granted"},
			{61 * time.Second, "refused", nil, "refused"},
			{11 * time.Second, "", errDown, ""},
		} {
			<-time.After(step.later)
			s.replies(reply{answer: step.answer, grants: step.answer == "granted", err: step.err})
			if got, err := get(t.Context(), "key", s.ask); got != step.want || !errors.Is(err, step.err) {
				t.Errorf("got %q and %v, want %q and %v", got, err, step.want, step.err)
			}
		}
	})
}

func TestABurstAsksOnceAndSurvivesTheCallerWhoAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		get, s := access.Recall(slog.New(slog.DiscardHandler)), serverOf(reply{answer: "a", grants: true, took: time.Second})
		var callers sync.WaitGroup

		first, leave := context.WithCancel(t.Context())
		callers.Go(func() {
			if _, err := get(first, "key", s.ask); !errors.Is(err, context.Canceled) {
				t.Errorf("the caller who left got %v", err)
			}
		})
		synctest.Wait()
		var answered atomic.Int64
		for range 100 {
			callers.Go(func() {
				if got, err := get(t.Context(), "key", s.ask); got == "a" && err == nil {
					answered.Add(1)
				}
			})
		}
		synctest.Wait()
		leave()
		callers.Wait()
		if asked := s.replies(reply{}); asked != 1 || answered.Load() != 100 {
			t.Errorf("asked %d times, answered %d of 100", asked, answered.Load())
		}
	})
}

func TestAnUnknownAnswerIsWaitedForOnlySoLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		get, s := access.Recall(slog.New(slog.DiscardHandler)), serverOf(reply{took: time.Hour})
		start := time.Now()
		if _, err := get(t.Context(), "key", s.ask); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 5*time.Second {
			t.Errorf("got %v after %s", err, time.Since(start))
		}
	})
}

// The usual call: the answer is known.
func BenchmarkRecall(b *testing.B) {
	get, s := access.Recall(slog.New(slog.DiscardHandler)), serverOf(reply{answer: "a", grants: true})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := get(b.Context(), "key", s.ask); err != nil {
			b.Fatal(err)
		}
	}
}
