package deliver

import (
	"net/url"
	"time"
)

// lost reports whether the route that deliveries were for is gone. Without a table
// nobody knows. A validation action has the name of one that was there before.
func (ln *lane) lost() bool {
	return ln.router != nil && (ln.entry == nil || ln.entry.Validation != nil)
}

// sync takes over the table in force, if it has changed.
func (ln *lane) sync() {
	router := ln.in.opts.Router.Load()
	if router == ln.router {
		return
	}
	ln.router, ln.entry, ln.plan = router, router.Lookup(ln.id), nil
	e := ln.entry
	if e == nil {
		return
	}
	if e.Epoch != ln.epoch || e.URL != ln.url && e.Complete() {
		ln.gone = false
		ln.setBreaker(breaker{})
	}
	ln.epoch = e.Epoch
	ln.interval = 0
	if limiter := newLimiter(e.RateLimit); limiter == nil {
		ln.limiter = nil
	} else {
		ln.interval = time.Duration(float64(time.Second) / float64(limiter.Limit()))
		if ln.limiter == nil || ln.limiter.Limit() != limiter.Limit() || ln.limiter.Burst() != limiter.Burst() {
			ln.limiter = limiter
		}
	}
	if e.Complete() && e.URL != ln.url {
		ln.url = e.URL
		ln.move()
	}
}

// move makes the lane one of the host of its URL.
func (ln *lane) move() {
	u, err := url.Parse(ln.url)
	if err != nil {
		return // no attempt gets as far as a host
	}
	old, places := ln.host, ln.hostPlaces
	ln.host, ln.hostPlaces, ln.awaitsHost = ln.in.hosts.of(u), 0, false
	ln.in.hosts.leave(old)
	if places > 0 {
		go func() { // without the mutex, for other lanes get the places
			for range places {
				old.leave(time.Now())
			}
		}()
	}
}
