package role

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/postrider/postrider/test/bench/ledger"
	"github.com/postrider/postrider/test/bench/wire"
)

// lookEvery is of how many events one has its signatures verified: all of
// them would make the receiver as busy as the sender.
const lookEvery = 256

// A receiver is all the receivers, each at an address of its own, as those of
// real webhooks are.
type receiver struct {
	book      *ledger.Ledger
	conduct   atomic.Pointer[conduct]
	addresses []string
}

// A conduct is one that is in force until it is over.
type conduct struct {
	Conduct
	over chan struct{}
}

// behave changes the conduct; the first call opens the receivers.
func (r *receiver) behave(c Conduct) ([]string, error) {
	if before := r.conduct.Swap(&conduct{Conduct: c, over: make(chan struct{})}); before != nil {
		close(before.over)
	}
	for i := len(r.addresses); i < int(r.book.Receivers); i++ {
		// 127.0.0.0/8 is loopback, all of it.
		l, err := net.Listen("tcp", fmt.Sprintf("127.1.%d.%d:0", i/250, i%250+1)) //nolint:noctx // at once or not at all
		if err != nil {
			return nil, fmt.Errorf("listening as a receiver: %w", err)
		}
		r.addresses = append(r.addresses, l.Addr().String())
		go r.listen(l)
	}
	return r.addresses, nil
}

// listen serves until the process ends.
func (r *receiver) listen(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			time.Sleep(10 * time.Millisecond) // too many connections are open
			continue
		}
		go r.serve(conn)
	}
}

func (r *receiver) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }() // who has gone misses nothing
	c := wire.NewConn(conn)
	for {
		m, err := c.Receive()
		if err != nil {
			if _, broken := errors.AsType[*net.OpError](err); !broken && !errors.Is(err, io.EOF) {
				r.book.Stray() // it does not speak HTTP as we know it
			}
			return
		}
		conduct := r.conduct.Load()
		answer := r.receive(m, conduct)
		if answer == nil { // the dead do not even hang up, until they are restarted
			<-conduct.over
			return
		}
		if _, err := conn.Write(answer); err != nil {
			return // it did not want to know
		}
	}
}

var (
	answerOK    = []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	answerStray = []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
)

// answerLater refuses one delivery until then. 503 would speak of the receiver,
// which would be left alone altogether for a while.
func answerLater(at time.Time) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 500 Internal Server Error\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n", at.UTC().Format(http.TimeFormat))
}

// receive writes a request down and returns the answer, nil when there is none.
func (r *receiver) receive(m wire.Message, conduct *conduct) []byte {
	now := time.Now()
	n, due, ok := readMark(m.Body)
	number, isRoute := bytes.CutPrefix(m.Path(), []byte(pathPrefix))
	route, err := strconv.Atoi(string(number))
	if !ok || !isRoute || err != nil {
		r.book.Stray()
		return answerStray
	}
	if conduct.IsDead(route) {
		return nil
	}
	if n%lookEvery == 0 && verify(m, route) != nil {
		r.book.Forged()
	}
	if now.Before(conduct.RefuseUntil) && conduct.Refuses(n, r.book.Groups(), route) {
		r.book.Refuse(n, route)
		return answerLater(conduct.RefuseUntil)
	}
	r.book.Deliver(n, route, now, now.Sub(due))
	return answerOK
}

// verify checks the signature with the library that receivers use.
func verify(m wire.Message, route int) error {
	webhook, err := standardwebhooks.NewWebhookRaw(Key(route))
	if err != nil {
		return err
	}
	header := http.Header{}
	for _, name := range []string{standardwebhooks.HeaderWebhookID, standardwebhooks.HeaderWebhookTimestamp, standardwebhooks.HeaderWebhookSignature} {
		header.Set(name, string(m.Header(name)))
	}
	return webhook.Verify(m.Body, header)
}
