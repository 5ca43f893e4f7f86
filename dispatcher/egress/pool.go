package egress

import (
	"container/list"
	"slices"
	"sync"
	"time"
)

// A pool keeps idle connections, bounded over all and for each origin.
type pool struct {
	most, mostEach int
	timeout        time.Duration

	mu   sync.Mutex
	idle map[origin][]*conn // each in the order of all
	all  list.List          // of *conn, idle longest first
	next *time.Timer        // to look for those that have timed out; nil = none is due
}

func newPool(most, mostEach int, timeout time.Duration) *pool {
	return &pool{most: most, mostEach: mostEach, timeout: timeout, idle: map[origin][]*conn{}}
}

// take returns the connection to an origin that was used last and is still good,
// nil when there is none. So those that are too many get old.
func (p *pool) take(to origin) *conn {
	for {
		c := p.last(to)
		if c == nil || c.idle() {
			return c
		}
		c.abandon()
	}
}

func (p *pool) last(to origin) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	conns := p.idle[to]
	if len(conns) == 0 {
		return nil
	}
	c := conns[len(conns)-1]
	p.remove(c)
	return c
}

// put takes a connection over.
func (p *pool) put(c *conn) {
	if surplus := p.keep(c); surplus != nil {
		surplus.end(spent)
	}
}

// keep adds c and returns what there is no room for.
func (p *pool) keep(c *conn) (surplus *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle[c.to]) >= p.mostEach {
		return c
	}
	c.since = time.Now()
	c.place = p.all.PushBack(c)
	p.idle[c.to] = append(p.idle[c.to], c)
	if p.next == nil {
		p.next = time.AfterFunc(p.timeout, p.expire)
	}
	if p.all.Len() > p.most {
		surplus = p.oldest()
		p.remove(surplus)
	}
	return surplus
}

// oldest is the connection that is idle longest, nil when none is.
func (p *pool) oldest() *conn {
	if front := p.all.Front(); front != nil {
		return front.Value.(*conn) //nolint:errcheck // the list holds nothing else
	}
	return nil
}

// remove takes c out, the first or the last of its origin.
func (p *pool) remove(c *conn) {
	p.all.Remove(c.place)
	c.place = nil
	conns := p.idle[c.to]
	i := len(conns) - 1
	if conns[i] != c {
		i = slices.Index(conns, c)
	}
	if conns = slices.Delete(conns, i, i+1); len(conns) == 0 {
		delete(p.idle, c.to)
		return
	}
	p.idle[c.to] = conns
}

// expire closes what has been idle for too long.
func (p *pool) expire() {
	for _, c := range p.expired(time.Now()) {
		c.end(spent)
	}
}

func (p *pool) expired(now time.Time) []*conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	var old []*conn
	for c := p.oldest(); c != nil; c = p.oldest() {
		if left := c.since.Add(p.timeout).Sub(now); left > 0 {
			p.next.Reset(left)
			return old
		}
		p.remove(c)
		old = append(old, c)
	}
	if p.next != nil {
		p.next.Stop()
		p.next = nil
	}
	return old
}

// closeAll closes all that are idle.
func (p *pool) closeAll() {
	for _, c := range p.expired(time.Now().Add(p.timeout)) {
		c.end(spent)
	}
}
