package ingest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// Listen has server take connections from l that cost less than those of l, see
// [conn]. It returns what to serve on.
func Listen(server *http.Server, l net.Listener) net.Listener {
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}
	return listener{l}
}

type listener struct{ net.Listener }

// Accept implements [net.Listener].
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		return &conn{TCPConn: tcp}, err
	}
	return c, err
}

type connKey struct{}

// connOf is the connection that r came over, nil when it is not one of [Listen].
func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}

// A conn is a connection of a producer. For each request net/http sets some eight
// deadlines and, as soon as it has the body, has another goroutine read on, to
// notice a producer that leaves. Both cost more than to read the request. Here a
// deadline reaches the socket when something is read, and while an event is being
// stored, which ends soon and is not given up, nobody reads on.
type conn struct {
	*net.TCPConn

	mu       sync.Mutex
	deadline time.Time // to read
	armed    time.Time // the deadline of the socket
	reading  bool
	busy     bool // the next who reads on finds nothing
}

// SetDeadline implements [net.Conn].
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline implements [net.Conn].
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	if !c.reading {
		return nil
	}
	return c.arm()
}

func (c *conn) arm() error {
	if c.armed.Equal(c.deadline) {
		return nil
	}
	c.armed = c.deadline
	return c.TCPConn.SetReadDeadline(c.deadline)
}

// Read implements [net.Conn].
func (c *conn) Read(p []byte) (int, error) {
	if nothing, err := c.begin(len(p)); nothing || err != nil {
		return 0, err
	}
	n, err := c.TCPConn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = false
	return n, err
}

// begin prepares to read up to n bytes. Who reads on wants one, for anything more
// is buffered; it takes nothing for an answer, without an error.
func (c *conn) begin(n int) (nothing bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n == 1 && c.busy {
		c.busy = false
		return true, nil
	}
	if err := c.arm(); err != nil {
		return false, err
	}
	c.reading = true
	return false, nil
}

// occupy says that an event is going to be stored once it has been read, or that
// this is over.
func (c *conn) occupy(busy bool) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = busy
}

// left reports whether the producer has closed the connection.
func (c *conn) left() bool {
	if c == nil {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	var n int
	var failed error
	err = raw.Control(func(fd uintptr) {
		n, _, failed = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return err != nil || n <= 0 && !errors.Is(failed, syscall.EAGAIN)
}
