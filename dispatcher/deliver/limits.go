package deliver

import (
	"math"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/postrider/postrider/dispatcher/route"
)

// minAlarm is the least time that whoever waits for a token sleeps: tokens that
// come faster are used several at a time.
const minAlarm = 5 * time.Millisecond

// newLimiter makes the limiter of r, nil when r is no limit. What was not used
// may be made up for, up to what r allows in a second: 100 requests per second
// may come at once, 600 per minute ten at a time, 5 per minute one by one.
func newLimiter(r route.Rate) *rate.Limiter {
	if r.Requests <= 0 || r.Per <= 0 {
		return nil
	}
	perSecond := float64(r.Requests) / r.Per.Seconds()
	burst := min(float64(r.Requests), math.Ceil(perSecond))
	return rate.NewLimiter(rate.Limit(perSecond), max(int(burst), 1))
}

// nextToken is when l has a token, now at the earliest. It takes none.
func nextToken(l *rate.Limiter, now time.Time) time.Time {
	if l == nil {
		return now
	}
	missing := 1 - l.TokensAt(now)
	if missing <= 0 {
		return now
	}
	wait := time.Duration(math.Ceil(missing / float64(l.Limit()) * float64(time.Second)))
	return now.Add(max(wait, minAlarm))
}

// A host bounds the attempts to one address of receivers, whatever webhooks
// they are for. Lanes that must wait are served in the order in which they
// asked, one attempt each.
type host struct {
	concurrency int // 0 = no bound
	granted     func(*host, *lane)
	lanes       int // whose receivers it has; guarded by hosts.mu

	mu      sync.Mutex
	limiter *rate.Limiter // nil = no bound
	active  int
	waiting []*lane // each once
	asked   map[*lane]struct{}
	alarm   *time.Timer
}

// enter reports whether ln may begin an attempt, which ends with leave. If not,
// ln is told by granted when its turn has come, with the place already taken.
func (h *host) enter(ln *lane, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, waits := h.asked[ln]; waits {
		return false
	}
	if len(h.waiting) == 0 && h.free(now) {
		h.occupy(now)
		return true
	}
	h.waiting = append(h.waiting, ln)
	h.asked[ln] = struct{}{}
	h.arm(now)
	return false
}

// leave gives back a place.
func (h *host) leave(now time.Time) {
	h.mu.Lock()
	h.active--
	h.mu.Unlock()
	h.serve(now)
}

// serve gives the free places to those that wait.
func (h *host) serve(now time.Time) {
	for _, ln := range h.serveable(now) {
		h.granted(h, ln)
	}
}

func (h *host) serveable(now time.Time) []*lane {
	h.mu.Lock()
	defer h.mu.Unlock()
	var turn []*lane
	for len(h.waiting) > 0 && h.free(now) {
		h.occupy(now)
		ln := h.waiting[0]
		h.waiting[0] = nil
		h.waiting = h.waiting[1:]
		delete(h.asked, ln)
		turn = append(turn, ln)
	}
	h.arm(now)
	return turn
}

func (h *host) free(now time.Time) bool {
	return (h.concurrency == 0 || h.active < h.concurrency) && !nextToken(h.limiter, now).After(now)
}

func (h *host) occupy(now time.Time) {
	h.active++
	if h.limiter != nil {
		h.limiter.AllowN(now, 1)
	}
}

// arm sets the alarm for the next token, if that is what is waited for.
func (h *host) arm(now time.Time) {
	if len(h.waiting) == 0 || h.concurrency > 0 && h.active >= h.concurrency {
		return
	}
	wait := max(nextToken(h.limiter, now).Sub(now), 0)
	if h.alarm == nil {
		h.alarm = time.AfterFunc(wait, func() { h.serve(time.Now()) })
		return
	}
	h.alarm.Reset(wait)
}

// stop ends the alarm, unless an attempt is under way: that one still counts.
func (h *host) stop() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.active > 0 {
		return false
	}
	if h.alarm != nil {
		h.alarm.Stop()
	}
	return true
}

// hosts are the hosts of the receivers that there are.
type hosts struct {
	concurrency int
	rate        route.Rate
	granted     func(*host, *lane)

	mu sync.Mutex
	by map[string]*host // by host and port
}

// of returns the host of u for a lane, which leaves it some day, nil when hosts
// have no bounds.
func (hs *hosts) of(u *url.URL) *host {
	if hs.concurrency == 0 && hs.rate.Requests == 0 {
		return nil
	}
	name := hostName(u)
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.by[name]
	if h == nil {
		h = &host{
			concurrency: hs.concurrency, limiter: newLimiter(hs.rate), granted: hs.granted,
			asked: map[*lane]struct{}{},
		}
		hs.by[name] = h
	}
	h.lanes++
	return h
}

// leave follows when a lane has another host than h, which may be nil, or ends.
func (hs *hosts) leave(h *host) {
	if h == nil {
		return
	}
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h.lanes--
}

// hostName is the host and port of u, the same however they are spelled: else
// each spelling would have bounds of its own.
func hostName(u *url.URL) string {
	name := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if a, err := netip.ParseAddr(name); err == nil {
		name = a.Unmap().String()
	}
	port := strings.TrimLeft(u.Port(), "0")
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(name, port)
}

// forget drops the hosts that no lane has any more.
func (hs *hosts) forget() {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for name, h := range hs.by {
		if h.lanes == 0 && h.stop() {
			delete(hs.by, name)
		}
	}
}
