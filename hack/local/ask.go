package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// question is what an operator asked about a webhook, and the answer.
type question struct {
	webhook   string // its URL at the dispatcher
	tokenFile string
	answer    string
}

// askWhy has the sample Webhook that fails tested, as its operator would.
func (l *local) askWhy(ctx context.Context) error {
	token, err := l.token(ctx, samplesNamespace, sampleOperator, audience)
	if err != nil {
		return err
	}
	q := &l.question
	if q.tokenFile, err = l.state.write("operator.token", token); err != nil {
		return err
	}
	q.webhook = "http://" + l.ports.address(portEvents) + "/v1/namespaces/" + samplesNamespace + "/webhooks/" + sampleFailing
	return q.test(ctx, token)
}

func (q *question) test(ctx context.Context, token string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, q.webhook+"/test", http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{Timeout: 90 * time.Second} // longer than any attempt
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("testing a sample webhook: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("reading the answer to the test: %w", err)
	}
	var tested struct{ Explanation string }
	if resp.StatusCode != http.StatusOK || json.Unmarshal(body, &tested) != nil || tested.Explanation == "" {
		return fmt.Errorf("the dispatcher did not test the sample webhook: %s\n%s", resp.Status, pretty(body))
	}
	q.answer = tested.Explanation
	return nil
}
