package deliver

import (
	"context"
	"fmt"
	"time"
)

// Prepare takes over from the backlog which keys have deliveries there. Call it
// before anything with a key is handed in: that belongs behind those. Where others
// share the backlog, only who leads may call it.
func (l *Lanes) Prepare(ctx context.Context) error {
	waiting, err := l.opts.Backlog.Waiting(ctx)
	if err != nil {
		return fmt.Errorf("counting what waits: %w", err)
	}
	deferred, err := l.opts.Backlog.Deferred(ctx)
	if err != nil {
		return fmt.Errorf("counting what is put off: %w", err)
	}
	lanes := map[*lane]struct{}{}
	recall := func(id QueueID, tail, deferred int) {
		if id.Key != 0 {
			ln := l.lane(id.Route)
			ln.recall(id.Key, tail, deferred)
			lanes[ln] = struct{}{}
		}
	}
	for id, n := range waiting {
		recall(id, n, 0)
	}
	for id, n := range deferred {
		recall(id, 0, n)
	}
	for ln := range lanes {
		ln.rank()
		l.wake(ln)
	}
	return nil
}

// leadPause is how long what has a key is left alone while others may attempt it.
const leadPause = time.Second

// leads reports whether what has a key may be attempted.
func (l *Lanes) leads() bool { return l.opts.Leads == nil || l.opts.Leads() }

// compare compares what chains have inherited with what the store has, as long
// as there are some.
func (l *Lanes) compare(ctx context.Context) {
	var heirs []*lane
	for _, ln := range l.all() {
		if ln.inherits() {
			heirs = append(heirs, ln)
		}
	}
	if len(heirs) == 0 {
		return
	}
	counts, err := l.opts.Backlog.Deferred(ctx)
	if err != nil {
		return // the count of what waits tells of it
	}
	for _, ln := range heirs {
		l.carryOut(ln, ln.compare(time.Now(), counts))
	}
}

// flush carries out what is in the outbox of ln. What one has taken is carried
// out before another takes more, so its order is kept.
func (l *Lanes) flush(ln *lane) {
	carrier := ln.order.carrier
	carrier <- struct{}{}
	defer func() { <-carrier }()
	for _, k := range ln.takeOutbox() {
		switch k.fate {
		case dropped:
			l.settle(ln, &k.delivery)
		case enqueued:
			if k.isCopy {
				l.opts.Recorder.Pending(ln.id, 1)
			}
			l.bulk.in <- k
		case buried:
			if k.unchecked { // others wait for who carries this out
				l.detached.Go(func() { l.judge(k) })
			} else {
				l.prompt.in <- k
			}
		default:
			l.prompt.in <- k
		}
	}
}

// onDisk tells the lane of k that it is there. What follows from that may have
// to wait for a keeper, so no keeper waits for it.
func (l *Lanes) onDisk(k *kept) {
	ln := k.lane
	fx := ln.onDisk(time.Now(), k)
	if fx.outbox || len(fx.evicted) > 0 {
		l.detached.Go(func() { l.carryOut(ln, fx) })
		return
	}
	l.carryOut(ln, fx)
}

// visit goes to the queues of chains, for one delivery of each, as long as there
// is room for them.
func (l *Lanes) visit(ln *lane, chains []errandTo) haul {
	h := haul{chains: make([]catch, len(chains))}
	for i, c := range chains {
		h.chains[i].from = c
	}
	maxAge, _ := ln.sentence()
	size := 0
	for i := range h.chains {
		c := &h.chains[i]
		var ds []delivery
		if ds, h.err = l.dequeue(ln, c.from.key); h.err != nil {
			return h
		}
		for _, d := range ds {
			size += d.weight()
			switch ok, known := l.confirm(ln, &d, maxAge); {
			case !known:
				return h // a stop: it stays in the store
			case ok:
				c.ds = append(c.ds, d)
			default:
				c.none = append(c.none, d)
			}
		}
		c.seen = true
		if size >= haulRoom {
			break
		}
	}
	return h
}
