package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A pullRequest asks a consumer for messages (NATS ADR-13).
type pullRequest struct {
	Batch     int           `json:"batch"`
	NoWait    bool          `json:"no_wait,omitempty"`
	Expires   time.Duration `json:"expires,omitempty"`
	Heartbeat time.Duration `json:"idle_heartbeat,omitempty"`
}

func (r pullRequest) encode() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic("queue: " + err.Error()) // it has no field that could fail
	}
	return b
}

func subjectOfPull(stream, consumer string) string {
	return api + "CONSUMER.MSG.NEXT." + stream + "." + consumer
}

// What a message without data may say instead.
const (
	statusHeartbeat = "100"
	statusEnd       = "204" // that was all
	statusNone      = "404" // there is nothing now
	statusExpired   = "408"
	statusNobody    = "503" // there is no such consumer, or no leader of it
)

// statusOf is the status that msg carries, empty for one that was stored.
func statusOf(msg *nats.Msg) string {
	if len(msg.Data) > 0 || msg.Header == nil {
		return ""
	}
	return msg.Header.Get("Status")
}

// sequenceOf is where a message that a consumer brought is in its stream.
func sequenceOf(msg *nats.Msg) uint64 {
	meta, err := msg.Metadata()
	if err != nil {
		return 0
	}
	return meta.Sequence.Stream
}

// scanWait bounds the wait for the next message of a scan.
const scanWait = 10 * time.Second

// scan hands what s holds at this moment to visit, a few messages at a time.
func (q *Queue) scan(ctx context.Context, s jetstream.Stream, cfg jetstream.ConsumerConfig, few int, visit func(*nats.Msg) error) error {
	stream := s.CachedInfo().Config.Name
	if err := q.scanAll(ctx, s, cfg, few, visit); err != nil {
		return fmt.Errorf("reading %s: %w", stream, err)
	}
	return nil
}

func (q *Queue) scanAll(ctx context.Context, s jetstream.Stream, cfg jetstream.ConsumerConfig, few int, visit func(*nats.Msg) error) error {
	cfg.AckPolicy, cfg.MemoryStorage, cfg.Replicas, cfg.InactiveThreshold = jetstream.AckNonePolicy, true, 1, time.Minute
	c, err := s.CreateConsumer(ctx, cfg)
	if err != nil {
		return err
	}
	info := c.CachedInfo()
	defer func() {
		gone, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		_ = s.DeleteConsumer(gone, info.Name) // else it expires
	}()
	inbox := q.nc.NewInbox()
	sub, err := q.nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	next, request := subjectOfPull(info.Stream, info.Name), pullRequest{Batch: few, NoWait: true}.encode()
	for {
		if err := q.nc.PublishRequest(next, inbox, request); err != nil {
			return err
		}
		for range few {
			msg, err := nextOf(ctx, sub)
			if err != nil {
				return err
			}
			switch status := statusOf(msg); status {
			case "":
			case statusNone, statusExpired:
				return nil
			default:
				return errors.New("the consumer answered " + strings.TrimSpace(status+" "+msg.Header.Get("Description")))
			}
			if err := visit(msg); err != nil {
				return err
			}
		}
	}
}

func nextOf(ctx context.Context, sub *nats.Subscription) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, scanWait)
	defer cancel()
	return sub.NextMsgWithContext(ctx)
}
