package resilience_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/process"
)

// A report is what a dispatcher says of itself, as far as the tests need it.
type report struct {
	Digest    string
	Counted   bool
	Summaries []struct {
		Route                        string
		Pending, Stored, DeadLetters int
	}
}

// ask reads the report of a dispatcher. ok is false when it does not answer.
func ask(tb testing.TB, p *process.Dispatcher) (r report, ok bool) {
	tb.Helper()
	status, body := get(tb, p, "/report")
	if status == 0 {
		return r, false
	}
	if status != http.StatusOK {
		tb.Fatalf("the report answers %d: %s", status, body)
	}
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		tb.Fatal(err)
	}
	return r, true
}

// pending is how many deliveries the dispatcher owes, all routes together, or
// -1 while that is not known.
func pending(tb testing.TB, p *process.Dispatcher) (n int) {
	tb.Helper()
	r, ok := ask(tb, p)
	if !ok || !r.Counted {
		return -1
	}
	for _, s := range r.Summaries {
		n += s.Pending + s.Stored
	}
	return n
}

// Letters are the webhook-ids of the dead letters that a dispatcher keeps, by route.
type letters map[string]map[string]bool

// deadLetters lists the dead letters that the dispatcher keeps of the routes in the ledger.
func deadLetters(tb testing.TB, p *process.Dispatcher, l *ledger) letters {
	tb.Helper()
	dead := letters{}
	for route := range l.balances() {
		dead[route] = deadLettersOf(tb, p, route)
	}
	return dead
}

// deadLettersOf reads the list of a route, page by page.
func deadLettersOf(tb testing.TB, p *process.Dispatcher, route string) map[string]bool {
	tb.Helper()
	namespace, name, _ := strings.Cut(route, "/")
	list := p.Events() + "/v1/namespaces/" + namespace + "/webhooks/" + name + "/dead-letters?limit=200"
	ids := map[string]bool{}
	for before := ""; ; {
		status, body := getURL(tb, list+before)
		// A cluster may be between two leaders, and a webhook has to be in the table.
		if status == http.StatusServiceUnavailable || status == http.StatusNotFound {
			eventually.True(tb, "the dead letters of "+route, func() bool {
				status, body = getURL(tb, list+before)
				return status == http.StatusOK
			})
		}
		if status != http.StatusOK {
			tb.Fatalf("the dead letters of %s: %d %s", route, status, body)
		}
		var page struct {
			Items []struct{ WebhookID string }
			Next  string
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			tb.Fatal(err)
		}
		for _, it := range page.Items {
			ids[it.WebhookID] = true
		}
		if page.Next == "" {
			return ids
		}
		before = "&before=" + url.QueryEscape(page.Next)
	}
}

// get reads a page of the admin listener; the status is 0 when there is no answer.
func get(tb testing.TB, p *process.Dispatcher, path string) (status int, body string) {
	tb.Helper()
	return getURL(tb, p.Admin()+path)
}

func getURL(tb testing.TB, address string) (status int, body string) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+process.OperatorToken)
	resp, err := client.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, ""
	}
	return resp.StatusCode, string(b)
}
