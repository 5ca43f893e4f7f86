package resilience_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/postrider/postrider/test/process"
)

// client is of its own, so that its connections end with the process.
var client = &http.Client{
	Timeout:   20 * time.Second,
	Transport: &http.Transport{MaxIdleConnsPerHost: 64},
}

// post posts one event to a dispatcher and returns its webhook-id when it was
// accepted, or the status that refused it, or 0 when there was no answer.
func post(ctx context.Context, events, kind, id string, data []byte) (webhookID string, status int) {
	body, err := json.Marshal(map[string]any{"type": kind, "source": "/resilience", "id": id, "data": json.RawMessage(data)})
	if err != nil {
		return "", 0
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, events+"/v1/namespaces/test/events", bytes.NewReader(body))
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

// producers post events with ids of their own, one after the other each. What
// got no 202 is posted again with the same id, as careful producers do.
type producers struct {
	ledger *ledger
	events func() string // the dispatcher to post to now
	name   string        // begins their ids, so that several groups differ
	kinds  []string      // types, in turn; empty = "x"
	each   int           // events of one producer; 0 = until stop
	stop   <-chan struct{}
	every  time.Duration // pause of a producer after an event
	// hasty producers now and then do not wait for the answer and post the same
	// event again, or post once more what was accepted.
	hasty bool
}

// run returns when n producers have finished.
func (p producers) run(ctx context.Context, n int) {
	if len(p.kinds) == 0 {
		p.kinds = []string{"x"}
	}
	var all sync.WaitGroup
	for producer := range n {
		all.Go(func() {
			for i := 0; (p.each == 0 || i < p.each) && !p.over(ctx); i++ {
				p.one(ctx, fmt.Sprintf("%s%d-%d", p.name, producer, i), p.kinds[i%len(p.kinds)])
				pause(p.every, p.stop)
			}
		})
	}
	all.Wait()
}

func (p producers) over(ctx context.Context) bool {
	select {
	case <-p.stop:
		return true
	default:
		return ctx.Err() != nil
	}
}

// one posts one event until it is accepted.
func (p producers) one(ctx context.Context, id, kind string) {
	promise := p.ledger.begin(kind)
	for !p.over(ctx) {
		webhookID, status := p.try(ctx, id, kind)
		if status == http.StatusAccepted {
			p.ledger.accept(promise, webhookID)
			if p.hasty && rand.IntN(20) == 0 { //nolint:gosec // any event will do
				p.try(ctx, id, kind)
			}
			return
		}
		pause(5*time.Millisecond, p.stop)
	}
}

func (p producers) try(ctx context.Context, id, kind string) (webhookID string, status int) {
	if p.hasty && rand.IntN(20) == 0 { //nolint:gosec // likewise
		var leave context.CancelFunc
		ctx, leave = context.WithTimeout(ctx, time.Duration(rand.IntN(3000))*time.Microsecond) //nolint:gosec // likewise
		defer leave()
	}
	return post(ctx, p.events(), kind, id, []byte(`{"n":1}`))
}
