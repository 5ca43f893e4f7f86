package ingest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/ingest"
)

// cut divides a script into what is sent at once.
const cut = "\x00"

func postOf(body, version, fields string) string {
	return fmt.Sprintf("POST %s HTTP/%s\r\nHost: a\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s", path, version, fields, len(body), body)
}

func chunked(chunks ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", path)
	for _, c := range chunks {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(c), c)
	}
	return b.String() + "0\r\n\r\n"
}

// What a producer hears does not depend on how its connection is read: each of
// these is said to a server on a plain listener, too.
func TestProducersHearTheSameAsOverAPlainConnection(t *testing.T) {
	t.Parallel()
	large := `{"type":"` + strings.Repeat("a", 10_000) + `"}`
	get := "GET /other HTTP/1.1\r\nHost: a\r\n\r\n"
	one := postOf(small, "1.1", "")
	tooLarge := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", path, 100<<20)
	for name, script := range map[string]string{
		"one":                          one,
		"one, byte by byte":            strings.Join(strings.Split(one, ""), cut),
		"three at once":                one + one + one,
		"a large one between":          one + postOf(large, "1.1", "") + one,
		"the next, cut everywhere":     one + one[:1] + cut + one[1:2] + cut + one[2:] + cut + one,
		"other requests between":       get + one + get + one + one + get,
		"a byte of the next, and then": get + one + one[:1] + cut + one[1:] + get,
		"with 100-continue":            postOf(small, "1.1", "Expect: 100-continue\r\n") + one,
		"chunks":                       chunked(small) + chunked(small[:3], small[3:]) + one,
		"many small chunks":            chunked(strings.Split(large, "")...) + one,
		"chunks that are cut":          chunked(small)[:130] + cut + chunked(small)[130:] + one,
		"a bad chunk":                  "POST " + path + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + one,
		"HTTP/1.0":                     postOf(small, "1.0", "") + one,
		"HTTP/1.0 that stays":          postOf(small, "1.0", "Connection: keep-alive\r\n") + one,
		"who closes":                   postOf(small, "1.1", "Connection: close\r\n") + one,
		"no event":                     postOf("{", "1.1", "") + one,
		"an empty one":                 postOf("", "1.1", "") + one,
		"one too large":                tooLarge + strings.Repeat("a", 1<<20),
		"one too large, in chunks":     chunked(strings.Repeat("a", 1<<19), strings.Repeat("a", 1<<19), strings.Repeat("a", 1<<19)) + one,
		"another method":               strings.Replace(one, "POST", "PUT", 1) + one,
		"what is refused unread":       strings.Replace(one, path, "/refuse", 1) + one,
		"much that is refused unread":  strings.Replace(postOf(strings.Repeat("a", 100_000), "1.1", ""), path, "/refuse", 1) + one,
		"a body that breaks off":       one[:len(one)-1],
		"no request":                   "\r\n\r\nnonsense\r\n\r\n",
		"a long header":                strings.Replace(one, "Host: a", "Host: a\r\nX: "+strings.Repeat("a", 4000), 1) + one,
		"too long a header":            strings.Replace(one, "Host: a", "Host: a\r\nX: "+strings.Repeat("a", 100_000), 1) + one,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, got := hear(t, script, false), hear(t, script, true)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error("-plain +ours\n" + diff)
			}
		})
	}
}

// hear says the script to a server and returns the answers.
func hear(t *testing.T, script string, ours bool) (answers []string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(ingest.Pattern, ingest.New(store(kept), prometheus.NewRegistry(), slog.New(slog.DiscardHandler)))
	mux.HandleFunc("/other", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "other") })
	mux.HandleFunc("/refuse", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	server := httptest.NewUnstartedServer(mux)
	server.Config.MaxHeaderBytes = event.MaxHeader
	if ours {
		server.Listener = ingest.Listen(server.Config, server.Listener)
	}
	server.Start()
	t.Cleanup(server.Close)
	connection := open(t, server)
	if err := connection.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	go func() {
		for part := range strings.SplitSeq(script, cut) {
			if _, err := io.WriteString(connection, part); err != nil {
				return
			}
		}
		endOf(connection)
	}()
	r := bufio.NewReader(connection)
	for {
		response, err := http.ReadResponse(r, nil)
		if err != nil {
			return answers
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		answers = append(answers, fmt.Sprintf("%s close=%t %d bytes, %v", response.Status, response.Close, min(len(body), 1), err))
	}
}

// A connection that has brought an event is given up like any other.
func TestWhoSendsNothingMoreIsNotWaitedForAfterAnEventEither(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]string{"idle": "", "in a header": "POST /", "in a body": strings.TrimSuffix(postOf(small, "1.1", ""), "}")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mux := http.NewServeMux()
			mux.Handle(ingest.Pattern, ingest.NewWithin(ingest.Bounds{All: 1 << 20, Share: 1 << 20, Time: 50 * time.Millisecond},
				store(kept), prometheus.NewRegistry(), slog.New(slog.DiscardHandler)))
			server := httptest.NewUnstartedServer(mux)
			server.Config.ReadHeaderTimeout, server.Config.ReadTimeout, server.Config.IdleTimeout = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
			server.Listener = ingest.Listen(server.Config, server.Listener)
			server.Start()
			t.Cleanup(server.Close)
			connection := open(t, server)
			if err := connection.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(connection, postOf(small, "1.1", "")+next); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, connection); err != nil {
				t.Errorf("it was not closed: %v", err)
			}
		})
	}
}

func TestAStopWaitsForWhatIsBeingStoredAndForNothingElse(t *testing.T) {
	t.Parallel()
	storing, end := make(chan struct{}), make(chan struct{})
	server, _ := serve(t, func(_ context.Context, events []event.Event) error {
		if events[0].Type == "slow" {
			close(storing)
			<-end
		}
		return nil
	}, slog.New(slog.DiscardHandler))
	idle := open(t, server)
	send(t, idle, path, small)
	status(t, idle)
	busy := open(t, server)
	send(t, busy, path, `{"type":"slow"}`)
	<-storing
	stopped := make(chan error)
	go func() { stopped <- server.Config.Shutdown(t.Context()) }()
	if _, err := io.Copy(io.Discard, idle); err != nil { // it is closed
		t.Error(err)
	}
	close(end)
	if code, body := status(t, busy); code != http.StatusAccepted {
		t.Errorf("status %d: %s", code, body)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
