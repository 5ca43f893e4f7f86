package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

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
	if err := q.counted.do(ctx, q.opts.Exclusive, q.takeCensus); err != nil {
		return nil, nil, err
	}
	waiting, err := q.Waiting(ctx)
	if err != nil {
		return nil, nil, err
	}
	stored = map[string]int{}
	for id, n := range waiting {
		stored[id.Route] += n
	}
	q.books.parked.owed(stored)
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

// Waiting implements [deliver.Backlog]. It reads nothing: the subjects say it.
func (q *Queue) Waiting(ctx context.Context) (map[deliver.QueueID]int, error) {
	out := q.books.waiting.handedOut() // first: what is settled meanwhile is then rather missed than counted twice
	info, err := q.waiting.Info(ctx, jetstream.WithSubjectFilter(subjectWaiting+">"))
	if err != nil {
		return nil, fmt.Errorf("counting what waits: %w", err)
	}
	stored := make(map[string]int, len(info.State.Subjects))
	for subject, packs := range info.State.Subjects {
		if route, count, ok := packOfSubject(subject); ok {
			stored[route] += count * int(packs)
		}
	}
	left := make(map[string]int, len(stored))
	without(left, stored, out)
	waiting := make(map[deliver.QueueID]int, len(left))
	for route, n := range left {
		waiting[deliver.QueueID{Route: route}] = n
	}
	return waiting, nil
}

// Deferred implements [deliver.Backlog].
func (q *Queue) Deferred(context.Context) (map[deliver.QueueID]int, error) {
	owed := map[string]int{}
	q.books.parked.owed(owed)
	deferred := make(map[deliver.QueueID]int, len(owed))
	for route, n := range owed {
		deferred[deliver.QueueID{Route: route}] = n
	}
	return deferred, nil
}

// takeCensus counts what is stored, by the headers of the packs alone.
func (q *Queue) takeCensus(ctx context.Context) error {
	return errors.Join(
		q.census(ctx, q.parked, &q.books.parked, func(msg *nats.Msg, t tallies) {
			parseTallies(msg.Header.Get(headerOwed), func(route string, n tally) { t[route] = n })
		}),
		q.census(ctx, q.waiting, &q.books.waiting, func(msg *nats.Msg, t tallies) {
			if route, count, ok := packOfSubject(msg.Subject); ok {
				bytes, _ := strconv.Atoi(msg.Header.Get("Nats-Msg-Size"))
				t[route] = tally{count, bytes}
			}
		}))
}

func (q *Queue) census(ctx context.Context, s jetstream.Stream, b *book, read func(*nats.Msg, tallies)) error {
	b.begin()
	t := tallies{}
	err := q.scan(ctx, s, jetstream.ConsumerConfig{HeadersOnly: true}, headerScan, func(msg *nats.Msg) error {
		clear(t)
		read(msg, t)
		b.count(sequenceOf(msg), t)
		return nil
	})
	b.finish(err == nil)
	return err
}

// counting takes one census at a time.
type counting struct {
	mu   sync.Mutex
	done bool
}

// do calls take, unless once is enough and it was done.
func (c *counting) do(ctx context.Context, once bool, take func(context.Context) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done && once {
		return nil
	}
	err := take(ctx)
	c.done = c.done || err == nil
	return err
}
