package conformance_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/internal/eventually"
)

// What the calls about webhooks answer, as docs/http.md describes it.
type (
	attemptPage struct {
		Items []attempt
		Next  string
	}
	attempt struct {
		Delivery, EventID, EventType, WebhookID string

		Attempt       int
		Test          bool
		Started, Next time.Time
		Reason        outcome.Reason
		Detail        string
		Request       struct {
			Host   string
			Header http.Header
			Bytes  int
		}
		Response *struct {
			Status, Bytes int
			Header        http.Header
			Body          string
		}
		Timings struct{ DNS, Connect, TLS, FirstByte, Total time.Duration }
	}
	trial struct {
		Passed      bool
		Explanation string
		Attempt     attempt
	}
	letter struct {
		ID, Delivery, WebhookID, EventID, EventType string

		Attempts, Bytes, Status int
		Reason                  outcome.Reason
		Event                   json.RawMessage
	}
	made struct {
		Events, Deliveries, Enqueued, Remaining int
		DryRun                                  bool
		Next                                    string
	}
)

// look gets path, below the namespace, as the operator. The answer must have
// the status, and is put into into unless that is nil.
func (n *tenant) look(t *testing.T, path string, status int, into any) answer {
	t.Helper()
	return n.call(t, call{method: http.MethodGet, path: path, token: *operator}, status, into)
}

// order posts body to path, below the namespace, as the producer.
func (n *tenant) order(t *testing.T, path, body string, status int, into any) answer {
	t.Helper()
	return n.call(t, call{method: http.MethodPost, path: path, token: *producer, body: strings.NewReader(body)}, status, into)
}

func (n *tenant) call(t *testing.T, c call, status int, into any) answer {
	t.Helper()
	c.path = "/v1/namespaces/" + n.namespace + c.path
	a := n.send(t, c)
	if a.status != status {
		t.Fatalf("%s %s answers %d, want %d: %s", c.method, c.path, a.status, status, a.body)
	}
	if into != nil {
		unmarshal(t, a.body, into)
	}
	assertNoCredential(t, c.path, string(a.body))
	return a
}

// refused fails t unless the answer is this problem.
func (a answer) refused(t *testing.T, problem, remedy string) {
	t.Helper()
	if !strings.Contains(string(a.body), `/problems/`+problem+`"`) || !strings.Contains(string(a.body), remedy) {
		t.Errorf("the answer is %s, want %s and %q", a.body, problem, remedy)
	}
}

// logged waits until the attempt log of a webhook holds n attempts: it is
// written after the fact.
func (n *tenant) logged(t *testing.T, name string, count int) []attempt {
	t.Helper()
	var page attemptPage
	eventually.True(t, "the attempts in the log of "+name, func() bool {
		n.look(t, "/webhooks/"+name+"/deliveries?limit=200", 200, &page)
		return len(page.Items) >= count
	})
	return page.Items
}

// follow collects the items of all pages of a list.
func follow[T any](t *testing.T, n *tenant, path string) (all []T, pages int) {
	t.Helper()
	for before := ""; ; {
		var page struct {
			Items []T
			Next  string
		}
		n.look(t, path+before, 200, &page)
		all, pages = append(all, page.Items...), pages+1
		if page.Next == "" {
			return all, pages
		}
		before = "&before=" + page.Next
	}
}
