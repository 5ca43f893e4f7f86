package egress_test

import (
	"bufio"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"

	"github.com/postrider/postrider/dispatcher/egress"
)

// Sequential, so that nothing else allocates meanwhile.
func TestAnIdleConnectionHoldsNoBuffers(t *testing.T) {
	const (
		connections = 200
		most        = 4 << 10 // bytes of a connection, its other end included
	)
	c := newClient(t, egress.Options{Allow: loopback})
	url := together(t, connections)
	before := heap()
	var sent sync.WaitGroup
	for range connections {
		sent.Go(func() {
			if _, err := send(t, c, url, long); err != nil {
				t.Error(err)
			}
		})
	}
	sent.Wait()
	if idle := c.Idle(); idle != connections {
		t.Fatalf("%d connections are idle, want %d", idle, connections)
	}
	each := (heap() - before) / connections
	t.Logf("%d bytes for each of %d connections", each, connections)
	if each > most {
		t.Errorf("an idle connection takes %d bytes, the bound is %d", each, most)
	}
}

func TestASmallRequestDoesNotWaitInTheBufferOfALargeOne(t *testing.T) {
	t.Parallel()
	for _, body := range []int{64 << 10, 9 << 10, 64 << 10} { // they leave theirs
		egress.BufferOf(body)
		if size := egress.BufferOf(1 << 10); size > 16<<10 {
			t.Errorf("after requests of %d bytes one of 1 KiB has a buffer of %d", body, size)
		}
	}
}

// heap is how many bytes are in use when what can go has gone: what pools keep
// goes at the second collection.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// together is a receiver that answers when so many requests have come, on a
// connection each, and then holds as little as it can.
func together(t *testing.T, connections int) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is at once
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		conns := make([]net.Conn, 0, connections)
		for range connections {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, conn)
			t.Cleanup(func() { _ = conn.Close() })
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
				t.Error(err)
			}
		}
		for _, conn := range conns {
			if _, err := conn.Write([]byte("HTTP/1.1 204 No Content\r\n\r\n")); err != nil {
				t.Error(err)
			}
		}
	}()
	return "http://" + l.Addr().String()
}
