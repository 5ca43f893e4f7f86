package role

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postrider/postrider/test/bench/ledger"
)

// A client is the bare client: it signs and posts, and that is all. Nothing
// comes in, so what it spends is what deliveries cost with net/http at the least.
type client struct {
	book   *ledger.Ledger
	sender *sender // with its connections, from one stint to the next
}

func (c *client) run(o Stint) (Tally, error) {
	if c.sender == nil {
		c.sender = newSender(o.Receivers, int(c.book.Routes))
	}
	began := time.Now()
	var next, sent atomic.Int64
	next.Store(int64(o.First))
	failed := make(chan error, o.Connections)
	var workers sync.WaitGroup
	for range o.Connections {
		workers.Go(func() {
			l := newLetter(o.Size, func(int) string { return "" })
			for time.Since(began) < o.Duration {
				n := int(next.Add(1)) - 1
				if n >= c.book.Len() {
					return
				}
				if err := c.send(l, n); err != nil {
					failed <- err
					return
				}
				sent.Add(1)
			}
		})
	}
	workers.Wait()
	select {
	case err := <-failed:
		return Tally{}, fmt.Errorf("sending: %w", err)
	default:
	}
	return Tally{Began: began, Next: min(int(next.Load()), c.book.Len()), Accepted: int(sent.Load())}, nil
}

// send sends event n to each of its routes, each event beginning with another:
// else all workers would call on the same receiver at once.
func (c *client) send(l *letter, n int) error {
	began := time.Now()
	l.write(n, c.book.Group(n), began)
	first, fanout := c.book.First(n), int(c.book.Fanout)
	for i := range fanout {
		route := first + (n+i)%fanout
		if err := c.sender.send(context.Background(), route, "msg_"+strconv.Itoa(n), l.event()); err != nil {
			return err
		}
	}
	c.book.Post(n, ledger.Accepted, time.Since(began))
	return nil
}
