package resilience_test

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

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

// deadLetters is how many dead letters the dispatcher keeps, by route.
func deadLetters(tb testing.TB, p *process.Dispatcher) map[string]int {
	tb.Helper()
	dead := map[string]int{}
	r, _ := ask(tb, p)
	for _, s := range r.Summaries {
		dead[s.Route] = s.DeadLetters
	}
	return dead
}

// get reads a page of the admin listener; the status is 0 when there is no answer.
func get(tb testing.TB, p *process.Dispatcher, path string) (status int, body string) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, p.Admin()+path, http.NoBody)
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
