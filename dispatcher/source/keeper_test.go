package source_test

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/dispatcher/source"
	"github.com/postrider/postrider/internal/transcript"
)

// A keeper is a Keeper, and what can be seen of it.
type keeper struct {
	*source.Keeper
	current  route.Current
	registry *prometheus.Registry
	log      transcript.Transcript

	mu     sync.Mutex
	states []state // each that was announced
}

type state struct{ Digest, Fault string }

func newKeeper(dir string) *keeper {
	k := &keeper{registry: prometheus.NewRegistry()}
	k.Keeper = source.NewKeeper(&k.current, dir, k.changed, k.registry, slog.New(slog.NewTextHandler(&k.log, nil)))
	return k
}

func (k *keeper) changed() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.states = append(k.states, k.state())
}

func (k *keeper) state() state {
	digest, fault := k.State()
	return state{digest, fault}
}

// announced is each state that was announced, in order.
func (k *keeper) announced() []state {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.states)
}

func (k *keeper) loaded() bool {
	select {
	case <-k.Loaded():
		return true
	default:
		return false
	}
}

// gauges fails t unless the metrics have these values.
func (k *keeper) gauges(t *testing.T, rejected, routes int) {
	t.Helper()
	want := fmt.Sprintf(`# HELP postrider_source_routes Routes of the table in force.
# TYPE postrider_source_routes gauge
postrider_source_routes %d
# HELP postrider_source_table_rejected 1 while the newest table is refused and an older one is in force.
# TYPE postrider_source_table_rejected gauge
postrider_source_table_rejected %d
`, routes, rejected)
	if err := testutil.GatherAndCompare(k.registry, strings.NewReader(want), "postrider_source_routes", "postrider_source_table_rejected"); err != nil {
		t.Error(err)
	}
}

// inForce waits until the table is the one in force and nothing is wrong.
func (k *keeper) inForce(t *testing.T, table route.Table) {
	t.Helper()
	want := state{Digest: route.Digest(table)}
	eventually(t, patience, "the table to be in force", func() bool { return k.state() == want })
}

// refused waits until the newest table is refused for a reason with this text.
func (k *keeper) refused(t *testing.T, why string) {
	t.Helper()
	eventually(t, patience, "the table to be refused because "+why, func() bool { return strings.Contains(k.state().Fault, why) })
}

// logs waits for text in the log.
func (k *keeper) logs(t *testing.T, text string) {
	t.Helper()
	eventually(t, patience, "the log to say "+text, func() bool { return strings.Contains(k.log.String(), text) })
}

// aTable is a table of one route, which differs by its name.
func aTable(name string) route.Table {
	return route.Table{Routes: []route.Route{{
		ID: "cms/" + name, Generation: 1, Events: []string{"*"}, URL: "https://receiver.example.com", Timeout: time.Second, Concurrency: 1,
		Authorization: &route.Authorization{Bearer: &route.Bearer{Token: credential}}, Retry: route.Retry{MaxAge: time.Hour},
	}}}
}

// patience is for what should take milliseconds, on a machine with much to do.
const patience = 20 * time.Second

// credential is in every table and may show nowhere.
const credential = "bearer-Wm4Zt9PqLx2Vc7Ns"

// aLargeTable fits into two shards, not into one: random text hardly shrinks.
func aLargeTable(t *testing.T) route.Table {
	t.Helper()
	var table route.Table
	for i := range 40 {
		text := make([]byte, 30<<10)
		if _, err := rand.Read(text); err != nil {
			t.Fatal(err)
		}
		r := aTable(fmt.Sprint("large-", i)).Routes[0]
		r.Headers = []route.Header{{Name: "X-Large", Value: route.Secret(base64.StdEncoding.EncodeToString(text))}}
		table.Routes = append(table.Routes, r)
	}
	return table
}

func shards(t *testing.T, table route.Table) []route.Shard {
	t.Helper()
	s, err := route.Encode(table)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited in vain for " + what)
		}
	}
}
