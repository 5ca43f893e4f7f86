package conformance_test

import (
	"fmt"
	"maps"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/process"
	"github.com/postrider/postrider/test/receiver"
)

func (d *target) deadLetters(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	rc.On("/", receiver.Status(500))
	n, stranger := d.tenant(t, hook("dying", rc.URL("/"))), d.tenant(t, hook("dying", rc.URL("/")))
	want := map[string]int{}
	var ids []string
	for i := range 4 {
		id := n.post(t, "order:paid", fmt.Sprintf(`{"n":%d}`, i))
		n.settled(t, "dying", i+1)
		ids, want[id] = append(ids, id), 2
	}

	const list = "/webhooks/dying/dead-letters"
	letters, pages := follow[letter](t, n, list+"?limit=3")
	if len(letters) != 4 || pages != 2 {
		t.Fatalf("%d pages hold %d dead letters", pages, len(letters))
	}
	for i, l := range letters {
		if l.WebhookID != ids[3-i] || l.Reason != outcome.ReceiverError || l.Status != 500 || l.Attempts != 1 || l.EventType != "order:paid" || l.Event != nil {
			t.Errorf("letter %d is %+v, want the newest first, without its event", i, l)
		}
	}
	var one letter
	n.look(t, list+"/"+letters[0].ID, 200, &one)
	var event struct {
		SpecVersion, ID, Type string
		Data                  struct{ N int }
	}
	unmarshal(t, one.Event, &event)
	if event.SpecVersion != "1.0" || event.ID != one.EventID || event.Data.N != 3 {
		t.Errorf("the event of a dead letter is %s", one.Event)
	}

	// What is another namespace's is out of reach, whatever the path says.
	stranger.look(t, list+"/"+letters[0].ID, 404, nil).refused(t, "dead-letter-not-found", "List those that there are")
	stranger.order(t, list+"/"+letters[0].ID+"/redrive", "", 404, nil).refused(t, "dead-letter-not-found", "")
	stranger.order(t, "/webhooks/dying/deliveries/"+letters[0].Delivery+"/redeliver", "", 404, nil).refused(t, "delivery-not-found", "")
	if n.summary(t, "dying").DeadLetters != 4 {
		t.Error("a stranger changed the dead letters")
	}

	rc.On("/", receiver.Status(200))
	var got made
	n.order(t, list+"/"+letters[0].ID+"/redrive", "", 202, &got)
	if s := n.settled(t, "dying", 3); got.Enqueued != 1 || s.Last.Reason != outcome.Delivered || s.Last.Number != 1 {
		t.Errorf("%+v, and the report says %+v", got, s)
	}
	n.look(t, list+"/"+letters[0].ID, 404, nil).refused(t, "dead-letter-not-found", "redriven")
	n.order(t, list+"/redrive", `{"limit":1}`, 202, &got)
	if n.settled(t, "dying", 2); got.Enqueued != 1 || got.Remaining != 2 {
		t.Errorf("a redrive of one of three says %+v", got)
	}
	eventually.True(t, "the oldest to be redriven first", func() bool { return rc.IDs()[ids[0]] == 2 })
	n.order(t, list+"/redrive", "", 202, &got)
	if n.settled(t, "dying", 0); got.Enqueued != 2 || got.Remaining != 0 {
		t.Errorf("a redrive of all says %+v", got)
	}
	eventually.True(t, "each to arrive once more", func() bool { return rc.Count() == 8 })
	if diff := cmp.Diff(want, rc.IDs()); diff != "" {
		t.Errorf("requests by id (-want +got)\n%s", diff)
	}
}

func (d *target) deletion(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	held := hook("leaving", rc.URL("/"), func(r *route.Route) { r.Hold = "RefNotFound" })
	n := d.tenant(t, held)
	id := n.post(t, "t", `{"n":1}`)
	eventually.True(t, "the delivery to wait in the store", func() bool { return n.summary(t, "leaving").Stored == 1 })
	n.route(t)
	const list = "/webhooks/leaving/dead-letters"
	var letters []letter
	eventually.True(t, "the dead letter", func() bool {
		a := n.send(t, call{method: "GET", path: "/v1/namespaces/" + n.namespace + list, token: *operator})
		if a.status == 404 { // nothing is known of the webhook until there is one
			return false
		}
		letters, _ = follow[letter](t, n, list+"?limit=10")
		return len(letters) == 1
	})
	if l := letters[0]; l.Reason != outcome.RouteGone || l.WebhookID != id {
		t.Errorf("the dead letter is %+v", l)
	}
	n.order(t, list+"/redrive", "", 404, nil).refused(t, "webhook-not-found", "")

	n.route(t, hook("leaving", rc.URL("/back")))
	n.order(t, list+"/redrive", "", 202, nil)
	if got := rc.Wait(t, 1)[0]; got.ID() != id || got.Target != "/back" {
		t.Errorf("%s arrived at %s", got.ID(), got.Target)
	}
	n.settled(t, "leaving", 0)
}

// The names of webhooks may have dots, and the store's subjects have too.
func (d *target) dottedNames(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	names := []string{"a", "a.b", "a.1", "a.1.1"}
	var held, released []route.Route
	for i, name := range names {
		only := func(r *route.Route) { r.Events = []string{fmt.Sprint("type", i)} }
		released = append(released, hook(name, rc.URL("/"+name), only))
		held = append(held, hook(name, rc.URL("/"+name), only, func(r *route.Route) { r.Hold = "RefNotFound" }))
	}
	n := d.tenant(t, held...)
	want := map[string]int{}
	for i, name := range names {
		for range i + 1 {
			n.post(t, fmt.Sprint("type", i), "{}")
			want["/"+name]++
		}
	}
	for i, name := range names {
		eventually.True(t, "what waits for "+name, func() bool { return n.summary(t, name).Stored == i+1 })
	}
	rc.On("/a", receiver.Status(500))
	n.route(t, released...)
	for i, name := range names {
		dead := 0
		if name == "a" {
			dead = 1
		}
		n.settled(t, name, dead)
		if items := n.logged(t, name, i+1); len(items) != i+1 {
			t.Errorf("the log of %s has %d attempts, want %d", name, len(items), i+1)
		}
		if letters, _ := follow[letter](t, n, "/webhooks/"+name+"/dead-letters?limit=10"); len(letters) != dead {
			t.Errorf("%s has %d dead letters, want %d", name, len(letters), dead)
		}
	}
	got := map[string]int{}
	for _, r := range rc.Requests() {
		got[r.Target]++
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests by webhook (-want +got)\n%s", diff)
	}
}

func (d *target) redelivery(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	n, stranger := d.tenant(t, hook("again", rc.URL("/"))), d.tenant(t, hook("again", rc.URL("/")))
	id, other := n.post(t, "t", "{}"), n.post(t, "t", "{}")
	rc.WaitIDs(t, 2)
	items := n.logged(t, "again", 2)
	var got made
	for _, a := range items {
		if a.WebhookID == id {
			stranger.order(t, "/webhooks/again/deliveries/"+a.Delivery+"/redeliver", "", 404, nil).refused(t, "delivery-not-found", "not kept")
			n.order(t, "/webhooks/again/deliveries/"+a.Delivery+"/redeliver", "", 202, &got)
		}
	}
	rc.Wait(t, 3)
	if ids := rc.IDs(); got.Enqueued != 1 || ids[id] != 2 || ids[other] != 1 {
		t.Errorf("%+v, and %v arrived", got, ids)
	}
	n.order(t, "/webhooks/again/deliveries/1-nonsense/redeliver", "", 404, nil).refused(t, "delivery-not-found", `take a \"delivery\"`)
	if stranger.summary(t, "again").Last != nil {
		t.Error("a stranger's webhook got something")
	}
}

// moment is t in a JSON body.
func moment(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func (d *target) replays(t *testing.T) {
	t.Parallel()
	some, all, alien := receiver.New(t, receiver.Options{}), receiver.New(t, receiver.Options{}), receiver.New(t, receiver.Options{})
	n := d.tenant(t, hook("some", some.URL("/"), func(r *route.Route) { r.Events = []string{"x:*"} }), hook("all", all.URL("/")))
	stranger := d.tenant(t, hook("all", alien.URL("/")))
	stranger.post(t, "x:1", "{}")
	from := time.Now()
	first, second := n.post(t, "x:1", "{}"), n.post(t, "y:1", "{}")
	all.Wait(t, 2)
	middle := time.Now()
	third := n.post(t, "x:2", "{}")
	all.Wait(t, 3)
	some.Wait(t, 2)
	alien.Wait(t, 1)
	rangeOf := func(from, to time.Time, more string) string {
		return `{"from":"` + moment(from) + `","to":"` + moment(to) + `"` + more + `}`
	}
	end := time.Now()

	for _, tt := range []struct {
		path, body         string
		events, deliveries int
	}{
		{"/webhooks/some/replay", rangeOf(from, end, ""), 3, 2},
		{"/webhooks/some/replay", rangeOf(from, middle, ""), 2, 1},
		{"/webhooks/some/replay", rangeOf(from, end, `,"types":["y:*"]`), 1, 0},
		{"/webhooks/all/replay", rangeOf(middle, end, ""), 1, 1},
		{"/replay", rangeOf(from, end, ""), 3, 5},
		{"/replay", rangeOf(from, end, `,"types":["x:1","y:*"]`), 2, 3},
		{"/replay", rangeOf(from.Add(-time.Hour), from, ""), 0, 0},
	} {
		var got made
		n.order(t, tt.path, strings.Replace(tt.body, "{", `{"dryRun":true,`, 1), 200, &got)
		if want := (made{Events: tt.events, Deliveries: tt.deliveries, DryRun: true}); got != want {
			t.Errorf("a dry run of %s %s says %+v, want %+v", tt.path, tt.body, got, want)
		}
	}
	if some.Count() != 2 || all.Count() != 3 {
		t.Error("a dry run sends")
	}

	var got made
	n.order(t, "/webhooks/some/replay", rangeOf(from, middle, ""), 202, &got)
	if got.Enqueued != 1 {
		t.Errorf("a replay to one webhook says %+v", got)
	}
	n.order(t, "/replay", rangeOf(from, end, `,"types":["y:*"]`), 202, &got)
	if got.Enqueued != 1 {
		t.Errorf("a replay to the namespace says %+v", got)
	}
	some.Wait(t, 3)
	all.Wait(t, 4)

	// In pieces, as a client goes on that wants few at a time.
	pieces, body := 0, rangeOf(from, end, `,"limit":1`)
	for cursor := ""; ; {
		got = made{}
		n.order(t, "/webhooks/all/replay", strings.Replace(body, "{", "{"+cursor, 1), 202, &got)
		pieces += got.Enqueued
		if got.Next == "" {
			break
		}
		cursor = `"cursor":"` + got.Next + `",`
	}
	all.Wait(t, 7)
	if pieces != 3 {
		t.Errorf("the pieces of a replay of 3 events are %d", pieces)
	}
	if diff := cmp.Diff(map[string]int{first: 2, third: 1}, some.IDs()); diff != "" {
		t.Errorf("what one webhook got (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{first: 2, second: 3, third: 2}, all.IDs()); diff != "" {
		t.Errorf("what the other one got (-want +got)\n%s", diff)
	}
	if alien.Count() != 1 {
		t.Error("a replay reached another namespace")
	}
	n.order(t, "/webhooks/unknown/replay", rangeOf(from, end, ""), 404, nil).refused(t, "webhook-not-found", "")
	n.order(t, "/replay", "{}", 400, nil).refused(t, "invalid-request", `\"from\" is missing`)
}

func TestWhatIsKeptSurvivesAStopAndAKill(t *testing.T) {
	t.Parallel()
	p := process.New(t, process.Options{})
	p.Start(t)
	d := at(p)
	rc := receiver.New(t, receiver.Options{})
	rc.On("/dying", receiver.Status(500))
	n := d.tenant(t, hook("taken", rc.URL("/taken"), func(r *route.Route) { r.Events = []string{"good"} }),
		hook("dying", rc.URL("/dying"), func(r *route.Route) { r.Events = []string{"bad"} }))
	from := time.Now()
	ids := map[string]int{}
	for range 3 {
		ids[n.post(t, "good", "{}")]++
	}
	rc.WaitIDs(t, 3)
	n.settled(t, "taken", 0)
	n.post(t, "bad", "{}")
	n.settled(t, "dying", 1)
	n.logged(t, "taken", 3)

	for i, end := range []func(){func() { p.Signal(t, syscall.SIGTERM) }, func() { p.Kill(t) }} {
		end()
		p.Start(t)
		d.events, d.admin = p.Events(), p.Admin()
		eventually.True(t, "what is stored to be counted", func() bool { return n.report(t).Counted })
		n.settled(t, "taken", 0)
		n.settled(t, "dying", 1)
		if s := n.summary(t, "taken"); s.LastSuccess.IsZero() || s.Last != nil {
			t.Errorf("after end %d it knows of the receiver that took everything: %+v", i+1, s)
		}
		if items := n.logged(t, "taken", 3); len(items) < 3 {
			t.Errorf("the log has %d attempts", len(items))
		}
		before := maps.Clone(rc.IDs())
		var got made
		n.order(t, "/webhooks/taken/replay", `{"from":"`+moment(from)+`"}`, 202, &got)
		if got.Enqueued != 3 {
			t.Errorf("after end %d the replay finds %+v", i+1, got)
		}
		for id := range ids {
			eventually.True(t, id+" to come again", func() bool { return rc.IDs()[id] == before[id]+1 })
		}
		n.settled(t, "taken", 0)
	}
	rc.On("/dying", receiver.Status(200))
	n.order(t, "/webhooks/dying/dead-letters/redrive", "", 202, nil)
	n.settled(t, "dying", 0)
}
