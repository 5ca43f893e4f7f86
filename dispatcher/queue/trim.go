package queue

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// trimGrain is the part of the retention by which a settled event may outstay
// it, so that there is seldom something to trim.
const trimGrain = 64

// maxLag is how far a server may be behind that answers for a stream.
const maxLag = time.Minute

// trim removes settled events: those older than the retention, the oldest
// beyond RetentionBytes and, when room is needed, all of them. It never removes
// what is not settled, and removing twice is no harm, so several dispatchers
// may trim at once. It reports whether it removed anything.
func (q *Queue) trim(ctx context.Context, now time.Time, used int64, needed bool) (bool, error) {
	state := q.events.CachedInfo().State // of the measure just before
	if state.Msgs == 0 {
		return false, nil
	}
	floors, err := q.settledUpTo(ctx)
	if err != nil {
		return false, err
	}
	settled := slices.Max(slices.Collect(maps.Values(floors)))
	if settled < state.FirstSeq {
		return false, nil
	}
	upTo := settled
	if !needed {
		if upTo, err = q.outstayed(ctx, now, state, settled, used); err != nil || upTo < state.FirstSeq {
			return false, err
		}
	}
	for subject, floor := range floors {
		if upTo, err = q.reach(ctx, now, subject, floor, upTo); err != nil || upTo < state.FirstSeq {
			return false, err
		}
	}
	if err := q.events.Purge(ctx, jetstream.WithPurgeSequence(upTo+1)); err != nil {
		return false, fmt.Errorf("trimming the store: %w", err)
	}
	return true, nil
}

// reach is how far, up to a sequence, all events under a subject are settled, if
// they are up to the message floor: those between are another's. (To purge by
// subject would have the server read all that it has of that.)
func (q *Queue) reach(ctx context.Context, now time.Time, subject string, floor, upTo uint64) (uint64, error) {
	if floor >= upTo {
		return upTo, nil
	}
	next, err := q.lookUp(ctx, fmt.Sprintf(`{"seq":%d,"next_by_subj":%q}`, floor+1, subject))
	if next == 0 && err == nil { // as far as that server knows: a new leader may be behind
		next, err = q.sequenceAt(ctx, now.Add(-maxLag))
	}
	if err != nil || next == 0 {
		return upTo, err
	}
	return min(upTo, next-1), nil
}

// settledUpTo is the last message before which all events are settled, of each
// subject that they are under.
func (q *Queue) settledUpTo(ctx context.Context) (map[string]uint64, error) {
	c, err := q.events.Consumer(ctx, consumerFanout)
	if err != nil {
		return nil, fmt.Errorf("measuring the store: %w", err)
	}
	floor := c.CachedInfo().AckFloor.Stream
	if q.opts.Exclusive {
		return map[string]uint64{subjectEvents: floor}, nil
	}
	_, d, err := q.readDeed(ctx)
	return map[string]uint64{subjectEvents: floor, subjectOrderedEvents: d.in(q.events.CachedInfo()).settled()}, err
}

// outstayed is the last settled event that need not be kept. How many bytes the
// settled ones take is estimated from the average.
func (q *Queue) outstayed(ctx context.Context, now time.Time, state jetstream.StreamState, settled uint64, used int64) (uint64, error) {
	average := int64(state.Bytes/state.Msgs) + 1
	tooMany := int64(settled-state.FirstSeq+1) - q.opts.RetentionBytes/average
	if used > q.opts.MaxBytes*3/4 { // make room in time
		tooMany = max(tooMany, (used-q.opts.MaxBytes*3/4)/average+1)
	}
	old := now.Sub(state.FirstTime) > q.opts.Retention+q.opts.Retention/trimGrain
	if !old && tooMany <= 0 {
		return 0, nil
	}
	var upTo uint64
	if old {
		first, err := q.sequenceAt(ctx, now.Add(-q.opts.Retention))
		if err != nil {
			return 0, err
		}
		upTo = first - 1
		if first == 0 { // all are older
			upTo = state.LastSeq
		}
	}
	if tooMany > 0 {
		upTo = max(upTo, state.FirstSeq+uint64(tooMany)-1)
		if now.Sub(state.FirstTime) <= MinRetention {
			return 0, nil
		}
		recent, err := q.sequenceAt(ctx, now.Add(-MinRetention))
		if err != nil {
			return 0, err
		}
		if recent > 0 {
			upTo = min(upTo, recent-1)
		}
	}
	return min(upTo, settled), nil
}

// makeRoom trims all that is settled because an append found no room, and
// reports whether there was anything.
func (q *Queue) makeRoom() bool {
	ctx, cancel := context.WithTimeout(q.works, publishTimeout)
	defer cancel()
	if _, err := q.events.Info(ctx); err != nil {
		return false
	}
	trimmed, err := q.trim(ctx, time.Now(), 0, true)
	return err == nil && trimmed
}
