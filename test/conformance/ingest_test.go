package conformance_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/test/receiver"
)

const (
	structured = "application/cloudevents+json"
	batched    = "application/cloudevents-batch+json"
)

// binary is an event in binary mode with these attributes, and JSON for a body.
func binary(body string, attributes ...string) call {
	c := plainJSON(body)
	for i := 0; i < len(attributes); i += 2 {
		c.header.Set("ce-"+attributes[i], attributes[i+1])
	}
	return c
}

// batch is a batch of n events, each with an id of its own.
func batch(n int) string {
	elements := make([]string, n)
	for i := range elements {
		elements[i] = fmt.Sprintf(`{"specversion":"1.0","type":"t","source":"/batch","id":"%d"}`, i)
	}
	return "[" + strings.Join(elements, ",") + "]"
}

// as is c with another token.
func as(token string, c call) call {
	c.token = token
	return c
}

// chunked is c without a length.
func chunked(c call) call {
	c.body = io.MultiReader(c.body)
	return c
}

// to is c with another method or path, where they are not empty.
func to(method, path string, c call) call {
	c.method, c.path = method, path
	return c
}

func (d *target) refusals(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	n := d.tenant(t, hook("all", rc.URL("/")))
	const good = `{"type":"t","data":{}}`
	tooLarge := `{"type":"t","data":"` + strings.Repeat("x", 2<<20) + `"}`
	long := plainJSON(good)
	long.header.Set("X-Long", strings.Repeat("x", 32<<10))

	for _, tt := range []struct {
		name    string
		call    call
		status  int
		problem string
		remedy  string // a part of the detail
	}{
		{"2 MiB", plainJSON(tooLarge), 413, "body-too-large", "send a reference to large data"},
		{"2 MiB without a length", chunked(plainJSON(tooLarge)), 413, "body-too-large", "send a reference to large data"},
		{"a JSON that is cut", plainJSON(`{"type":"t"`), 400, "invalid-json", "JSON"},
		{"two JSON values", plainJSON(good + good), 400, "invalid-json", "JSON"},
		{"an empty body", plainJSON(""), 400, "invalid-json", "JSON"},
		{"a JSON that is not UTF-8", plainJSON("{\"type\":\"t\xff\"}"), 400, "invalid-json", "UTF-8"},
		{"data that is declared JSON and is not", binary("{", "specversion", "1.0", "type", "t", "id", "1", "source", "/s"), 400, "invalid-json", "JSON"},
		{"another content type", typed("text/plain", good), 415, "unsupported-content-type", "send a CloudEvent in binary mode"},
		{"no content type", call{body: strings.NewReader(good)}, 415, "unsupported-content-type", "send a CloudEvent in binary mode"},
		{"plain JSON without a type", plainJSON(`{"data":{}}`), 400, "invalid-event", `"type" is missing`},
		{"binary without a type", binary("{}", "specversion", "1.0", "id", "1", "source", "/s"), 400, "invalid-event", `"type" is missing`},
		{"structured without a type", typed(structured, `{"specversion":"1.0","id":"1","source":"/s"}`), 400, "invalid-event", `"type" is missing`},
		{"structured without an id", typed(structured, `{"specversion":"1.0","type":"t","source":"/s"}`), 400, "invalid-event", `"id" is missing`},
		{"another specversion", typed(structured, `{"specversion":"0.3","type":"t","id":"1","source":"/s"}`), 400, "invalid-event", "send CloudEvents 1.0"},
		{"an unknown member", plainJSON(`{"type":"t","payload":{}}`), 400, "invalid-event", "goes into data"},
		{"a type that is too long", plainJSON(`{"type":"` + strings.Repeat("t", 256) + `"}`), 400, "attribute-too-long", "shorten it"},
		{"1,001 events", typed(batched, batch(1001)), 413, "batch-too-large", "split it"},
		{"an empty batch", typed(batched, "[]"), 400, "empty-batch", "send at least one"},
		{"a batch with one bad event", typed(batched, `[{"specversion":"1.0","type":"t","id":"1","source":"/s"},{}]`), 400, "invalid-event", "no event of the batch was accepted"},
		{"an item that is not whole", plainJSON(`{"type":"item:added","data":{"Item":{"Id":"110d559f-dea5-42ea-9c1c-8a5df7e70ef9"}}}`), 400, "invalid-sitecore-event", "Item.Language is missing"},
		{"a workflow command", plainJSON(`{"type":"workflow:command","data":{}}`), 400, "reserved-type", "use another type"},
		{"not a namespace", to("POST", "/v1/namespaces/Not_A_Name/events", plainJSON(good)), 400, "invalid-namespace", "use up to 63"},

		{"a token without the right", as(*operator, plainJSON(good)), 403, "forbidden", "create events.postrider.dev in namespace"},
		{"no token", as("-", plainJSON(good)), 401, "unauthenticated", "Authorization: Bearer TOKEN"},
		{"no token, and 2 MiB", as("-", plainJSON(tooLarge)), 401, "unauthenticated", "Authorization: Bearer TOKEN"},
		{"a garbage token", as("Z2FyYmFnZSBnYXJiYWdl", plainJSON(good)), 401, "unauthenticated", "Send a token"},
		{"a token of 9 KiB", as(strings.Repeat("x", 9<<10), plainJSON(good)), 401, "unauthenticated", "Authorization: Bearer TOKEN"},

		{"GET", to("GET", "", call{}), 405, "method-not-allowed", "Send events with POST"},
		{"PUT", to("PUT", "", plainJSON(good)), 405, "method-not-allowed", "Send events with POST"},
		{"an unknown path", to("POST", "/v1/events", plainJSON(good)), 404, "not-found", "/v1/namespaces/"},
		{"a header of 32 KiB", long, 431, "", ""}, // the server gives up before anybody could write a problem
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := n.send(t, tt.call)
			if a.status != tt.status {
				t.Fatalf("the answer is %d, want %d: %s", a.status, tt.status, a.body)
			}
			if tt.problem == "" {
				return
			}
			var p struct {
				Type, Title, Detail string
				Status              int
			}
			if err := json.Unmarshal(a.body, &p); err != nil || a.header.Get("Content-Type") != "application/problem+json" {
				t.Fatalf("not a problem document: %s %q", a.header.Get("Content-Type"), a.body)
			}
			if p.Type != "https://postrider.dev/problems/"+tt.problem || p.Status != tt.status || p.Title == "" {
				t.Errorf("the problem is %+v, want %s", p, tt.problem)
			}
			if !strings.Contains(p.Detail, tt.remedy) {
				t.Errorf("the detail %q does not say %q", p.Detail, tt.remedy)
			}
		})
	}

	// One after the other, so whatever had been accepted would arrive before this.
	id := n.post(t, "t", "{}")
	rc.Wait(t, 1)
	if diff := cmp.Diff(map[string]int{id: 1}, rc.IDs()); diff != "" {
		t.Errorf("of what was refused something was delivered (-want +got)\n%s", diff)
	}
}

func (d *target) forms(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{Keep: 2000})
	n := d.tenant(t, hook("all", rc.URL("/"), func(r *route.Route) { r.Concurrency = 10 }))
	sitecore, err := os.ReadFile("../../dispatcher/payload/testdata/item-added.json")
	if err != nil {
		t.Fatal(err)
	}
	thousand := make([]identity, 1000)
	for i := range thousand {
		thousand[i] = identity{ID: fmt.Sprint(i), Source: "/batch"}
	}
	all := map[string]int{}
	for _, tt := range []struct {
		name string
		call call
		want []identity // "" stands for what the dispatcher chose
	}{
		{"plain JSON", plainJSON(`{"type":"page:added"}`), []identity{{Source: "/v1/namespaces/" + n.namespace + "/events"}}},
		{"plain JSON with an identity", plainJSON(`{"type":"page:added","id":"p","source":"/p","data":[1]}`), []identity{{ID: "p", Source: "/p"}}},
		{"binary", binary(`{"n":1}`, "specversion", "1.0", "type", "t", "id", "b", "source", "/b"), []identity{{ID: "b", Source: "/b"}}},
		{"structured", typed(structured, `{"specversion":"1.0","type":"t","id":"s","source":"/s","data":"x"}`), []identity{{ID: "s", Source: "/s"}}},
		{"structured with a charset", typed(structured+"; charset=utf-8", `{"specversion":"1.0","type":"t","id":"c","source":"/s"}`), []identity{{ID: "c", Source: "/s"}}},
		{"a batch of 1,000", typed(batched, batch(1000)), thousand},
		{"item:added of Sitecore", plainJSON(`{"type":"item:added","source":"https://cm.example.com","data":` + string(sitecore) + `}`), []identity{{Source: "https://cm.example.com"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := n.accepted(t, tt.call)
			for _, e := range got {
				all[e.WebhookID]++
			}
			rc.WaitIDs(t, len(all))
			if diff := cmp.Diff(all, rc.IDs()); diff != "" {
				t.Errorf("the ids of the answers and of the deliveries differ (-answers +deliveries)\n%s", diff)
			}
			for i := range got {
				if i < len(tt.want) && tt.want[i].ID == "" && got[i].ID != "" {
					got[i].ID = ""
				}
				got[i].WebhookID = ""
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error("the answer (-want +got)\n" + diff)
			}
		})
	}

	last := rc.Requests()[rc.Count()-1]
	var body struct {
		Type string
		Data json.RawMessage
	}
	if err := json.Unmarshal(last.Body, &body); err != nil {
		t.Fatal(err)
	}
	if body.Type != "item:added" || !bytes.Equal(body.Data, bytes.TrimSpace(sitecore)) {
		t.Errorf("the item arrived as %s", last.Body)
	}
}

func (d *target) repetition(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{IDsOnly: true})
	n := d.tenant(t, hook("all", rc.URL("/")))
	const same = `{"type":"t","id":"1","source":"/s"}`
	first := n.accepted(t, plainJSON(same))
	for _, again := range []call{plainJSON(same), binary("{}", "specversion", "1.0", "type", "other", "id", "1", "source", "/s")} {
		if diff := cmp.Diff(first, n.accepted(t, again)); diff != "" {
			t.Error("the answers differ (-first +again)\n" + diff)
		}
	}
	another := n.accepted(t, plainJSON(`{"type":"t","id":"1","source":"/another"}`))
	rc.WaitIDs(t, 2)
	if diff := cmp.Diff(map[string]int{first[0].WebhookID: 1, another[0].WebhookID: 1}, rc.IDs()); diff != "" {
		t.Error("deliveries (-want +got)\n" + diff)
	}
}
