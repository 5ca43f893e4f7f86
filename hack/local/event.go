package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/postrider/postrider/hack/local/receiver"
)

// sampleEvent is what a content management system posts when an item was
// added, as Sitecore documents it.
//
//go:embed event.json
var sampleEvent []byte

// story is what happened to the first event.
type story struct {
	url       string // where it was posted
	tokenFile string
	eventFile string
	answer    string // of the dispatcher
	webhookID string
	took      time.Duration // from the post to the delivery
	delivery  receiver.Delivery
	others    []receiver.Delivery // what else the receiver got meanwhile
	webhooks  string              // as kubectl shows them
}

// postEvent posts the sample event as a producer would and waits until the
// receiver has it and the statuses say so.
func (l *local) postEvent(ctx context.Context) error {
	token, err := l.token(ctx, samplesNamespace, sampleProducer, audience)
	if err != nil {
		return err
	}
	s := &l.story
	s.url = "http://" + l.ports.address(portEvents) + "/v1/namespaces/" + samplesNamespace + "/events"
	if s.tokenFile, err = l.state.write("producer.token", token); err != nil {
		return err
	}
	if s.eventFile, err = l.state.write("event.json", string(sampleEvent)); err != nil {
		return err
	}

	posted := time.Now()
	if err := s.post(ctx, token); err != nil {
		return err
	}
	if err := l.awaitDelivery(ctx, posted); err != nil {
		return err
	}
	return l.awaitStatuses(ctx, posted)
}

func (s *story) post(ctx context.Context, token string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(sampleEvent))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("posting the sample event: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("reading the answer to the sample event: %w", err)
	}
	s.answer = resp.Status + "\n" + pretty(body)
	var accepted struct{ Events []struct{ WebhookID string } }
	if resp.StatusCode != http.StatusAccepted || json.Unmarshal(body, &accepted) != nil || len(accepted.Events) != 1 {
		return fmt.Errorf("the dispatcher did not accept the sample event: %s", s.answer)
	}
	s.webhookID = accepted.Events[0].WebhookID
	return nil
}

// awaitDelivery returns when the receiver has taken the event.
func (l *local) awaitDelivery(ctx context.Context, posted time.Time) error {
	const patience, maxOthers = 15 * time.Second, 100
	late := time.After(patience)
	for {
		select {
		case d := <-l.deliveries:
			if !d.Taken() || d.Header.Get("Webhook-Id") != l.story.webhookID {
				if len(l.story.others) < maxOthers {
					l.story.others = append(l.story.others, d)
				}
				continue
			}
			l.story.delivery, l.story.took = d, d.Time.Sub(posted)
			return nil
		case <-late:
			return l.inLog("dispatcher", fmt.Errorf("the sample event was not delivered within %s; if you have changed the samples, \"make clean\" starts afresh", patience))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// awaitStatuses returns when each sample Webhook names an attempt that is not older
// than the event, as the operator has written it.
func (l *local) awaitStatuses(ctx context.Context, posted time.Time) error {
	posted = posted.Truncate(time.Second) // as statuses have it
	get := append([]string{"get", "webhooks", "-o", `jsonpath={range .items[*]}{.metadata.name}={.status.lastDelivery.time}{"\n"}{end}`}, sampleWebhooks...)
	return l.waitFor(ctx, "manager", 15*time.Second, func(ctx context.Context) error {
		times, err := l.kubectl(ctx, get...)
		if err != nil {
			return err
		}
		for line := range strings.Lines(times) {
			name, last, _ := strings.Cut(strings.TrimSpace(line), "=")
			if at, err := time.Parse(time.RFC3339, last); err != nil || at.Before(posted) {
				return fmt.Errorf("the status of webhook %s does not show the delivery", name)
			}
		}
		l.story.webhooks, err = l.kubectl(ctx, "get", "webhooks")
		return err
	})
}

// pretty indents JSON and returns anything else as it is.
func pretty(body []byte) string {
	var out bytes.Buffer
	if json.Indent(&out, body, "", "  ") != nil {
		return string(body)
	}
	return strings.TrimSpace(out.String())
}
