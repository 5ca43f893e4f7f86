package role

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postrider/postrider/test/bench/ledger"
	"github.com/postrider/postrider/test/bench/wire"
)

const (
	// answerPatience is how long after the end of a load its last answers may come.
	answerPatience = 30 * time.Second
	// refusedPause follows an event that was not accepted.
	refusedPause = 10 * time.Millisecond
)

// A generator posts events as a producer does.
type generator struct{ book *ledger.Ledger }

func (g *generator) run(o Load) (Tally, error) {
	limit := g.book.Len()
	if o.First >= limit {
		return Tally{}, fmt.Errorf("the ledger has room for %d events only", limit)
	}
	if o.Events > 0 {
		limit = min(limit, o.First+o.Events)
	}
	connections := make([]*connection, o.Connections)
	for i := range connections {
		connections[i] = newConnection(o)
	}
	began := time.Now()
	var p pace
	if o.Rate > 0 {
		p = newOpen(o, limit, began)
	} else {
		p = newClosed(g.book, o, limit, began)
	}
	s := shift{book: g.book, pace: p}
	var workers sync.WaitGroup
	for _, c := range connections {
		workers.Go(func() { s.work(c) })
	}
	workers.Wait()
	return Tally{
		Began: began, Next: p.end(),
		Accepted: int(s.accepted.Load()), Refused: int(s.refused.Load()), Failed: int(s.failed.Load()),
	}, nil
}

// A shift is one load being posted.
type shift struct {
	book                      *ledger.Ledger
	pace                      pace
	accepted, refused, failed atomic.Int64
}

func (s *shift) work(c *connection) {
	defer c.close()
	for {
		n, due, ok := s.pace.next()
		if !ok {
			return
		}
		c.letter.write(n, s.book.Group(n), due)
		began := time.Now()
		state, err := c.post()
		s.book.Post(n, state, time.Since(began))
		switch {
		case state == ledger.Accepted:
			s.accepted.Add(1)
			continue
		case err != nil:
			s.failed.Add(1)
		default:
			s.refused.Add(1)
		}
		s.pace.gone()
		time.Sleep(refusedPause)
	}
}

// A connection to who takes events, made when it is needed.
type connection struct {
	target   string
	deadline time.Time
	letter   *letter
	conn     *wire.Conn
}

func newConnection(o Load) *connection {
	head := func(length int) string {
		return fmt.Sprintf("POST /v1/namespaces/%s/events HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
			Namespace, o.Target, o.Token, length)
	}
	return &connection{target: o.Target, deadline: time.Now().Add(o.Duration + answerPatience), letter: newLetter(o.Size, head)}
}

// Namespace is where the events are posted to.
const Namespace = "bench"

// errBroken says that the fate of an event is not known.
var errBroken = errors.New("the connection broke")

func (c *connection) post() (ledger.State, error) {
	if c.conn == nil {
		dialer := net.Dialer{Deadline: c.deadline}
		conn, err := dialer.Dial("tcp", c.target)
		if err != nil {
			return ledger.Refused, fmt.Errorf("connecting: %w", err)
		}
		if err := conn.SetDeadline(c.deadline); err != nil {
			return ledger.Refused, errors.Join(err, conn.Close())
		}
		c.conn = wire.NewConn(conn)
	}
	if _, err := c.conn.Write(c.letter.text); err != nil {
		c.close()
		return ledger.Unanswered, errBroken
	}
	answer, err := c.conn.Receive()
	if err != nil {
		c.close()
		return ledger.Unanswered, errBroken
	}
	if answer.Status() != 202 {
		return ledger.Refused, nil
	}
	return ledger.Accepted, nil
}

func (c *connection) close() {
	if c.conn != nil {
		_ = c.conn.Close() // all answers are read
		c.conn = nil
	}
}
