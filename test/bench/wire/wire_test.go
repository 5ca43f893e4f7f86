package wire_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/postrider/postrider/test/bench/wire"
)

// send writes each text on its own to one end of a pipe, whose other end it returns.
func send(t *testing.T, texts ...string) *wire.Conn {
	t.Helper()
	there, here := net.Pipe()
	t.Cleanup(func() { _ = here.Close() }) // ends the goroutine below
	go func() {
		for _, text := range texts {
			if _, err := there.Write([]byte(text)); err != nil {
				return // the test has seen enough
			}
		}
		_ = there.Close() // there is nobody to tell
	}()
	return wire.NewConn(here)
}

func TestMessagesAreReadHoweverTheyAreCut(t *testing.T) {
	body := strings.Repeat("x", 20_000) // more than the first buffer
	first := fmt.Sprintf("POST /r/7 HTTP/1.1\r\nHost: a\r\ncontent-length: %d\r\nWebhook-Id:  msg_1 \r\n\r\n%s", len(body), body)
	second := "HTTP/1.1 202 Accepted\r\n\r\n"
	all := first + second
	for _, parts := range [][]string{
		{all},
		{first, second},
		{all[:1], all[1:20], all[20:]},
		{all[:len(first)-len(body)-2], all[len(first)-len(body)-2 : len(first)+3], all[len(first)+3:]},
	} {
		c := send(t, parts...)
		m, err := c.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Path()) != "/r/7" || string(m.Body) != body || string(m.Header("webhook-id")) != "msg_1" || m.Header("webhook") != nil {
			t.Errorf("%q, %d bytes, %q", m.Start, len(m.Body), m.Header("webhook-id"))
		}
		if m, err = c.Receive(); err != nil || m.Status() != 202 || len(m.Body) != 0 {
			t.Errorf("%q, %v", m.Start, err)
		}
		if _, err = c.Receive(); err == nil {
			t.Error("no error at the end")
		}
	}
}

func TestAMessageThatCannotBeReadIsAnError(t *testing.T) {
	for _, text := range []string{
		"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n",
		"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab",
		"POST / HTTP/1.1\r\nA: " + strings.Repeat("a", 3<<20),
	} {
		if _, err := send(t, text).Receive(); err == nil {
			t.Errorf("%.60q: no error", text)
		}
	}
}
