package rollout_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/controllers/rollout"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/internal/transcript"
)

// peer answers GET /report from a script, and remembers how it was asked.
type peer struct {
	*httptest.Server
	answers chan http.HandlerFunc
	asked   chan *http.Request
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	p := &peer{answers: make(chan http.HandlerFunc), asked: make(chan *http.Request, 100)}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked <- r
		select {
		case answer := <-p.answers:
			answer(w, r)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func report(r outcome.Report) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(w).Encode(r); err != nil {
			panic(err)
		}
	}
}

// world runs a Poller and lets a test wait for what it brings about.
type world struct {
	*rollout.Tracker
	poller *rollout.Poller
	news   chan struct{}
}

func newWorld(t *testing.T, tokenFile string, log io.Writer) *world {
	t.Helper()
	return startWorld(t, tokenFile, rollout.Trust{}, log)
}

func startWorld(t *testing.T, tokenFile string, trust rollout.Trust, log io.Writer) *world {
	t.Helper()
	w := &world{news: make(chan struct{}, 1)}
	w.Tracker = rollout.NewTracker(50*time.Millisecond, time.Now, func([]string) {
		select {
		case w.news <- struct{}{}:
		default:
		}
	})
	w.poller = rollout.NewPoller(w.Tracker, tokenFile, trust, slog.New(slog.NewTextHandler(log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		if err := w.poller.Start(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); done.Wait() })
	return w
}

// until waits until holds does.
func (w *world) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-w.news:
		case <-timeout:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func (w *world) phase(want rollout.Phase) func() bool {
	return func() bool { return w.Facts("shop/a", generation(1), "").Progress.Phase == want }
}

func TestThePollerListsOnceThenFollows(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	write := func(s string) {
		if err := os.WriteFile(token, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	p, w := newPeer(t), newWorld(t, token, io.Discard)
	w.poller.Follow([]string{p.URL})
	w.Published("d1", map[string]rollout.Version{"shop/a": generation(1)})

	started := start
	p.answers <- report(outcome.Report{Started: started, Digest: "d1", Revision: 7, Summaries: []outcome.Summary{{Route: "shop/a", Pending: 4}}})
	w.until(t, "the table is confirmed", w.phase(rollout.Programmed))
	p.answers <- report(outcome.Report{Started: started, Digest: "d1", Revision: 9})
	write("second")
	p.answers <- report(outcome.Report{Started: started.Add(time.Hour), Digest: "d1", Revision: 20}) // a restart
	p.answers <- report(outcome.Report{Started: started.Add(time.Hour), Digest: "d1", Revision: 2, Summaries: []outcome.Summary{{Route: "shop/a", Pending: 1}}})
	w.until(t, "the new process is heard", func() bool { return w.Facts("shop/a", generation(1), "").Summary.Pending == 1 })

	var got []string
	for range 5 {
		r := <-p.asked
		got = append(got, r.URL.RequestURI())
		if a := r.Header.Get("Authorization"); !strings.HasPrefix(a, "Bearer ") {
			t.Errorf("the authorization is %q", a)
		} else if len(got) == 5 && a != "Bearer second" {
			t.Errorf("a rotated token is not read again: %q", a)
		}
	}
	want := []string{
		"/report?since=0&wait=0s", "/report?since=7&wait=20s", "/report?since=9&wait=20s",
		"/report?since=0&wait=0s", "/report?since=2&wait=20s",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +asked)\n%s", diff)
	}
}

func TestADispatcherThatIsAwayIsAskedAgain(t *testing.T) {
	var log transcript.Transcript
	p, w := newPeer(t), newWorld(t, "", &log)
	w.poller.Follow([]string{p.URL})
	w.Published("d1", map[string]rollout.Version{"shop/a": generation(1)})

	for name, answer := range map[string]http.HandlerFunc{
		"refuses":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"sends away":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"talks wildly": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
	} {
		p.answers <- answer
		w.until(t, "one that "+name+" counts as silent", w.phase(rollout.Unreachable))
		p.answers <- report(outcome.Report{Started: start, Digest: "d1", Revision: 1})
		w.until(t, "it is back", w.phase(rollout.Programmed))
		p.answers <- report(outcome.Report{Started: start, Digest: "d1", Revision: 1})
	}
	if !strings.Contains(log.String(), "--dispatcher-token-file") {
		t.Errorf("the log does not say what to check:\n%s", log.String())
	}
}

func TestADispatcherThatIsLetGoIsNotAskedAnyMore(t *testing.T) {
	one, two, w := newPeer(t), newPeer(t), newWorld(t, "", io.Discard)
	w.poller.Follow([]string{one.URL, two.URL})
	w.Published("d1", map[string]rollout.Version{"shop/a": generation(1)})
	one.answers <- report(outcome.Report{Digest: "d1", Revision: 1})
	<-two.asked // and gets no answer
	w.poller.Follow([]string{one.URL})
	w.until(t, "the one that is left decides", w.phase(rollout.Programmed))
}
