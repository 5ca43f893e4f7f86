package ingest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/ingest"
)

// serveWithin is serve with other bounds; begun gets the namespace of each
// request that has reached the Handler.
func serveWithin(t *testing.T, bounds ingest.Bounds, s store) (server *httptest.Server, begun chan string) {
	t.Helper()
	begun = make(chan string, 1000)
	handler := ingest.NewWithin(bounds, s, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	mux := http.NewServeMux()
	mux.HandleFunc(ingest.Pattern, func(w http.ResponseWriter, r *http.Request) {
		begun <- r.PathValue(ingest.Namespace)
		handler.ServeHTTP(w, r)
	})
	return start(t, mux), begun
}

// begin sends the head of a request with a body of n bytes, and a part of the body.
func begin(t *testing.T, server *httptest.Server, namespace string, n int, part string) net.Conn {
	t.Helper()
	connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	if err := connection.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(connection, "POST /v1/namespaces/%s/events HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", namespace, n, part); err != nil {
		t.Fatal(err)
	}
	return connection
}

// status reads the answer.
func status(t *testing.T, connection net.Conn) (int, string) {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

const small = `{"type":"a"}`

func TestSlowUploadsOfOneNamespaceDoNotDelayAnother(t *testing.T) {
	server, begun := serveWithin(t, ingest.Bounds{All: 64 << 10, Share: 8 << 10, Time: time.Minute}, kept)
	for range 64 {
		begin(t, server, "slow", 1<<10, "{")
	}
	for range 64 {
		<-begun
	}
	if code, body := status(t, begin(t, server, "shop", len(small), small)); code != http.StatusAccepted {
		t.Errorf("status %d: %s", code, body)
	}
}

func TestANamespaceThatExceedsItsShareGoesOnWhenThereIsRoomAgain(t *testing.T) {
	server, begun := serveWithin(t, ingest.Bounds{All: 64 << 10, Share: 1 << 10, Time: time.Minute}, kept)
	first := begin(t, server, "shop", 1<<10, "{")
	<-begun
	second := begin(t, server, "shop", len(small), small)
	<-begun
	if _, err := io.WriteString(first, `"type":"a"}`+strings.Repeat(" ", 1<<10-len(small))); err != nil {
		t.Fatal(err)
	}
	for _, connection := range []net.Conn{first, second} {
		if code, body := status(t, connection); code != http.StatusAccepted {
			t.Errorf("status %d: %s", code, body)
		}
	}
}

func TestABodyThatComesTooSlowlyIsCutOff(t *testing.T) {
	server, _ := serveWithin(t, ingest.Bounds{All: 1 << 20, Share: 1 << 20, Time: 50 * time.Millisecond}, kept)
	if code, body := status(t, begin(t, server, "shop", 100, "{")); code != http.StatusBadRequest || !strings.Contains(body, "problems/unreadable-body") {
		t.Errorf("status %d: %s", code, body)
	}
}

func TestABodyThatFindsNoRoomIsAskedForAgain(t *testing.T) {
	storing, stored := make(chan struct{}), make(chan struct{})
	server, _ := serveWithin(t, ingest.Bounds{All: 1 << 20, Share: int64(len(small)), Time: 50 * time.Millisecond}, func(context.Context, []event.Event) error {
		close(storing)
		<-stored
		return nil
	})
	first := begin(t, server, "shop", len(small), small)
	<-storing
	code, body := status(t, begin(t, server, "shop", len(small), small))
	if code != http.StatusServiceUnavailable || !strings.Contains(body, "too many bodies") {
		t.Errorf("status %d: %s", code, body)
	}
	close(stored)
	if code, body := status(t, first); code != http.StatusAccepted {
		t.Errorf("status %d: %s", code, body)
	}
}

func TestTheTimeOfABodyDoesNotBoundTheStore(t *testing.T) {
	const bodyTime = 500 * time.Millisecond
	server, _ := serveWithin(t, ingest.Bounds{All: 1 << 20, Share: 1 << 20, Time: bodyTime}, func(ctx context.Context, _ []event.Event) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * bodyTime):
			return nil
		}
	})
	if code, body := status(t, begin(t, server, "shop", len(small), small)); code != http.StatusAccepted {
		t.Errorf("status %d: %s", code, body)
	}
}
