// Package wire is as little HTTP/1.1 as the load generator and the receiver of
// a benchmark need. They share the machine with what is measured, so they must
// cost next to nothing: no allocation per message, one read and one write.
package wire

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
)

const (
	startSize  = 8 << 10
	maxMessage = 2 << 20 // head and body, in bytes
)

var headEnd = []byte("\r\n\r\n")

// A Conn reads messages from a connection, requests or responses. It is for one
// goroutine.
type Conn struct {
	net.Conn
	buffer     []byte
	begin, end int // of what was read and not returned yet
}

// NewConn makes a Conn of c.
func NewConn(c net.Conn) *Conn { return &Conn{Conn: c, buffer: make([]byte, startSize)} }

// A Message is a request or a response. It is valid until the next is received.
type Message struct {
	Start  []byte // the first line
	header []byte // the lines that follow it
	Body   []byte
}

// Receive returns the next message. Its body must have a Content-Length, if there is one.
func (c *Conn) Receive() (Message, error) {
	seen := 0 // bytes that hold no end of the head
	for {
		got := c.buffer[c.begin:c.end]
		if i := bytes.Index(got[seen:], headEnd); i >= 0 {
			return c.finish(seen + i)
		}
		seen = max(len(got)-len(headEnd)+1, 0)
		if err := c.fill(); err != nil {
			return Message{}, err
		}
	}
}

// finish returns the message whose head has length bytes, once its body is there.
func (c *Conn) finish(length int) (Message, error) {
	size, err := bodySize(c.buffer[c.begin : c.begin+length])
	if err != nil {
		return Message{}, err
	}
	whole := length + len(headEnd) + size
	if whole > maxMessage {
		return Message{}, fmt.Errorf("a message has %d bytes, more than %d", whole, maxMessage)
	}
	for c.end-c.begin < whole {
		if err := c.fill(); err != nil {
			return Message{}, err
		}
	}
	all := c.buffer[c.begin : c.begin+whole]
	if c.begin += whole; c.begin == c.end {
		c.begin, c.end = 0, 0 // what all refers to stays as it is until the next fill
	}
	start, header, _ := bytes.Cut(all[:length], []byte("\r\n"))
	return Message{Start: start, header: header, Body: all[length+len(headEnd):]}, nil
}

// fill reads once, and makes room before that where there is none.
func (c *Conn) fill() error {
	if c.end == len(c.buffer) {
		if c.begin == 0 {
			if len(c.buffer) >= maxMessage {
				return fmt.Errorf("a message has more than %d bytes", maxMessage)
			}
			c.buffer = append(c.buffer, make([]byte, len(c.buffer))...)
		} else {
			c.end = copy(c.buffer, c.buffer[c.begin:c.end])
			c.begin = 0
		}
	}
	n, err := c.Read(c.buffer[c.end:])
	c.end += n
	if n > 0 {
		return nil
	}
	return err
}

func bodySize(head []byte) (int, error) {
	_, header, _ := bytes.Cut(head, []byte("\r\n"))
	m := Message{header: header}
	if v := m.Header("Content-Length"); v != nil {
		n, err := strconv.Atoi(string(v))
		if err != nil || n < 0 {
			return 0, errors.New("the Content-Length of a message is no number")
		}
		return n, nil
	}
	if m.Header("Transfer-Encoding") != nil {
		return 0, errors.New("a message has a Transfer-Encoding, which the benchmark does not read: it needs a Content-Length")
	}
	return 0, nil
}

// Header returns the value of the header with that name, nil when there is none.
func (m Message) Header(name string) []byte {
	for rest := m.header; len(rest) > 0; {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		if len(line) > len(name) && line[len(name)] == ':' && bytes.EqualFold(line[:len(name)], []byte(name)) {
			return bytes.TrimSpace(line[len(name)+1:])
		}
	}
	return nil
}

// Path is the target of a request.
func (m Message) Path() []byte {
	_, rest, _ := bytes.Cut(m.Start, []byte(" "))
	path, _, _ := bytes.Cut(rest, []byte(" "))
	return path
}

// Status is the status of a response, 0 when it has none.
func (m Message) Status() int {
	_, rest, _ := bytes.Cut(m.Start, []byte(" "))
	text, _, _ := bytes.Cut(rest, []byte(" "))
	n, err := strconv.Atoi(string(text))
	if err != nil {
		return 0
	}
	return n
}
