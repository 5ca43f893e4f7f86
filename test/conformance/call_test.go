package conformance_test

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/internal/eventually"
)

// A call is a request to the dispatcher; what is empty is as in most tests.
type call struct {
	method string // POST
	path   string // of the events of the tenant
	token  string // the producer's; "-" for none
	header http.Header
	body   io.Reader
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// client is of its own, so that its connections end with the tests.
var client = &http.Client{Timeout: 30 * time.Second}

func (d *target) do(t *testing.T, c call, base string) answer {
	t.Helper()
	// Also in a cleanup, when the context of the test has ended.
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), c.method, base+c.path, c.body)
	if err != nil {
		t.Fatal(err)
	}
	if c.header != nil {
		req.Header = c.header.Clone()
	}
	if c.token != "-" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := cmp.Or(d.client, client).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, body}
}

// get reads a page for the operator.
func (d *target) get(t *testing.T, path string) answer {
	t.Helper()
	return d.do(t, call{method: http.MethodGet, path: path, token: *operator}, d.admin)
}

// send sends c to the events of the namespace.
func (n *tenant) send(t *testing.T, c call) answer {
	t.Helper()
	if c.method == "" {
		c.method = http.MethodPost
	}
	if c.path == "" {
		c.path = "/v1/namespaces/" + n.namespace + "/events"
	}
	if c.token == "" {
		c.token = *producer
	}
	return n.do(t, c, n.events)
}

// An identity is what a 202 says of an event.
type identity struct{ ID, Source, WebhookID string }

// accepted sends c, which must be accepted, and returns what the answer says.
func (n *tenant) accepted(t *testing.T, c call) []identity {
	t.Helper()
	a := n.send(t, c)
	if a.status != http.StatusAccepted {
		t.Fatalf("the answer is %d: %s", a.status, a.body)
	}
	var got struct{ Events []identity }
	if err := json.Unmarshal(a.body, &got); err != nil {
		t.Fatalf("the answer %q: %v", a.body, err)
	}
	return got.Events
}

// post posts one event as plain JSON and returns its webhook-id.
func (n *tenant) post(t *testing.T, eventType, data string) string {
	t.Helper()
	got := n.accepted(t, plainJSON(`{"type":"`+eventType+`","data":`+data+`}`))
	if len(got) != 1 {
		t.Fatalf("the answer tells of %d events", len(got))
	}
	return got[0].WebhookID
}

func plainJSON(body string) call { return typed("application/json", body) }

func typed(contentType, body string) call {
	return call{header: http.Header{"Content-Type": {contentType}}, body: strings.NewReader(body)}
}

func (d *target) report(t *testing.T) outcome.Report {
	t.Helper()
	a := d.get(t, "/report")
	var r outcome.Report
	if err := json.Unmarshal(a.body, &r); a.status != http.StatusOK || err != nil {
		t.Fatalf("the report answers %d, %v: %s", a.status, err, a.body)
	}
	return r
}

// summary is what the report says of a route of the namespace: the zero
// Summary when nothing has happened to it.
func (n *tenant) summary(t *testing.T, name string) outcome.Summary {
	t.Helper()
	id := n.namespace + "/" + name
	for _, s := range n.report(t).Summaries {
		if s.Route == id {
			return s
		}
	}
	return outcome.Summary{Route: id}
}

// attempted waits for the end of the n-th attempt to a route.
func (n *tenant) attempted(t *testing.T, name string, number int) outcome.Summary {
	t.Helper()
	var s outcome.Summary
	eventually.True(t, "the end of an attempt to "+name, func() bool {
		s = n.summary(t, name)
		return s.Last != nil && s.Last.Number >= number
	})
	return s
}

// settled waits until a route is owed nothing and so many deliveries are dead.
func (n *tenant) settled(t *testing.T, name string, dead int) outcome.Summary {
	t.Helper()
	var s outcome.Summary
	eventually.True(t, "what is owed to "+name+" to be settled", func() bool {
		s = n.summary(t, name)
		return owed(s) == 0 && s.DeadLetters == dead
	})
	return s
}

// owed is how many deliveries wait or are under way, in memory and in the store.
func owed(s outcome.Summary) int { return s.Pending + s.Stored }
