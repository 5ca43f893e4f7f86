package resilience_test

import (
	"time"

	"github.com/postrider/postrider/dispatcher/route"
)

// aRoute selects the types, or all of them, and never gives up while a test runs.
func aRoute(id, url string, types ...string) route.Route {
	if len(types) == 0 {
		types = []string{"*"}
	}
	return route.Route{
		ID: id, Generation: 1, Events: types, URL: url, Timeout: time.Second, Concurrency: 20,
		Retry: route.Retry{Backoff: patiently(), MaxAge: 24 * time.Hour},
	}
}

// patiently is a schedule that outlasts every test: soon at first, then every two seconds.
func patiently() []time.Duration {
	backoff := []time.Duration{300 * time.Millisecond, 300 * time.Millisecond, time.Second}
	for len(backoff) < 50 {
		backoff = append(backoff, 2*time.Second)
	}
	return backoff
}
