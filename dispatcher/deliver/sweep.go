package deliver

import (
	"context"
	"time"

	"github.com/postrider/postrider/dispatcher/route"
)

// sweepEvery is how often the busy lanes are looked at: lanes that have become
// slow are told so then, and those that wait for their share get it.
const sweepEvery = 250 * time.Millisecond

// watch has ln swept from now on, until its sweep says that it is idle.
func (l *Lanes) watch(ln *lane) {
	l.watchedMu.Lock()
	defer l.watchedMu.Unlock()
	l.watched = append(l.watched, ln)
}

// sweepUntil sweeps until ctx is done.
func (l *Lanes) sweepUntil(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	var router *route.Router
	left, then := l.window.left.Load(), time.Now()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := time.Now()
		before := left
		left = l.window.left.Load()
		busy := l.takeWatched()
		l.window.pressure.Store(newPressure(l.window.open.Load(), left-before, now.Sub(then), len(busy)))
		then = now
		l.sweep(busy, now)
		l.crew.trim()
		if current := l.opts.Router.Load(); current != router {
			router = current
			l.follow(now)
		}
	}
}

func (l *Lanes) takeWatched() []*lane {
	l.watchedMu.Lock()
	defer l.watchedMu.Unlock()
	busy := l.watched
	l.watched = nil
	return busy
}

func (l *Lanes) sweep(busy []*lane, now time.Time) {
	p := l.window.pressure.Load()
	var again []*lane
	for _, ln := range busy {
		yes, fx := ln.sweep(now, p)
		if yes {
			again = append(again, ln)
		}
		l.carryOut(ln, fx)
	}
	l.watchedMu.Lock()
	defer l.watchedMu.Unlock()
	l.watched = append(l.watched, again...)
}

// follow has every lane look at a new table, and forgets those that are done.
func (l *Lanes) follow(now time.Time) {
	for _, ln := range l.all() {
		l.carryOut(ln, ln.wake(now))
	}
	l.forget()
	if r := l.opts.Router.Load(); r != nil {
		l.opts.Credentials.Retain(r)
	}
}

// count asks the store how much waits there, as long as attempts may begin and
// as soon as there is a table.
func (l *Lanes) count() {
	const early = 100 * time.Millisecond
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-next.C:
		case <-l.stop.Done():
			return
		}
		if l.opts.Router.Load() == nil {
			next.Reset(early)
			continue
		}
		l.recount(l.stop)
		l.compare(l.stop)
		l.forget()
		next.Reset(countEvery)
	}
}
