package ingest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/ingest"
	"github.com/postrider/postrider/internal/eventually"
)

// accepted returns both ends of a connection that Listen has to do with.
func accepted(t *testing.T) (ours, producers net.Conn) {
	t.Helper()
	plain, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed below
	if err != nil {
		t.Fatal(err)
	}
	l := ingest.Listen(&http.Server{ReadHeaderTimeout: time.Second}, plain)
	t.Cleanup(func() { _ = l.Close() })
	producers, err = new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = producers.Close() })
	if ours, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	return ours, producers
}

func TestADeadlineEndsWhatIsReadLater(t *testing.T) {
	ours, _ := accepted(t)
	for name, set := range map[string]func(time.Time) error{"to read": ours.SetReadDeadline, "of all": ours.SetDeadline} {
		if err := set(time.Now().Add(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := ours.Read(make([]byte, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("with a deadline %s: %v", name, err)
		}
	}
}

func TestADeadlineEndsWhatIsBeingRead(t *testing.T) {
	ours, _ := accepted(t)
	for _, size := range []int{1, 100} {
		if err := ours.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() {
			_, err := ours.Read(make([]byte, size))
			ended <- err
		}()
		eventually.True(t, "the read ends", func() bool {
			if err := ours.SetReadDeadline(time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				return errors.Is(err, os.ErrDeadlineExceeded)
			default:
				return false
			}
		})
	}
}

func TestADeadlineThatIsTakenBackEndsNothing(t *testing.T) {
	ours, producer := accepted(t)
	for _, at := range []time.Time{time.Unix(1, 0), {}} {
		if err := ours.SetReadDeadline(at); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(producer, "a"); err != nil {
		t.Fatal(err)
	}
	if n, err := ours.Read(make([]byte, 100)); n != 1 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestRequestsThatComeWithoutWaitingForAnswersAreAnsweredInTurn(t *testing.T) {
	server, begun := serveWithin(t, ingest.Bounds{All: 1 << 20, Share: 1 << 20, Time: time.Minute}, kept)
	const n = 5
	one := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(small), small)
	connection := begin(t, server, "shop", len(small), small+strings.Repeat(one, n-1))
	answers := bufio.NewReader(connection)
	for range n {
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusAccepted {
			t.Fatalf("status %d, %v", response.StatusCode, err)
		}
		response.Body.Close()
		<-begun
	}
}

func TestOtherHandlersNoticeACallerThatLeaves(t *testing.T) {
	for name, before := range map[string]string{"first": "", "after an event": small, "after what is no event": "{"} {
		t.Run(name, func(t *testing.T) {
			reached, left := make(chan struct{}), make(chan struct{})
			mux := http.NewServeMux()
			mux.Handle(ingest.Pattern, ingest.New(store(kept), prometheus.NewRegistry(), slog.New(slog.DiscardHandler)))
			mux.HandleFunc("/other", func(_ http.ResponseWriter, r *http.Request) {
				close(reached)
				<-r.Context().Done()
				close(left)
			})
			server := start(t, mux)
			connection := open(t, server)
			if before != "" {
				send(t, connection, path, before)
				status(t, connection)
			}
			send(t, connection, "/other", "")
			<-reached
			_ = connection.Close()
			<-left
		})
	}
}

// The first byte of a request may come, and be read, while the one before the event
// is answered. Whether it is read by then nobody can tell, so this tries often.
func TestOtherHandlersNoticeACallerThatLeavesAfterAnEventWhoseSuccessorHadBegun(t *testing.T) {
	for range 100 {
		first, goOn := make(chan struct{}), make(chan struct{})
		left, over := make(chan struct{}), make(chan struct{})
		mux := http.NewServeMux()
		mux.Handle(ingest.Pattern, ingest.New(store(kept), prometheus.NewRegistry(), slog.New(slog.DiscardHandler)))
		mux.HandleFunc("/first", func(http.ResponseWriter, *http.Request) { close(first); <-goOn })
		mux.HandleFunc("/other", func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
				close(left)
			case <-over:
			}
		})
		server := start(t, mux)
		connection := open(t, server)
		say(t, connection, "GET /first HTTP/1.1\r\nHost: a\r\n\r\n"+postOf(small, "1.1", ""))
		<-first
		say(t, connection, "G")
		close(goOn)
		say(t, connection, "ET /other HTTP/1.1\r\nHost: a\r\n\r\n")
		endOf(connection)
		select {
		case <-left:
		case <-time.After(10 * time.Second):
			close(over)
			t.Fatal("the handler was not told")
		}
		server.Close()
	}
}

// endOf tells that nothing more will be sent.
func endOf(connection net.Conn) {
	if c, ok := connection.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
}

func say(t *testing.T, connection net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(connection, text); err != nil {
		t.Fatal(err)
	}
}

// open connects to server.
func open(t *testing.T, server *httptest.Server) net.Conn {
	t.Helper()
	connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}

// send posts body to a path over connection.
func send(t *testing.T, connection net.Conn, path, body string) {
	t.Helper()
	if _, err := fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body); err != nil {
		t.Fatal(err)
	}
}

func TestAProducerThatHasLeftAStoreThatFailsIsCountedAsSuch(t *testing.T) {
	for name, tt := range map[string]struct {
		leaves bool
		want   string
	}{
		"left":   {true, "Abandoned"},
		"stayed": {false, "Unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			storing, fail := make(chan struct{}), make(chan struct{})
			server, registry := serve(t, func(context.Context, []event.Event) error {
				close(storing)
				<-fail
				return errors.New("broken")
			}, slog.New(slog.DiscardHandler))
			connection := begin(t, server, "shop", len(small), small)
			<-storing
			if tt.leaves {
				_ = connection.Close()
			}
			close(fail)
			if !tt.leaves {
				status(t, connection)
			}
			server.Close() // when all are answered
			counts(t, registry, map[string]int{tt.want: 1})
		})
	}
}
