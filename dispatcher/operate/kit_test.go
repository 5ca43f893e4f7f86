package operate_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider/postrider/dispatcher/access"
	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/operate"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
)

// Who calls.
const (
	ann     = "ann-token-000000001" // may do everything in shop
	tester  = "test-token-00000001" // may test there
	reader  = "read-token-00000001" // may read the attempts there
	other   = "othr-token-00000001" // may do everything in crm
	callers = `ann-token-000000001, ann, shop, *
test-token-00000001, tess, shop, create:webhooks/test
read-token-00000001, rob, shop, get:webhooks/deliveries
othr-token-00000001, otto, crm, *
`
)

// noon is when the history of the tests begins.
var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// memory is a store and lanes: what they are asked to keep and to deliver.
type memory struct {
	mu       sync.Mutex
	records  []deliver.Record
	dead     []deliver.DeadLetter // oldest first
	lags     bool                 // EachDead lists what is removed as well
	removed  []deliver.DeadLetter
	history  []event.Stored // by Seq
	enqueued []deliver.Deferral
	groups   []int // how many each Enqueue had

	tested  *event.Event
	result  deliver.Record
	testErr error
	during  func() // called in the middle of a test

	broken      error // of every call of the store
	enqueueErr  error
	enqueueGood int // calls of Enqueue that succeed before enqueueErr
	onEnqueue   func()
	onRead      func()        // of dead letters
	reading     time.Duration // of each message of the history
	removeErr   error
}

func (m *memory) Test(_ context.Context, id string, e *event.Event) (deliver.Record, error) {
	if m.during != nil {
		m.during()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tested = e
	r := m.result
	r.Route, r.EventID, r.EventType, r.Test = id, e.ID, e.Type, true
	return r, m.testErr
}

func (m *memory) Enqueue(_ context.Context, ds ...deliver.Deferral) error {
	if m.onEnqueue != nil {
		m.onEnqueue()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.enqueueErr != nil && m.enqueueGood == 0 {
		return m.enqueueErr
	}
	m.enqueueGood--
	m.groups = append(m.groups, len(ds))
	m.enqueued = append(m.enqueued, ds...)
	return nil
}

func (m *memory) Attempts(_ context.Context, id string, before uint64, limit int) ([]deliver.Record, uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []deliver.Record
	for i, r := range slices.Backward(m.records) {
		seq := uint64(i + 1)
		if r.Route != id || before > 0 && seq >= before {
			continue
		}
		if found = append(found, r); len(found) == limit && i > 0 {
			return found, seq, m.broken
		}
	}
	return found, 0, m.broken
}

func (m *memory) DeadLetters(_ context.Context, id string, before uint64, limit int) ([]deliver.DeadLetter, uint64, error) {
	if m.onRead != nil {
		m.onRead()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []deliver.DeadLetter
	for i, l := range slices.Backward(m.dead) {
		if l.Route != id || before > 0 && l.ID >= before {
			continue
		}
		if found = append(found, l); len(found) == limit && i > 0 {
			return found, l.ID, m.broken
		}
	}
	return found, 0, m.broken
}

func (m *memory) DeadLetter(_ context.Context, id string, number uint64) (deliver.DeadLetter, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.dead {
		if l.Route == id && l.ID == number {
			return l, m.broken
		}
	}
	return deliver.DeadLetter{}, cmp.Or(m.broken, event.ErrNotFound)
}

func (m *memory) EachDead(_ context.Context, id string, visit func(deliver.DeadLetter) error) error {
	m.mu.Lock()
	dead := slices.Clone(m.dead)
	if m.lags {
		dead = append(slices.Clone(m.removed), dead...)
		slices.SortFunc(dead, func(a, b deliver.DeadLetter) int { return cmp.Compare(a.ID, b.ID) })
	}
	m.mu.Unlock()
	for _, l := range dead {
		if l.Route != id {
			continue
		}
		if err := visit(l); err != nil {
			return err
		}
	}
	return m.broken
}

func (m *memory) RemoveDead(_ context.Context, id string, ids ...uint64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.removeErr != nil {
		return 0, m.removeErr
	}
	before := len(m.dead)
	m.dead = slices.DeleteFunc(m.dead, func(l deliver.DeadLetter) bool {
		named := l.Route == id && slices.Contains(ids, l.ID)
		if named {
			m.removed = append(m.removed, l)
		}
		return named
	})
	return before - len(m.dead), nil
}

func (m *memory) Find(_ context.Context, seq uint64, key event.Key) (*event.Event, error) {
	for _, st := range m.history {
		if st.Seq == seq && st.Event.Key() == key {
			return st.Event, m.broken
		}
	}
	return nil, cmp.Or(m.broken, event.ErrNotFound)
}

func (m *memory) History(ctx context.Context, namespace string, from, to time.Time, after uint64, visit func(event.Stored) error) (seen uint64, err error) {
	for i, st := range m.history {
		if at := st.Event.Accepted; st.Seq > after && st.Event.Namespace == namespace && !at.Before(from) && at.Before(to) {
			if err := visit(st); err != nil {
				return seen, err
			}
		}
		if i+1 < len(m.history) && m.history[i+1].Seq == st.Seq || st.Seq <= after {
			continue
		}
		seen = st.Seq
		if m.reading > 0 {
			<-time.After(m.reading)
		}
		if ctx.Err() != nil {
			return seen, ctx.Err()
		}
	}
	return seen, m.broken
}

// desk is an Operator behind the gate, and everything around it.
type desk struct {
	*memory
	url      string
	log      *bytes.Buffer
	recorder outcome.Recorder
	router   *route.Current
}

func aRoute(id string, events ...string) route.Route {
	return route.Route{
		ID: id, Generation: 1, Events: events, URL: "https://receiver.example.com/hooks",
		Timeout: 10 * time.Second, Concurrency: 10,
		Retry: route.Retry{Backoff: []time.Duration{5 * time.Second}, MaxAge: time.Hour},
	}
}

// table is what is in force in the tests.
func table() []route.Route {
	off, auto, unresolved, invalid := aRoute("shop/off"), aRoute("shop/auto", "*"), aRoute("shop/unresolved", "order:paid"), aRoute("shop/invalid")
	off.Hold, off.URL = "SpecDisabled", ""
	auto.Hold = "ReceiverGone"
	unresolved.Hold, unresolved.URL = "RefNotFound", ""
	invalid.Hold, invalid.URL = "InvalidURL", ""
	large := aRoute("shop/large", "order:*")
	large.Condition = "event.data.total > 100"
	return []route.Route{aRoute("shop/all", "*"), large, off, auto, unresolved, invalid, aRoute("crm/all", "*")}
}

// open serves an Operator with what options change of the usual ones.
func open(t *testing.T, m *memory, options ...func(*operate.Options)) *desk {
	t.Helper()
	router, err := route.Build(route.Table{Routes: table()})
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{memory: m, log: new(bytes.Buffer), recorder: outcome.NewRecorder(), router: new(route.Current)}
	d.router.Swap(router)
	authority, err := access.ParseStatic(strings.NewReader(callers))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(d.log, nil))
	o := operate.Options{
		Router: d.router, Lanes: m, Store: m, Recorder: d.recorder, Kept: 72 * time.Hour, ReplayRate: 100_000, Log: log,
	}
	for _, change := range options {
		change(&o)
	}
	mux := http.NewServeMux()
	operate.New(o).Mount(mux, access.NewGate(authority, prometheus.NewRegistry(), log).Guard)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	d.url = server.URL
	return d
}

// reply is what a call is answered.
type reply struct {
	status int
	header http.Header
	text   string
}

// into reads the body as JSON.
func (r reply) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.text), v); err != nil {
		t.Fatalf("%v in %s", err, r.text)
	}
}

// request calls as somebody, with a body and header lines "Name: value".
func (d *desk) request(t *testing.T, token, method, path, body string, lines ...string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, d.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control is %q", response.Header.Get("Cache-Control"))
	}
	return reply{response.StatusCode, response.Header, string(text)}
}

// get and post call as ann.
func (d *desk) get(t *testing.T, path string) reply {
	t.Helper()
	return d.request(t, ann, http.MethodGet, path, "")
}

func (d *desk) post(t *testing.T, path, body string) reply {
	t.Helper()
	return d.request(t, ann, http.MethodPost, path, body)
}

// says fails unless the reply has the status and all the texts.
func (r reply) says(t *testing.T, status int, texts ...string) {
	t.Helper()
	if r.status != status {
		t.Errorf("status %d, want %d: %s", r.status, status, r.text)
	}
	for _, text := range texts {
		if !strings.Contains(r.text, text) {
			t.Errorf("%s does not say %q", r.text, text)
		}
	}
}

// stored makes a history: event i happened i minutes after noon, three to a message.
func stored(namespace string, types ...string) []event.Stored {
	var all []event.Stored
	for i, typ := range types {
		all = append(all, event.Stored{Seq: uint64(10 + i/3), Event: &event.Event{
			Namespace: namespace, ID: string(rune('a'+i%26)) + strings.Repeat("x", i/26), Source: "/shop", Type: typ, ContentType: "application/json",
			Data: []byte(`{"total":50}`), Accepted: noon.Add(time.Duration(i) * time.Minute),
		}})
	}
	return all
}

// letters makes n dead letters of a route, numbered from 1.
func letters(id string, n int) []deliver.DeadLetter {
	namespace, _, _ := strings.Cut(id, "/")
	types := make([]string, n)
	for i := range types {
		types[i] = "order:paid"
	}
	var all []deliver.DeadLetter
	for i, st := range stored(namespace, types...) {
		all = append(all, deliver.DeadLetter{
			ID: uint64(i + 1), Route: id, Attempts: 8, At: noon.Add(time.Hour), Seq: st.Seq, Event: st.Event,
			Why: outcome.Outcome{Reason: outcome.Rejected, Status: 404, Took: time.Millisecond},
		})
	}
	return all
}

// counted is how many dead letters of shop/all the recorder counts.
func (d *desk) counted() int {
	summaries, _ := d.recorder.Since(0)
	for _, s := range summaries {
		if s.Route == "shop/all" {
			return s.DeadLetters
		}
	}
	return 0
}

// bench is an Operator without a server, for tests in which time is made up.
type bench struct{ handler http.Handler }

func offline(t *testing.T, m *memory, change func(*operate.Options)) bench {
	t.Helper()
	router, err := route.Build(route.Table{Routes: table()})
	if err != nil {
		t.Fatal(err)
	}
	current := new(route.Current)
	current.Swap(router)
	o := operate.Options{Router: current, Lanes: m, Store: m, Log: slog.New(slog.DiscardHandler)}
	change(&o)
	mux := http.NewServeMux()
	operate.New(o).Mount(mux, func(_ func(*http.Request) access.Attributes, next http.Handler) http.Handler { return next })
	return bench{mux}
}

func (b bench) call(t *testing.T, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body)))
	return w
}
