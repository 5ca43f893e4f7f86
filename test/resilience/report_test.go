package resilience_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/test/process"
)

// pending asks the dispatcher how many deliveries it owes.
func pending(t *testing.T, p *process.Dispatcher) int {
	t.Helper()
	status, body := get(t, p, "/report")
	if status != http.StatusOK {
		t.Fatalf("the report answers %d: %s", status, body)
	}
	var r outcome.Report
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, s := range r.Summaries {
		n += s.Pending
	}
	return n
}
