package egress

import (
	"bufio"
	"container/list"
	"errors"
	"math"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

var (
	// errUnanswered says that a connection that had been idle was closed before
	// anything of an answer came.
	errUnanswered = errors.New("the pooled connection was closed")
	errEndless    = errors.New("the header of the answer is too large")
)

var longAgo = time.Unix(1, 0)

// A fate is what is to become of a connection after an exchange.
type fate int

const (
	broken   fate = iota // the receiver is not to be trusted to read a farewell
	spent                // it has done its work
	reusable             // nothing of the exchange is left on it
)

// A conn is a connection of the short road. One attempt at a time has it.
type conn struct {
	net.Conn         // what HTTP is spoken over: TCP, or TLS over it
	to       origin  //
	tcp      tcp     // beneath
	used     bool    // for an exchange before
	left     int     // bytes that may still be read
	quietly  quietly // looks without waiting

	// While it is idle:
	since time.Time
	place *list.Element // in the pool
}

// tcp is what is wanted of a *net.TCPConn.
type tcp interface {
	net.Conn
	syscall.Conn
}

func newConn(to origin, plain, stream net.Conn) (*conn, error) {
	beneath, ok := plain.(tcp)
	if !ok {
		return nil, &failure{connecting, errors.Join(errors.New("not a TCP connection"), plain.Close())}
	}
	raw, err := beneath.SyscallConn()
	if err != nil {
		return nil, &failure{connecting, errors.Join(err, plain.Close())}
	}
	c := &conn{Conn: stream, to: to, tcp: beneath}
	c.quietly.raw = raw
	c.quietly.look = c.quietly.read
	return c, nil
}

// Read reads, within what may still be read.
func (c *conn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errEndless
	}
	n, err := c.Conn.Read(p)
	c.left -= n
	return n, err
}

// exchange sends a request and reads the answer. The deadline has been set.
func (c *conn) exchange(wire []byte, clock *stopwatch) (Response, fate, error) {
	_, unwritten := c.Write(wire)
	if unwritten != nil && timedOut(unwritten) {
		return Response{}, broken, &failure{waiting, unwritten}
	}
	// A receiver that closes while it is written to may have answered before:
	// the answer counts, and the reason is in it.
	br := takeReader(c)
	defer releaseReader(br)
	c.left = maxResponseHeader
	if _, err := br.Peek(1); err != nil {
		if c.used && !timedOut(err) {
			return Response{}, broken, errUnanswered
		}
		return Response{}, broken, &failure{waiting, errors.Join(err, unwritten)}
	}
	clock.firstByte()
	resp, err := c.response(br) //nolint:bodyclose // to close it would read the rest; the connection is closed instead
	if err != nil {
		return Response{}, broken, &failure{waiting, err}
	}
	c.left = math.MaxInt // the body has a bound of its own
	r, err := digest(resp)
	r.Reused = c.used
	c.used = true
	switch {
	case err != nil || unwritten != nil || r.Truncated || r.Status == http.StatusSwitchingProtocols:
		return r, broken, err
	case resp.Close || br.Buffered() > 0: // what nobody asked for would be taken for the next answer
		return r, spent, nil
	default:
		return r, reusable, nil
	}
}

// response reads the final response's head. Those of all informational ones
// before it share its bound.
func (*conn) response(br *bufio.Reader) (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, nil
		}
	}
}

// idle reports whether the receiver has neither closed the connection nor sent
// anything since the last answer.
func (c *conn) idle() bool {
	if c.to.secure {
		// With a deadline that is over, TLS gives what it has and reads no more.
		var one [1]byte
		if err := c.SetReadDeadline(longAgo); err != nil {
			return false
		}
		if _, err := c.Conn.Read(one[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
	}
	return c.quietly.nothing()
}

// end closes the connection.
func (c *conn) end(f fate) {
	if f == broken {
		c.abandon()
		return
	}
	_ = c.Close() // nothing was written that this could lose
}

// abandon closes the connection without a farewell of TLS, for which a receiver
// that does not read would make us wait.
func (c *conn) abandon() { _ = c.tcp.Close() } // likewise

// quietly looks at a socket without waiting.
type quietly struct {
	raw  syscall.RawConn
	look func(fd uintptr) // read, made once
	err  error
	one  [1]byte
}

func (q *quietly) read(fd uintptr) {
	n, err := syscall.Read(int(fd), q.one[:])
	if n > 0 {
		err = nil
	}
	q.err = err
}

// nothing reports whether the socket is open and has nothing to read. What it
// has instead is lost.
func (q *quietly) nothing() bool {
	err := q.raw.Control(q.look)
	return err == nil && errors.Is(q.err, syscall.EAGAIN)
}

// readers are shared, so that an idle connection holds none.
var readers = sync.Pool{New: func() any { return bufio.NewReader(nil) }}

func takeReader(c *conn) *bufio.Reader {
	br := readers.Get().(*bufio.Reader) //nolint:errcheck // the pool holds nothing else
	br.Reset(c)
	return br
}

func releaseReader(br *bufio.Reader) {
	br.Reset(nil)
	readers.Put(br)
}
