package queue

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
)

const (
	// Bounds, in bytes, of the events in memory that are not settled: new ones,
	// those of deferred deliveries, and those that Dequeue has brought. Each has
	// its own, so that backlogs do not hold up what is new; it is exceeded by what
	// one fetch brings. Receivers that hang must not use one of them up.
	maxEventBytes, maxDueBytes, maxWaitingBytes = 64 << 20, 64 << 20, 64 << 20

	_ uint = min(maxEventBytes, maxDueBytes, maxWaitingBytes) - deliver.MaxHeld
)

// within is the part of a bound that a process with little memory keeps to.
func (o *Options) within(bound int) int {
	if o.Room == 0 {
		return bound
	}
	return int(max(o.Room, deliver.MinRoom) * float64(bound))
}

// A lease is a message that JetStream has given us and takes back when it does
// not hear of it for ackWait. Msg is nil where nobody else could get it anyway.
type lease struct {
	msg   *nats.Msg
	heard time.Time // when JetStream last heard of it
}

// openSet is the messages that are not settled yet, by what identifies them:
// their sequence.
type openSet struct {
	limit      int           // of bytes
	renewAfter time.Duration // since JetStream last heard of a message

	mu      sync.Mutex
	leases  map[uint64]*lease
	bytes   int           // of the events that came from them and are not settled
	settled chan struct{} // closed when there is room again; nil when nobody waits
}

// room returns once there is room for more, or with the error of ctx.
func (o *openSet) room(ctx context.Context) error {
	for {
		o.mu.Lock()
		if o.bytes < o.limit {
			o.mu.Unlock()
			return ctx.Err()
		}
		if o.settled == nil {
			o.settled = make(chan struct{})
		}
		settled := o.settled
		o.mu.Unlock()
		select {
		case <-settled:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// hold keeps msg ours until it is let go. It reports whether the sequence was
// not held before; if it was, msg renews the lease.
func (o *openSet) hold(seq uint64, msg *nats.Msg) (fresh bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.leases == nil {
		o.leases = map[uint64]*lease{}
	}
	_, held := o.leases[seq]
	o.leases[seq] = &lease{msg, time.Now()}
	return !held
}

func (o *openSet) holds(seq uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.leases[seq] != nil
}

// letGo ends what hold began and returns the message of the lease as it was last.
func (o *openSet) letGo(seq uint64) *nats.Msg {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.leases[seq]
	delete(o.leases, seq)
	if l == nil {
		return nil
	}
	return l.msg
}

// claims makes a claim for each of n events, or deliveries, that were read from
// a message that is held. A claim that is settled gives back the bytes of its
// event, whatever becomes of the others; settle is called when all are settled.
func (o *openSet) claims(n int, nth func(int) *event.Event, settle func()) []*event.Claim {
	pack := event.NewClaim(settle)
	pack.Add(n)
	all, total := make([]*event.Claim, n), 0
	for i := range all {
		e := nth(i)
		if n > 1 {
			e.Data = bytes.Clone(e.Data) // else it would keep the whole pack in memory
		}
		size := e.Size()
		total += size
		all[i] = event.NewClaim(func() {
			o.take(-size)
			pack.Done()
		})
	}
	o.take(total)
	pack.Done()
	return all
}

// take counts n more bytes; a negative n gives them back.
func (o *openSet) take(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes += n
	if o.settled != nil && o.bytes < o.limit {
		close(o.settled)
		o.settled = nil
	}
}

// renew tells JetStream that the messages held for long are being worked on.
func (o *openSet) renew(now time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var errs []error
	for _, l := range o.leases {
		if l.msg == nil || now.Sub(l.heard) < o.renewAfter {
			continue
		}
		if err := l.msg.InProgress(); err != nil {
			errs = append(errs, err)
			continue
		}
		l.heard = now
	}
	return errors.Join(errs...)
}

// giveBack hands what is still held to whoever asks next.
func (o *openSet) giveBack() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for seq, l := range o.leases {
		if l.msg != nil {
			_ = l.msg.Nak() // else it is given away when its time is over
		}
		delete(o.leases, seq)
	}
}
