package natscluster_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/natscluster"
)

func TestAStreamOfThreeReplicasSurvivesTheDeathOfANode(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options natscluster.Options
	}{
		{"open to anyone", natscluster.Options{}},
		{"with a password and TLS", natscluster.Options{User: "dispatcher", Password: "correct horse", TLS: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := natscluster.Start(t, tt.options)
			js, err := jetstream.New(c.Connect(t))
			if err != nil {
				t.Fatal(err)
			}
			answered(t, "a stream", func(ctx context.Context) error {
				_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: 3})
				return err
			})
			publish(t, js, 10)

			dead := c.Leader(t, "S")
			c.Kill(t, dead)
			if leader := c.Leader(t, "S"); leader == dead {
				t.Errorf("node %d leads the stream, and it is dead", dead)
			}
			publish(t, js, 10)

			c.Restart(t, dead)
			c.WaitHealthy(t)
			c.Stop(t, (dead+1)%3) // so that the node that came back is needed
			publish(t, js, 10)
			var s jetstream.Stream
			answered(t, "the state of the stream", func(ctx context.Context) (err error) {
				s, err = js.Stream(ctx, "S")
				return err
			})
			if got := s.CachedInfo().State.Msgs; got != 30 {
				t.Errorf("the stream holds %d messages, want 30", got)
			}
		})
	}
}

// publish stores n messages. What is sent again has the same id, so it is not stored twice.
func publish(t *testing.T, js jetstream.JetStream, n int) {
	t.Helper()
	for range n {
		id := fmt.Sprint(time.Now().UnixNano())
		answered(t, "an acknowledgement", func(ctx context.Context) error {
			_, err := js.Publish(ctx, "s", []byte("x"), jetstream.WithMsgID(id))
			return err
		})
	}
}

// answered asks until an answer comes. While a leader is elected nobody
// answers, and while nodes settle their routes an answer can be lost.
func answered(t *testing.T, what string, ask func(context.Context) error) {
	t.Helper()
	eventually.True(t, what, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return ask(ctx) == nil
	})
}
