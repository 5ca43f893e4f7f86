package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
)

// A pack of deferrals is parked in a stream of its own, and a schedule refers to
// it by its sequence, which ends the schedule's subject. When many schedules come
// due at once, JetStream loads all of them into memory: they have to be small.

// maxOwedHeader bounds the tallies of a parked pack, in bytes: JetStream takes
// 64 KiB of headers.
const maxOwedHeader = 32 << 10

// Defer implements [deliver.Backlog].
func (q *Queue) Defer(_ context.Context, ds ...deliver.Deferral) error {
	records := make([]owed, len(ds))
	now := time.Now()
	for i := range ds {
		records[i] = owed{Deferral: &ds[i], due: slot(now, ds[i].Due)}
	}
	return q.deferrals.commit(records...)
}

// A parkedSlot is what one pack may hold: what has keys comes to the owner of
// what is ordered, where dispatchers share the store.
type parkedSlot struct {
	due     time.Time
	ordered bool
}

// slot rounds due up, so that deliveries that come due together share one
// stored message and one timer: to the largest power of two times 100 ms that
// is no more than a 25th of the delay. Only few widths, so that slots coincide.
func slot(now, due time.Time) time.Time {
	width := 100 * time.Millisecond
	for 2*width <= min(due.Sub(now)/25, time.Minute) {
		width *= 2
	}
	return due.Truncate(width).Add(width)
}

// A parkedPack is a pack of one slot that still grows.
type parkedPack struct {
	parkedSlot
	data   []byte
	owed   tallies
	header int // of the tallies, in bytes at most
}

func (p *parkedPack) add(r owed) {
	size := len(p.data)
	p.data = appendDeferral(p.data, r.Deferral)
	id := r.Queue()
	if _, ok := p.owed[id]; !ok {
		p.header += tallySize(id)
	}
	p.owed.add(id, tally{1, len(p.data) - size})
}

// flushDeferrals parks one pack per slot and packLimit, and then schedules each.
// A crash in between leaves packs without a schedule; what is in them was not
// acknowledged as deferred, so sweepOrphans may remove them.
func (q *Queue) flushDeferrals(records []owed) error {
	packs := q.packBySlot(records)
	msgs := make([]*nats.Msg, len(packs))
	for i, p := range packs {
		msgs[i] = nats.NewMsg(subjectParked)
		msgs[i].Header.Set(headerOwed, p.owed.String())
		msgs[i].Data = p.data
		if p.ordered {
			q.fence(msgs[i], streamParked)
		}
	}
	begun := time.Now()
	parked, err := q.publishAll(msgs)
	for i, seq := range parked {
		q.books.parked.add(seq, packs[i].owed)
		msgs[i] = schedule(packs[i].parkedSlot, seq)
		if packs[i].ordered {
			q.fence(msgs[i], streamDeferred)
		}
	}
	if err == nil {
		_, err = q.publishAll(msgs)
	}
	if err == nil {
		err = q.tooLate(begun)
	}
	if err != nil {
		q.abandon(packs[:len(parked)], parked)
	}
	return err
}

// abandon removes packs that were parked in vain: whoever brought them has an
// error and keeps what is in them. Should one have a schedule nevertheless, it
// announces what is not there, which counts as settled.
func (q *Queue) abandon(packs []*parkedPack, parked []uint64) {
	for i, seq := range parked {
		q.removals.remove(streamParked, seq, func() { q.books.parked.remove(seq, packs[i].owed) })
	}
	q.counted.doubt() // what else was heard, or handed out meanwhile, is not known
}

func (q *Queue) packBySlot(records []owed) (packs []*parkedPack) {
	growing := map[parkedSlot]*parkedPack{}
	for _, r := range records {
		s := parkedSlot{r.due, r.Key != 0 && !q.opts.Exclusive}
		p := growing[s]
		if p == nil || len(p.data) >= q.packLimit || p.header >= maxOwedHeader {
			p = &parkedPack{parkedSlot: s, owed: tallies{}}
			packs, growing[s] = append(packs, p), p
		}
		p.add(r)
	}
	return packs
}

// A schedule says in this header when it is due, in this way.
const headerSchedule, scheduleAt = "Nats-Schedule", "@at "

// schedule makes the message that announces a parked pack when it is due.
func schedule(s parkedSlot, parked uint64) *nats.Msg {
	target := subjectDue
	if s.ordered {
		target = subjectDueOrdered
	}
	seq := strconv.FormatUint(parked, 10)
	msg := nats.NewMsg(subjectAt + seq)
	// jetstream.WithScheduleAt would cut the time to whole seconds.
	msg.Header.Set(headerSchedule, scheduleAt+s.due.UTC().Format(time.RFC3339Nano))
	msg.Header.Set("Nats-Schedule-Target", target+seq)
	return msg
}

// parkedOf is the sequence of the pack that the subject of a schedule, or of
// what announces that it is due, refers to.
func parkedOf(subject string) (seq uint64, ok bool) {
	seq, err := strconv.ParseUint(subject[strings.LastIndexByte(subject, '.')+1:], 10, 64)
	return seq, err == nil
}

// Due hands every deferral that has come due to take, until ctx is done. It
// asks gate as Events does.
func (q *Queue) Due(ctx context.Context, gate func(context.Context) error, take func(deliver.Deferral, *event.Claim)) {
	q.due(ctx, &feed{q: q, held: &q.held.due, stream: streamDeferred, consumer: consumerDue, gate: gate}, take)
}

// OrderedDue does so for what has a key in a store that is shared: it is for the
// owner of what is ordered, see Lead. Who has the store for himself gets all by Due.
func (q *Queue) OrderedDue(ctx context.Context, gate func(context.Context) error, take func(deliver.Deferral, *event.Claim)) {
	q.due(ctx, &feed{q: q, held: &q.held.due, stream: streamDeferred, consumer: consumerDueOrdered, gate: gate}, take)
}

func (q *Queue) due(ctx context.Context, f *feed, take func(deliver.Deferral, *event.Claim)) {
	f.run(ctx, func(seq uint64, msg *nats.Msg) error {
		parked, ok := parkedOf(msg.Subject)
		if !ok {
			return unreadable{[]byte(msg.Subject), errCorrupt}
		}
		pack, err := q.parked.GetMsg(ctx, parked)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return f.missing(ctx, seq, msg, parked)
		}
		if err != nil {
			return fmt.Errorf("reading a parked pack: %w", err)
		}
		ds, err := decodeDeferrals(pack.Data)
		if err != nil {
			return unreadable{pack.Data, err}
		}
		t := parseTallies(pack.Header.Get(headerOwed))
		q.books.parked.handOut(t, 1)
		claims := f.held.claims(len(ds), func(i int) *event.Event { return ds[i].Event }, func() { q.unpark(f, seq, parked, t) })
		for i, d := range ds {
			take(d, claims[i])
		}
		return nil
	})
}

// unpark removes a settled pack, and then what told that it is due.
func (q *Queue) unpark(f *feed, due, parked uint64, t tallies) {
	q.removals.remove(streamParked, parked, func() {
		q.books.parked.handOut(t, -1)
		q.books.parked.remove(parked, t)
		f.settle(due)
	})
}
