package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/postrider/postrider/test/e2e/seen"
)

// How a stream flows: writers post one event each, pause and go on.
const (
	streamWriters = 4
	streamPause   = 50 * time.Millisecond // so about 80 events in a second
	retryPause    = 200 * time.Millisecond
)

// stream posts event after event until it is ended.
type stream struct {
	producer         *producer
	namespace, token string
	stopping         chan struct{}
	writers          sync.WaitGroup

	mu       sync.Mutex
	result   seen.Stream
	accepted time.Time // the last time
}

func newStream(p *producer, namespace, token string) *stream {
	s := &stream{producer: p, namespace: namespace, token: token, stopping: make(chan struct{}), accepted: time.Now()}
	for range streamWriters {
		s.writers.Go(s.write)
	}
	return s
}

// end returns what became of the stream, once its last events are accepted.
func (s *stream) end() seen.Stream {
	close(s.stopping)
	s.writers.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.result
}

func (s *stream) write() {
	for {
		select {
		case <-s.stopping:
			return
		case <-time.After(streamPause):
			s.postUntilAccepted(fmt.Sprintf(`{"id": %q, "source": "https://stream.example", "type": "stream.event", "data": {}}`, rand.Text()))
		}
	}
}

// postUntilAccepted repeats an event as it is, as a producer should: what was
// accepted although the answer got lost is recognised.
func (s *stream) postUntilAccepted(event string) {
	for {
		got, err := s.producer.post(context.Background(), s.namespace, s.token, []byte(event))
		var accepted struct{ Events []struct{ WebhookID string } }
		if err == nil && got.Status == http.StatusAccepted && json.Unmarshal([]byte(got.Body), &accepted) == nil && len(accepted.Events) == 1 {
			s.note(accepted.Events[0].WebhookID)
			return
		}
		s.producer.log.Warn("not accepted", "error", err, "status", got.Status, "answer", got.Body)
		s.mu.Lock()
		s.result.Refused++
		s.mu.Unlock()
		time.Sleep(retryPause)
	}
}

func (s *stream) note(webhookID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.result.LongestWait = max(s.result.LongestWait, now.Sub(s.accepted))
	s.accepted = now
	s.result.Accepted = append(s.result.Accepted, webhookID)
}
