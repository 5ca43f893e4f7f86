package process

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/postrider/postrider/dispatcher/route"
)

// RoutesFile is the path of the file that the dispatcher follows.
func (d *Dispatcher) RoutesFile() string { return d.path("routes.json") }

// SetRoutes replaces the routes. A process that runs puts them in force within
// a second.
func (d *Dispatcher) SetRoutes(tb testing.TB, routes ...route.Route) {
	tb.Helper()
	WriteRoutes(tb, d.RoutesFile(), routes...)
}

// WriteRoutes writes a routes file, as a whole: who follows it never reads half of one.
func WriteRoutes(tb testing.TB, path string, routes ...route.Route) {
	tb.Helper()
	text, err := json.Marshal(map[string]any{"routes": routes})
	if err != nil {
		tb.Fatal(err)
	}
	fresh := path + ".new"
	if err := os.WriteFile(fresh, text, 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Rename(fresh, path); err != nil {
		tb.Fatal(err)
	}
}
