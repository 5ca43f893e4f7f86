package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/postrider/postrider/dispatcher/deliver"
)

// headerScan is how many messages are asked for at once when only their
// headers come.
const headerScan = 4096

// Counts returns what the store keeps for each route: the deliveries that wait
// or are deferred, without those that are handed out and not settled, and the
// dead letters. With a shared store it counts anew what is deferred.
func (q *Queue) Counts(ctx context.Context) (stored, dead map[string]int, err error) {
	deferred, err := q.Deferred(ctx)
	if err != nil {
		return nil, nil, err
	}
	waiting, err := q.Waiting(ctx)
	if err != nil {
		return nil, nil, err
	}
	stored = map[string]int{}
	for _, owed := range []map[deliver.QueueID]int{waiting, deferred} {
		for id, n := range owed {
			stored[id.Route] += n
		}
	}
	dead = map[string]int{}
	info, err := q.dead.Info(ctx, jetstream.WithSubjectFilter(subjectDead+">"))
	if err != nil {
		return nil, nil, fmt.Errorf("counting dead letters: %w", err)
	}
	for subject, n := range info.State.Subjects {
		dead[routeOf(subjectDead, subject)] = int(n)
	}
	return stored, dead, nil
}

// Waiting implements [deliver.Backlog]. Who has the store for himself knows it
// after one census. Where others put deliveries too, the subjects say it.
func (q *Queue) Waiting(ctx context.Context) (map[deliver.QueueID]int, error) {
	if !q.opts.Exclusive {
		return q.waitingBySubject(ctx)
	}
	if err := q.counted.do(ctx, true, q.takeCensus); err != nil {
		return nil, err
	}
	return q.books.waiting.owed(), nil
}

func (q *Queue) waitingBySubject(ctx context.Context) (map[deliver.QueueID]int, error) {
	out := q.books.waiting.handedOut() // first: what is settled meanwhile is then rather missed than counted twice
	info, err := q.waiting.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return nil, fmt.Errorf("counting what waits: %w", err)
	}
	if err := q.sees(streamWaiting, info.State.LastSeq); err != nil {
		return nil, fmt.Errorf("counting what waits: %w", err)
	}
	stored := make(owing, len(info.State.Subjects))
	for subject, packs := range info.State.Subjects {
		if id, count, ok := packOfSubject(subject); ok {
			stored[id] += count * int(packs)
		}
	}
	return without(stored, out), nil
}

// Deferred implements [deliver.Backlog]. With a shared store it counts anew.
func (q *Queue) Deferred(ctx context.Context) (map[deliver.QueueID]int, error) {
	if err := q.counted.do(ctx, q.opts.Exclusive, q.takeCensus); err != nil {
		return nil, err
	}
	owed := q.books.parked.owed()
	for id := range owed {
		if id.Key != 0 { // a key would wait for ever for what never comes due
			if err := q.swept.do(ctx, true, q.sweepOld); err != nil {
				return nil, err
			}
			return q.books.parked.owed(), nil
		}
	}
	return owed, nil
}

// takeCensus counts what is stored, by the headers of the packs alone.
func (q *Queue) takeCensus(ctx context.Context) error {
	return errors.Join(
		q.census(ctx, q.parked, &q.books.parked, func(msg *nats.Msg) tallies {
			return parseTallies(msg.Header.Get(headerOwed))
		}),
		q.census(ctx, q.waiting, &q.books.waiting, func(msg *nats.Msg) tallies {
			id, count, ok := packOfSubject(msg.Subject)
			if !ok {
				return nil
			}
			bytes, _ := strconv.Atoi(msg.Header.Get("Nats-Msg-Size"))
			return tallies{id: {count, bytes}}
		}))
}

func (q *Queue) census(ctx context.Context, s jetstream.Stream, b *book, read func(*nats.Msg) tallies) error {
	b.begin()
	err := q.scan(ctx, s, jetstream.ConsumerConfig{HeadersOnly: true}, headerScan, func(msg *nats.Msg) error {
		b.count(sequenceOf(msg), read(msg))
		return nil
	})
	if err == nil {
		err = q.sees(s.CachedInfo().Config.Name, b.census.at)
	}
	b.finish(err == nil)
	return err
}

// counting takes one census at a time.
type counting struct {
	mu     sync.Mutex
	done   bool
	doubts uint64 // when it began

	raised atomic.Uint64 // doubts
}

// doubt has the next count take a census: an append whose answer did not come
// may have been heard.
func (c *counting) doubt() { c.raised.Add(1) }

// do calls take, unless once is enough and it was done, and there was no doubt since.
func (c *counting) do(ctx context.Context, once bool, take func(context.Context) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	doubts := c.raised.Load()
	if c.done && once && doubts == c.doubts {
		return nil
	}
	err := take(ctx)
	if err == nil {
		c.done, c.doubts = true, doubts
	}
	return err
}
