package conformance_test

import (
	"crypto/rand"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/process"
)

// A target is the dispatcher under test.
type target struct {
	events, admin string // base URLs
	routesFile    string
	client        *http.Client // nil for the one of most tests

	mu       sync.Mutex
	routes   map[string][]route.Route // by namespace
	version  int                      // of the table, with each change one more
	versions map[string]int           // by digest: the newest version that had it
}

// A tenant is a namespace of a dispatcher that no other test knows.
type tenant struct {
	*target
	namespace string
}

// tenant makes a namespace with the routes, which end with the test. By then
// neither report nor metrics may show a credential.
func (d *target) tenant(t *testing.T, routes ...route.Route) *tenant {
	t.Helper()
	// Random, for a dispatcher that outlives the suite remembers its events.
	n := &tenant{d, "conformance-" + strings.ToLower(rand.Text()[:10])}
	n.route(t, routes...)
	t.Cleanup(func() {
		for _, path := range []string{"/report", "/metrics"} {
			assertNoCredential(t, path, string(d.get(t, path).body))
		}
		n.route(t) // nothing more goes to the receivers, whose ports others get
	})
	return n
}

// hook is a route with the name: every event, one attempt at a time, once.
func hook(name, url string, change ...func(*route.Route)) route.Route {
	r := route.Route{
		ID: name, Generation: 1, Events: []string{"*"}, URL: url, Timeout: 10 * time.Second, Concurrency: 1,
		Retry: route.Retry{MaxAge: time.Hour},
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

// retry is a schedule without jitter.
func retry(backoff ...time.Duration) func(*route.Route) {
	return func(r *route.Route) { r.Retry.Backoff = backoff }
}

func signed(keys ...route.Secret) func(*route.Route) {
	return func(r *route.Route) { r.Signing = &route.Signing{Keys: keys} }
}

// route replaces the routes of the namespace and returns once they are in force.
func (n *tenant) route(t *testing.T, routes ...route.Route) {
	t.Helper()
	routes = slices.Clone(routes)
	for i := range routes {
		routes[i].ID = n.namespace + "/" + routes[i].ID
	}
	version := n.write(t, n.namespace, routes)
	eventually.True(t, "the routes to be in force", func() bool {
		digest := n.report(t).Digest
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.versions[digest] >= version
	})
}

// write writes the table with the routes of one namespace changed, and returns
// its version.
func (d *target) write(t *testing.T, namespace string, routes []route.Route) int {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.routes == nil {
		d.routes, d.versions = map[string][]route.Route{}, map[string]int{}
	}
	d.routes[namespace] = routes
	if len(routes) == 0 {
		delete(d.routes, namespace)
	}
	all := slices.Concat(slices.Collect(maps.Values(d.routes))...)
	d.version++
	d.versions[route.Digest(route.Table{Routes: all})] = d.version
	process.WriteRoutes(t, d.routesFile, all...)
	return d.version
}
