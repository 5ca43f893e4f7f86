package conformance_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/receiver"
)

// matched waits until every event that was posted to n so far has been matched
// with the routes that were in force. The receiver gets one more delivery.
func (n *tenant) matched(t *testing.T, rc *receiver.Receiver) {
	t.Helper()
	id := n.post(t, "end", "{}")
	eventually.True(t, "the last event", func() bool { return rc.IDs()[id] > 0 })
}

func (d *target) selection(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	selects := func(condition string, events ...string) func(*route.Route) {
		return func(r *route.Route) { r.Events, r.Condition = events, condition }
	}
	hooks := []struct {
		name   string
		change func(*route.Route)
		want   []string // types, in order
	}{
		{"exact", selects("", "page:added"), []string{"page:added"}},
		{"prefix", selects("", "page:*"), []string{"page:added", "page:deleted"}},
		{"suffix", selects("", "*:added"), []string{"page:added", "user:added"}},
		{"middle", selects("", "*ge:*dd*"), []string{"page:added"}},
		{"several", selects("", "page:added", "*:added", "page:*"), []string{"page:added", "page:deleted", "user:added"}},
		{"everything", selects("", "*"), []string{"page:added", "page:deleted", "user:added", "end"}},
		{"nothing", selects(""), nil},
		{"no-such-type", selects("", "page", "PAGE:ADDED"), nil},
		{"page", selects(`event.data.kind == "page"`, "*"), []string{"page:added"}},
		{"by-type", selects(`event.type.startsWith("user") || event.source.endsWith("/events") && event.data.n > 1`, "*"), []string{"page:deleted", "user:added"}},
		{"absent", selects(`event.data.no.such.field == 1`, "*"), nil},
		{"guarded", selects(`has(event.data.n) && event.data.n == 1`, "*"), []string{"page:added"}},
		{"misordered", func(r *route.Route) { r.Events, r.OrderingKey = []string{"page:*"}, "event.data" }, []string{"page:added", "page:deleted"}},
		{"failing", selects(`event.data.kind > 7`, "page:added"), nil},
	}
	var all []route.Route
	for _, h := range hooks {
		all = append(all, hook(h.name, rc.URL("/"+h.name), h.change))
	}
	n := d.tenant(t, append(all, hook("witness", rc.URL("/witness"), selects("", "end")))...)
	n.post(t, "page:added", `{"kind":"page","n":1}`)
	n.post(t, "page:deleted", `{"n":2}`)
	n.post(t, "user:added", `null`)
	n.matched(t, rc)
	eventually.True(t, "everything to be delivered", func() bool {
		return !slices.ContainsFunc(n.report(t).Summaries, func(s outcome.Summary) bool {
			return strings.HasPrefix(s.Route, n.namespace+"/") && owed(s) > 0
		})
	})

	got := map[string][]string{}
	for _, r := range rc.Requests() {
		var body struct{ Type string }
		unmarshal(t, r.Body, &body)
		got[r.Target[1:]] = append(got[r.Target[1:]], body.Type)
	}
	for _, h := range hooks {
		if diff := cmp.Diff(h.want, got[h.name]); diff != "" {
			t.Errorf("%s (-want +got)\n%s", h.name, diff)
		}
	}
	if s := n.summary(t, "failing"); s.Last != nil || s.LastError == "" {
		t.Errorf("a condition that fails must be in the report: %+v", s)
	}
	if s := n.summary(t, "misordered"); s.Last == nil || !strings.HasPrefix(s.LastError, "OrderingFailed: ") {
		t.Errorf("an ordering key that fails must be in the report: %+v", s)
	}
}

func (d *target) isolation(t *testing.T) {
	t.Parallel()
	ours, theirs := receiver.New(t, receiver.Options{}), receiver.New(t, receiver.Options{})
	a, b := d.tenant(t, hook("all", ours.URL("/"))), d.tenant(t, hook("all", theirs.URL("/")))
	// The same identity in both, which makes them two events all the same.
	same := `{"type":"t","id":"1","source":"/s"}`
	idA, idB := a.accepted(t, plainJSON(same))[0].WebhookID, b.accepted(t, plainJSON(same))[0].WebhookID
	ours.Wait(t, 1)
	theirs.Wait(t, 1)
	a.matched(t, ours)
	b.matched(t, theirs)
	if idA == idB || ours.IDs()[idA] != 1 || theirs.IDs()[idB] != 1 || ours.Count() != 2 || theirs.Count() != 2 {
		t.Errorf("%s and %s were posted; %v and %v arrived", idA, idB, ours.IDs(), theirs.IDs())
	}
}

func (d *target) holding(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	held := route.Route{ID: "held", Generation: 1, Events: []string{"*"}, Hold: "RefNotFound"} // nothing else is known of it
	n := d.tenant(t, held, hook("neighbour", rc.URL("/neighbour")))
	id := n.post(t, "t", "{}")
	rc.Wait(t, 1)
	eventually.True(t, "the delivery to be owed", func() bool { return owed(n.summary(t, "held")) == 1 })
	if s := n.summary(t, "held"); s.Last != nil || s.LastError != "" {
		t.Errorf("what is held was attempted: %+v", s)
	}

	n.route(t, hook("held", rc.URL("/released")), hook("neighbour", rc.URL("/neighbour")))
	got := rc.Wait(t, 2)
	if got[0].Target != "/neighbour" || got[1].Target != "/released" || got[1].ID() != id {
		t.Errorf("%s and %s arrived, the latter as %s", got[0].Target, got[1].Target, got[1].ID())
	}
	if s := n.attempted(t, "held", 1); s.Last.Reason != outcome.Delivered {
		t.Errorf("the report says %+v", s)
	}
}

func (d *target) lateBinding(t *testing.T) {
	t.Parallel()
	wrong, right := receiver.New(t, receiver.Options{}), receiver.New(t, receiver.Options{})
	wrong.On("/", receiver.Status(404))
	n := d.tenant(t, hook("moving", wrong.URL("/"), retry(2*time.Second)))
	id := n.post(t, "t", "{}")
	if s := n.attempted(t, "moving", 1); s.LastError != "404 Not Found" || owed(s) != 1 {
		t.Errorf("the report says %+v", s)
	}
	n.route(t, hook("moving", right.URL("/"), retry(2*time.Second)))
	right.Wait(t, 1)
	if s := n.attempted(t, "moving", 2); s.Last.Reason != outcome.Delivered || s.ConsecutiveFailures != 0 {
		t.Errorf("the report says %+v", s)
	}
	if right.IDs()[id] != 1 || wrong.Count() != 1 {
		t.Errorf("%d requests went to the wrong place, %v to the right one", wrong.Count(), right.IDs())
	}
}
