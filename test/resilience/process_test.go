// Package resilience_test kills, starves and stops a real dispatcher process
// and checks that nothing it accepted is lost.
package resilience_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/test/process"
)

func TestMain(m *testing.M) { os.Exit(process.Main(m)) }

// client is of its own, so that its connections end with the process.
var client = &http.Client{Timeout: 20 * time.Second}

// post posts one event and returns its webhook-id when it was accepted, or the
// status that refused it, or 0 when there was no answer.
func post(ctx context.Context, p *process.Dispatcher, id string, data []byte) (webhookID string, status int) {
	body, err := json.Marshal(map[string]any{"type": "x", "source": "/resilience", "id": id, "data": json.RawMessage(data)})
	if err != nil {
		return "", 0
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Events()+"/v1/namespaces/test/events", bytes.NewReader(body))
	if err != nil {
		return "", 0
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+process.ProducerToken)
	resp, err := client.Do(req)
	if err != nil {
		return "", 0
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		return "", resp.StatusCode
	}
	var answer struct {
		Events []struct{ WebhookID string }
	}
	// A 202 counts once its status has arrived; its body is cut only by a kill,
	// and then the id is posted again.
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || len(answer.Events) != 1 {
		return "", 0
	}
	return answer.Events[0].WebhookID, http.StatusAccepted
}

// get reads a page of the admin listener.
func get(t *testing.T, p *process.Dispatcher, path string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.Admin()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+process.OperatorToken)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func aRoute(url string) route.Route {
	return route.Route{
		ID: "test/hook", Generation: 1, Events: []string{"*"}, URL: url, Timeout: 5 * time.Second, Concurrency: 20,
		Retry: route.Retry{Backoff: slowly, MaxAge: time.Hour},
	}
}

// slowly is a schedule that outlasts a restart of the dispatcher.
var slowly = []time.Duration{
	300 * time.Millisecond, 300 * time.Millisecond, time.Second, time.Second, time.Second, 2 * time.Second,
	2 * time.Second, 2 * time.Second, 2 * time.Second, 2 * time.Second, 5 * time.Second, 5 * time.Second,
}
