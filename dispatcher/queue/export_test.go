package queue

import (
	"context"
	"slices"
	"time"

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
	DrainIdle       = drainIdle
	MaxWaitingBytes = maxWaitingBytes
	MaxEventBytes   = maxEventBytes
)

var (
	ErrClosed       = errClosed
	NewSeen         = newSeen
	DecodeEvents    = decodeEvents
	DecodeDeferrals = decodeDeferrals
	Slot            = slot
	PackOfSubject   = packOfSubject
	SubjectOfPack   = subjectOfPack
	ConsumerOfDrain = consumerOfDrain
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

func (s *seen) Recall(k event.Key) { s.recall(k) }

// Held is how many keys are remembered.
func (s *seen) Held() int { return len(s.younger) + len(s.older) }

func (f *flight) Landed() <-chan struct{} { return f.landed }

func (f *flight) Err() error { return f.err }

// ParseTallies reads a header into counts and bytes by route.
func ParseTallies(header string) (counts, bytes map[string]int) {
	counts, bytes = map[string]int{}, map[string]int{}
	parseTallies(header, func(route string, n tally) { counts[route], bytes[route] = n.count, n.bytes })
	return counts, bytes
}

// FormatTallies writes the header of one route.
func FormatTallies(route string, count, bytes int) string {
	return tallies{route: {count, bytes}}.String()
}

// Measure does at that time what housekeeping does every second.
func (q *Queue) Measure(ctx context.Context, now time.Time) error { return q.measure(ctx, now) }

// Impatient makes the servers give away sooner what a dispatcher is silent about.
func (o *Options) Impatient(ackWait time.Duration) { o.ackWait = ackWait }

// Sweeping makes parked packs count as left behind so soon.
func (o *Options) Sweeping(orphanAge time.Duration) { o.orphanAge = orphanAge }

// A Book counts what is in a stream.
type Book struct{ b book }

func (b *Book) Add(seq uint64, route string, n int)    { b.b.add(seq, tallies{route: {n, n}}) }
func (b *Book) Remove(seq uint64, route string, n int) { b.b.remove(seq, tallies{route: {n, n}}) }
func (b *Book) Begin()                                 { b.b.begin() }
func (b *Book) Count(seq uint64, route string, n int)  { b.b.count(seq, tallies{route: {n, n}}) }
func (b *Book) Finish()                                { b.b.finish(true) }

// Owed is what is stored, by route, and the bytes of it, by namespace.
func (b *Book) Owed() (map[string]int, map[string]int64) {
	routes, bytes := map[string]int{}, map[string]int64{}
	b.b.owed(routes)
	b.b.addBytes(bytes)
	return routes, bytes
}

// Sever ends the queue as a crash does: nobody hears of it any more.
func (q *Queue) Sever() { q.nc.Close() }
