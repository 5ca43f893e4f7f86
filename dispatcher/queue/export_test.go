package queue

import (
	"slices"
	"time"

	"github.com/postrider/postrider/dispatcher/event"
)

// What the tests look at from inside.

const (
	MaxPack    = maxPack
	MaxWaiting = maxWaiting
	SeenWindow = seenWindow
	MaxSeen    = maxSeen
)

var (
	ErrClosed       = errClosed
	NewSeen         = newSeen
	DecodeEvents    = decodeEvents
	DecodeDeferrals = decodeDeferrals
	AppendDeferral  = appendDeferral
	Slot            = slot
)

// NewCommitter makes a committer whose records are texts.
func NewCommitter(flush func(texts []string) error) *committer {
	return newCommitter(func(records []record) error {
		texts := make([]string, len(records))
		for i, r := range records {
			texts[i] = string(r.body)
		}
		return flush(texts)
	})
}

func (c *committer) Commit(texts ...string) error {
	records := make([]record, len(texts))
	for i, text := range texts {
		records[i] = record{body: []byte(text)}
	}
	return c.commit(records...)
}

func (c *committer) Close() { c.close() }

func (s *seen) Board(keys []event.Key, now time.Time) (*flight, []bool, []*flight) {
	return s.board(keys, now)
}

func (s *seen) Land(f *flight, keys []event.Key, mine []bool, err error) { s.land(f, keys, mine, err) }

// Knows reports whether k is remembered at that time.
func (s *seen) Knows(k event.Key, now time.Time) bool {
	f, mine, _ := s.board([]event.Key{k}, now)
	s.land(f, []event.Key{k}, mine, errClosed) // nothing has been stored
	return !slices.Contains(mine, true)
}

func (s *seen) Add(k event.Key, now time.Time) { s.add(k, now) }

// Held is how many keys are remembered.
func (s *seen) Held() int { return len(s.younger) + len(s.older) }

func (f *flight) Landed() <-chan struct{} { return f.landed }

func (f *flight) Err() error { return f.err }
