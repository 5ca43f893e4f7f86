package deliver_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/route"
)

// receivers answer without a network, so that time may pass as a test likes:
// by default at once, with 200.
type receivers struct {
	mu      sync.Mutex
	answers map[string]func(*http.Request) egress.Response // by host; nil never answers
	counts  map[string]int
	active  map[string]int
	most    map[string]int // at once
	order   []string
}

func newReceivers() *receivers {
	return &receivers{
		answers: map[string]func(*http.Request) egress.Response{},
		counts:  map[string]int{}, active: map[string]int{}, most: map[string]int{},
	}
}

func (r *receivers) options(o *deliver.Options) { o.Client = r }

// Post implements [deliver.Client].
func (r *receivers) Post(ctx context.Context, p *egress.Post) (egress.Response, error) {
	ctx, cancel := context.WithDeadline(ctx, p.Deadline)
	defer cancel()
	req := p.Request(ctx)
	host := req.URL.Host
	r.mu.Lock()
	r.counts[host]++
	r.active[host]++
	r.most[host] = max(r.most[host], r.active[host])
	r.order = append(r.order, req.URL.Host+req.URL.Path)
	answer, scripted := r.answers[host]
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.active[host]--
	}()
	if !scripted {
		return egress.Response{Status: http.StatusOK}, nil
	}
	if answer == nil {
		<-req.Context().Done()
		return egress.Response{}, req.Context().Err()
	}
	return answer(req), nil
}

// hogs are routes of one namespace to receivers that never answer.
func (r *receivers) hogs(n, concurrency int, timeout time.Duration) []route.Route {
	routes := make([]route.Route, n)
	for i := range routes {
		host := fmt.Sprint("dead-", i)
		r.on(host, nil)
		routes[i] = aRoute("hog/"+host, "http://"+host+"/")
		routes[i].Concurrency, routes[i].Timeout = concurrency, timeout
	}
	return routes
}

// on has a host answer so from now on.
func (r *receivers) on(host string, answer func(*http.Request) egress.Response) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers[host] = answer
}

func (r *receivers) count(host string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[host]
}

func (r *receivers) atOnce(host string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.most[host]
}

// requests are the hosts and paths of all requests, in their order.
func (r *receivers) requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.order)
}

func (r *receivers) all() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counts)
}

// status answers at once.
func status(code int) func(*http.Request) egress.Response {
	return func(*http.Request) egress.Response { return egress.Response{Status: code} }
}

// after answers 200 after a while.
func after(d time.Duration) func(*http.Request) egress.Response {
	return func(req *http.Request) egress.Response {
		select {
		case <-time.After(d):
		case <-req.Context().Done():
		}
		return egress.Response{Status: http.StatusOK}
	}
}

// A reader notes which events a receiver gets, in their order.
type reader struct {
	mu     sync.Mutex
	names  map[string]string // of events, by their webhook-id
	got    []string
	active map[string]int // by the first word of the name, which is the key
	most   map[string]int
}

func newReader() *reader {
	return &reader{names: map[string]string{}, active: map[string]int{}, most: map[string]int{}}
}

// expect makes an event known, and returns its name.
func (rd *reader) expect(name string) string {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	rd.names[anEvent(name).Key().String()] = name
	return name
}

// reads has answers noted.
func (rd *reader) reads(answer func(name string, req *http.Request) egress.Response) func(*http.Request) egress.Response {
	return func(req *http.Request) egress.Response {
		rd.mu.Lock()
		name := rd.names[req.Header.Get("webhook-id")]
		key, _, _ := strings.Cut(name, " ")
		rd.got = append(rd.got, name)
		rd.active[key]++
		rd.most[key] = max(rd.most[key], rd.active[key])
		rd.mu.Unlock()
		defer func() {
			rd.mu.Lock()
			defer rd.mu.Unlock()
			rd.active[key]--
		}()
		return answer(name, req)
	}
}

// slowly has 200 noted, after a while.
func (rd *reader) slowly(d time.Duration) func(*http.Request) egress.Response {
	answer := after(d)
	return rd.reads(func(_ string, req *http.Request) egress.Response { return answer(req) })
}

// of are the names of a key that were read.
func (rd *reader) of(key string) (names []string) {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	for _, name := range rd.got {
		if strings.HasPrefix(name, key+" ") {
			names = append(names, name)
		}
	}
	return names
}

func names(key string, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint(key, " ", i))
	}
	return all
}

// postAll posts so many events of a key.
func (rd *reader) postAll(r *rig, key string, k route.Key, n int) {
	for _, name := range names(key, n) {
		r.postKey(rd.expect(name), k)
	}
}
