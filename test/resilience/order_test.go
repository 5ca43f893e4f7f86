package resilience_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/process"
	"github.com/postrider/postrider/test/receiver"
)

// A sequence is a receiver that knows in which order the events of each key
// were posted: those of a key are numbered from 1 on. It answers well or badly,
// as the dice fall.
type sequence struct {
	mu        sync.Mutex
	dice      *rand.Rand
	healed    bool
	delivered map[string]int // by key, up to which number all were taken
	again     int
	wrongs    []string
}

func (s *sequence) answer(w http.ResponseWriter, req *http.Request) {
	var e struct {
		Data struct {
			Key string
			N   int
		}
	}
	if err := json.NewDecoder(req.Body).Decode(&e); err != nil {
		panic(err)
	}
	s.take(e.Data.Key, e.Data.N)(w, req)
}

// take notes that the n-th of a key has come, and says how to answer.
func (s *sequence) take(key string, n int) http.HandlerFunc {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.delivered[key]
	if n > before+1 {
		s.wrongs = append(s.wrongs, fmt.Sprintf("%d of %s came before %d was delivered", n, key, before+1))
	}
	if roll := s.dice.IntN(100); !s.healed && roll < 20 {
		switch {
		case roll < 2:
			return receiver.Hang(nil, nil)
		case roll < 4:
			return receiver.HangUp
		default:
			return down.reply
		}
	}
	if n <= before {
		s.again++
	}
	s.delivered[key] = max(before, n)
	return well.reply
}

func (s *sequence) taken() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, upTo := range s.delivered {
		n += upTo
	}
	return n
}

func (s *sequence) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.healed = true
}

func TestDeliveriesWithAKeyKeepTheirOrderWhateverHappens(t *testing.T) {
	t.Parallel()
	dice := newDice(t)
	s := &sequence{dice: rand.New(rand.NewPCG(dice.Uint64(), 0)), delivered: map[string]int{}} //nolint:gosec // which answers fail is no secret
	kit := receiver.New(t, receiver.Options{IDsOnly: true})
	kit.On("/", s.answer)
	p := process.New(t, process.Options{Routes: []route.Route{anOrderedRoute(kit.URL("/"))}})
	p.Start(t)

	const keys = 12
	end := time.Now().Add(duration(t, 6*time.Second))
	stop := make(chan struct{})
	posted := make([]int, keys)
	var producing sync.WaitGroup
	for k := range keys {
		producing.Go(func() {
			posted[k] = count(t.Context(), p.Events, fmt.Sprint("key-", k), stop, time.Duration(k)*5*time.Millisecond)
		})
	}
	for time.Now().Before(end) {
		pause(time.Duration(300+dice.IntN(1500))*time.Millisecond, nil)
		if dice.IntN(3) == 0 {
			p.Signal(t, syscall.SIGTERM)
		} else {
			p.Kill(t)
		}
		p.Start(t)
	}
	close(stop)
	producing.Wait()
	s.heal()

	total := 0
	for _, n := range posted {
		total += n
	}
	eventually.True(t, "every event of every key to be delivered", func() bool { return s.taken() >= total })
	eventually.True(t, "nothing to be pending", func() bool { return pending(t, p) == 0 })
	s.report(t, total, keys)
}

// report fails the test where an event of a key came before its turn.
func (s *sequence) report(t *testing.T, total, keys int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, wrong := range s.wrongs {
		if i < 20 {
			t.Error(wrong)
		}
	}
	t.Logf("%d events of %d keys; %d came again", total, keys, s.again)
}

// anOrderedRoute is a route by the key of the events that tries again soon.
func anOrderedRoute(url string) route.Route {
	r := aRoute(hook, url)
	r.OrderingKey = "event.data.key"
	r.Timeout = 300 * time.Millisecond
	r.Breaker = route.Breaker{Failures: 8, OpenFor: 300 * time.Millisecond}
	r.Retry.Backoff = r.Retry.Backoff[:0]
	for range 50 {
		r.Retry.Backoff = append(r.Retry.Backoff, 200*time.Millisecond)
	}
	return r
}

// count posts events of a key until it is to stop, numbered from 1 on, and
// returns how many. The next one is posted when the one before it was accepted.
func count(ctx context.Context, events func() string, key string, stop <-chan struct{}, every time.Duration) (n int) {
	for !closed(stop) && ctx.Err() == nil {
		n++
		data := fmt.Appendf(nil, `{"key":%q,"n":%d}`, key, n)
		for status := 0; status != http.StatusAccepted && ctx.Err() == nil; {
			if _, status = post(ctx, events(), "x", fmt.Sprint(key, "-", n), data); status != http.StatusAccepted {
				pause(5*time.Millisecond, nil)
			}
		}
		pause(every, nil)
	}
	return n
}

func closed(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}
