package queue

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// api is where JetStream takes calls.
const api = jetstream.DefaultAPIPrefix

// ask makes a call of JetStream that nats.go does not offer as it is needed
// here, and reads the answer. What the server refuses is a [*jetstream.APIError].
func ask(ctx context.Context, nc *nats.Conn, msg *nats.Msg, answer any) error {
	reply, err := nc.RequestMsgWithContext(ctx, msg)
	if err != nil {
		return err
	}
	var refusal struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &refusal); err != nil {
		return fmt.Errorf("reading the answer of the store: %w", err)
	}
	if refusal.Error != nil {
		return refusal.Error
	}
	if err := json.Unmarshal(reply.Data, answer); err != nil {
		return fmt.Errorf("reading the answer of the store: %w", err)
	}
	return nil
}
