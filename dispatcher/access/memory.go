package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/util/cache"
)

// How long answers of the API server count.
const (
	rememberGrant  = time.Minute      // how late a revoked right is noticed
	rememberRefuse = 10 * time.Second // how late a new right is noticed
	// outliveGrant is how much longer a grant is honoured while the API server
	// cannot be asked, so that producers survive its restart. A refusal is not:
	// a caller is better told to come again.
	outliveGrant = 10 * time.Minute

	reviewTimeout = 5 * time.Second // of one question
	// patience is how long a caller with a grant waits for its renewal before
	// the API server counts as unreachable.
	patience = time.Second
	// truce is how long an API server that did not answer is left alone by
	// callers with a grant, so that few of them wait.
	truce = 5 * time.Second
)

// remembered bounds each memory, in grants and in refusals: a few MiB.
const remembered = 4096

// Questions a second, and at once, that the API server is asked: they keep a
// flood of made-up tokens bearable for it. As grants are remembered, renewing
// them serves thousands of callers; first questions have limits of their own,
// so that a flood of them leaves those callers alone.
const (
	renewals, renewalsAtOnce = 50, 100
	firsts, firstsAtOnce     = 25, 50
	// queueTime is how long a question waits for its turn: less than patience,
	// so that a full queue is not taken for an API server that does not answer.
	queueTime = patience / 2
)

// errBusy says that the API server was not asked because of our own limits.
var errBusy = errors.New("too many questions for the API server at once")

// A memory keeps answers of the API server. Many who want to know the same ask
// once.
type memory[K comparable, V any] struct {
	log *slog.Logger
	now func() time.Time
	// Grants are apart from refusals, of which strangers can cause any number.
	grants, refusals *cache.LRUExpireCache // K → answer[V]
	renewal, first   *rate.Limiter         // of questions with an answer known before, and without
	asking           singleflight.Group
	until            atomic.Int64 // Unix nanoseconds: the end of the truce
}

type answer[V any] struct {
	value V
	stale time.Time // from when on it is only good if there is no newer one
}

func newMemory[K comparable, V any](log *slog.Logger, now func() time.Time) *memory[K, V] {
	return &memory[K, V]{
		log:      log,
		now:      now,
		grants:   cache.NewLRUExpireCacheWithClock(remembered, clock(now)),
		refusals: cache.NewLRUExpireCacheWithClock(remembered, clock(now)),
		renewal:  rate.NewLimiter(renewals, renewalsAtOnce),
		first:    rate.NewLimiter(firsts, firstsAtOnce),
	}
}

// get returns the answer to key, from memory or by ask, which tells whether the
// answer grants something. It fails when there is no answer, when ctx ends, and
// with errBusy: that is no outage, in which what was known would go on counting.
func (m *memory[K, V]) get(ctx context.Context, key K, ask func(context.Context) (value V, grants bool, err error)) (V, error) {
	known, ok := m.recall(key)
	if ok && (m.now().Before(known.stale) || m.now().UnixNano() < m.until.Load()) {
		return known.value, nil
	}

	turn := m.first
	if ok {
		turn = m.renewal
	}
	// One caller's leaving must not fail the others who wait for the same.
	shared := context.WithoutCancel(ctx)
	asked := m.asking.DoChan(fmt.Sprintf("%#v", key), func() (any, error) {
		ctx, cancel := context.WithTimeout(shared, reviewTimeout)
		defer cancel()
		if err := await(ctx, turn); err != nil {
			return nil, err
		}
		value, grants, err := ask(ctx)
		if err != nil {
			return nil, err
		}
		m.until.Store(0)
		m.keep(key, value, grants)
		return value, nil
	})

	var tired <-chan time.Time
	if ok {
		tired = time.After(patience)
	}
	var err error
	select {
	case result := <-asked:
		if result.Err == nil {
			value, _ := result.Val.(V) // what asking returned
			return value, nil
		}
		err = result.Err
	case <-tired:
		err = errors.New("the API server does not answer")
	case <-ctx.Done():
		err = ctx.Err()
	}
	if !ok || ctx.Err() != nil || errors.Is(err, errBusy) {
		var none V
		return none, err
	}

	if m.until.Swap(m.now().Add(truce).UnixNano()) < m.now().UnixNano() {
		m.log.LogAttrs(ctx, slog.LevelWarn, "the API server cannot be asked; answers known before count for up to 10 more minutes", slog.Any("err", err))
	}
	return known.value, nil
}

// await waits for a question's turn, for at most queueTime.
func await(ctx context.Context, turn *rate.Limiter) error {
	ctx, cancel := context.WithTimeout(ctx, queueTime)
	defer cancel()
	if err := turn.Wait(ctx); err != nil {
		return errBusy
	}
	return nil
}

// granted returns a grant that is remembered, whether it is stale or not.
func (m *memory[K, V]) granted(key K) (V, bool) {
	found, _ := m.grants.Get(key)
	known, ok := found.(answer[V]) // nil when there is none
	return known.value, ok
}

func (m *memory[K, V]) recall(key K) (answer[V], bool) {
	found, ok := m.grants.Get(key)
	if !ok {
		found, _ = m.refusals.Get(key)
	}
	known, ok := found.(answer[V]) // nil when there is none
	return known, ok
}

func (m *memory[K, V]) keep(key K, value V, grants bool) {
	if grants {
		m.grants.Add(key, answer[V]{value, m.now().Add(rememberGrant)}, rememberGrant+outliveGrant)
		return
	}
	m.refusals.Add(key, answer[V]{value, m.now().Add(rememberRefuse)}, rememberRefuse)
	m.grants.Remove(key)
}

// clock makes a function a clock of the cache.
type clock func() time.Time

func (c clock) Now() time.Time { return c() }
