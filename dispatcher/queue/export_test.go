package queue

import (
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
)

// What the tests look at from inside.

const (
	MaxPack         = maxPack
	GatherFrom      = gatherFrom
	GatherEnough    = gatherEnough
	MaxWaitingPack  = maxWaitingPack
	SeenWindow      = seenWindow
	MaxSeen         = maxSeen
	MaxDrains       = maxDrains
	HeaderOwed      = headerOwed
	AckWait         = ackWait
	MissingTries    = missingTries
	FetchSize       = fetchSize
	StreamWaiting   = streamWaiting
	MaxWaitingBytes = maxWaitingBytes
	MaxEventBytes   = maxEventBytes
	MaxRemovals     = maxRemovals
	MaxHandover     = maxHandover
)

var (
	ErrClosed       = errClosed
	NewSeen         = newSeen
	NewPace         = newPace
	DecodeEvents    = decodeEvents
	DecodeDeferrals = decodeDeferrals
	Slot            = slot
	SubjectOfPack   = subjectOfPack
)

func AppendDeferral(b []byte, d deliver.Deferral) []byte { return appendDeferral(b, &d) }

// A text is what the tests of the committer store.
type text string

func (t text) size() int { return len(t) }

// A TextCommitter is a committer of texts.
type TextCommitter struct{ c *committer[text] }

// NewCommitter makes a committer whose records are texts.
func NewCommitter(flush func(texts []string) error) *TextCommitter {
	return &TextCommitter{newCommitter(maxPack, func(records []text) error {
		texts := make([]string, len(records))
		for i, r := range records {
			texts[i] = string(r)
		}
		return flush(texts)
	})}
}

func (c *TextCommitter) Commit(texts ...string) error {
	records := make([]text, len(texts))
	for i, s := range texts {
		records[i] = text(s)
	}
	return c.c.commit(records...)
}

func (c *TextCommitter) Close() { c.c.close() }

func (p pace) Wait(ctx context.Context, n int) { p.wait(ctx, n) }

func (s *seen) Board(keys []event.Key, now time.Time) (*flight, []bool, []*flight) {
	f, mine := &flight{}, make([]bool, len(keys))
	others := s.board(f, keys, mine, now)
	return f, mine, others
}

func (s *seen) Land(f *flight, keys []event.Key, mine []bool, err error) { s.land(f, keys, mine, err) }

// Knows reports whether k is remembered at that time.
func (s *seen) Knows(k event.Key, now time.Time) bool {
	f, mine, _ := s.Board([]event.Key{k}, now)
	s.land(f, []event.Key{k}, mine, errClosed) // nothing has been stored
	return !slices.Contains(mine, true)
}

// Add stores k at that time.
func (s *seen) Add(k event.Key, now time.Time) {
	f, mine, _ := s.Board([]event.Key{k}, now)
	s.land(f, []event.Key{k}, mine, nil)
}

// Held is how many keys are remembered.
func (s *seen) Held() int { return len(s.younger) + len(s.older) }

func (f *flight) Landed() <-chan struct{} { return f.landed }

func (f *flight) Err() error { return f.err }

// ParseTallies reads a header into counts and bytes by queue.
func ParseTallies(header string) (counts, bytes map[deliver.QueueID]int) {
	counts, bytes = map[deliver.QueueID]int{}, map[deliver.QueueID]int{}
	for id, n := range parseTallies(header) {
		counts[id], bytes[id] = n.count, n.bytes
	}
	return counts, bytes
}

// FormatTallies writes the header of one queue.
func FormatTallies(id deliver.QueueID, count, bytes int) string {
	return tallies{id: {count, bytes}}.String()
}

// Measure does at that time what housekeeping does every second.
func (q *Queue) Measure(ctx context.Context, now time.Time) error { return q.measure(ctx, now) }

// Impatient makes the servers give away sooner what a dispatcher is silent about.
func (o *Options) Impatient(ackWait time.Duration) { o.ackWait = ackWait }

// Leasing makes the lease on what is ordered last so long.
func (o *Options) Leasing(leaseTime time.Duration) { o.leaseTime = leaseTime }

// Sweeping makes parked packs count as left behind so soon.
func (o *Options) Sweeping(orphanAge time.Duration) { o.orphanAge = orphanAge }

// A Book counts what is in a stream.
type Book struct{ b book }

func (b *Book) Add(seq uint64, route string, n int)    { b.b.add(seq, talliesOf(route, n)) }
func (b *Book) Remove(seq uint64, route string, n int) { b.b.remove(seq, talliesOf(route, n)) }
func (b *Book) Begin()                                 { b.b.begin() }
func (b *Book) Count(seq uint64, route string, n int)  { b.b.count(seq, talliesOf(route, n)) }
func (b *Book) Finish()                                { b.b.finish(true) }

func talliesOf(route string, n int) tallies { return tallies{{Route: route}: {n, n}} }

// Owed is what is stored, by route, and the bytes of it, by namespace.
func (b *Book) Owed() (map[string]int, map[string]int64) {
	routes, bytes := map[string]int{}, map[string]int64{}
	for id, n := range b.b.owed() {
		routes[id.Route] += n
	}
	b.b.addBytes(bytes)
	return routes, bytes
}

// Sever ends the queue as a crash does: nobody hears of it any more.
func (q *Queue) Sever() { q.nc.Close() }

// Fronts is how many queues something is known of.
func (q *Queue) Fronts() int {
	q.fronts.mu.Lock()
	defer q.fronts.mu.Unlock()
	return len(q.fronts.queues)
}

// AnnounceOverdue does at that time what follows when the clock was set.
func (q *Queue) AnnounceOverdue(ctx context.Context, now time.Time) (int, error) {
	return q.announceOverdue(ctx, now)
}

// Behind feeds a watch with how far the clock was ahead, from time to time.
func Behind(ahead ...time.Duration) (behind time.Duration) {
	var w clockWatch
	for _, d := range ahead {
		behind = w.behind(d)
	}
	return behind
}

// Doubt has the next count look at the store.
func (q *Queue) Doubt() { q.counted.doubt() }

// Removing is how many settled packs wait to be removed.
func (q *Queue) Removing() int { return len(q.removals.in) }

// HandedOver is how many bytes of packs wait in memory for the consumer.
func (q *Queue) HandedOver() int {
	q.fresh.mu.Lock()
	defer q.fresh.mu.Unlock()
	return q.fresh.bytes
}

// VisitFew visits what comes for one request, of which so many were visited before.
func VisitFew(ctx context.Context, sub *nats.Subscription, visited uint64) error {
	return visitFew(ctx, sub, &visited, func(*nats.Msg) error { return nil })
}

// ErrMissed says that a message was missed.
var ErrMissed = errMissed

// Renewed is when the lease that it holds was last renewed.
func (q *Queue) Renewed() time.Time { return *q.owning.Load().sent.Load() }
