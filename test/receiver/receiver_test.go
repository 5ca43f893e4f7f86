package receiver_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/postrider/postrider/test/receiver"
)

const key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// post sends body with an id, signed with key unless it is empty.
func post(t *testing.T, url, id, key, body string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(standardwebhooks.HeaderWebhookID, id)
	if key != "" {
		signer, err := standardwebhooks.NewWebhook(key)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		signature, err := signer.Sign(id, now, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
		req.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	}
	resp, err := new(http.Transport).RoundTrip(req)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(resp.Body)
	if cerr := resp.Body.Close(); cerr != nil {
		t.Fatal(cerr)
	}
	resp.Body = io.NopCloser(bytes.NewReader(got))
	return resp, err
}

func statuses(t *testing.T, url string, n int) []int {
	t.Helper()
	var got []int
	for i := range n {
		resp, err := post(t, url, fmt.Sprint("msg_", i), "", "{}")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, resp.StatusCode)
	}
	return got
}

func TestEachPathFollowsItsScriptAndItsLastReplyStays(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	r.On("/a", receiver.Status(503), receiver.RetryAfter(429, "5"), receiver.Status(204))
	r.On("/b", receiver.Status(404))

	if diff := cmp.Diff([]int{503, 429, 204, 204}, statuses(t, r.URL("/a"), 4)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int{404, 404}, statuses(t, r.URL("/b"), 2)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int{200}, statuses(t, r.URL("/unscripted"), 1)); diff != "" {
		t.Error(diff)
	}
}

func TestARequestIsKeptAsItCame(t *testing.T) {
	r := receiver.New(t, receiver.Options{Key: key})
	if _, err := post(t, r.URL("/hooks?a=1"), "msg_1", key, `{"n":1}`); err != nil {
		t.Fatal(err)
	}
	got := r.Wait(t, 1)[0]
	if got.Method != http.MethodPost || got.Target != "/hooks?a=1" || string(got.Body) != `{"n":1}` || got.ID() != "msg_1" || got.Time.IsZero() {
		t.Errorf("kept %+v", got)
	}
	if got.SignatureErr != nil || len(r.SignatureErrors()) != 0 {
		t.Errorf("a valid signature was refused: %v", got.SignatureErr)
	}
}

func TestASignatureByAnotherKeyIsRecorded(t *testing.T) {
	r := receiver.New(t, receiver.Options{Key: key, IDsOnly: true})
	for _, k := range []string{"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "", key} {
		if _, err := post(t, r.URL("/"), "msg_1", k, "{}"); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(r.SignatureErrors()); got != 2 {
		t.Errorf("%d signatures were refused, want 2", got)
	}
}

func TestIDsAreCountedByManyAtOnceAndOnlyTheFirstRequestsAreKept(t *testing.T) {
	r := receiver.New(t, receiver.Options{Keep: 10})
	var senders sync.WaitGroup
	for range 2 {
		senders.Go(func() {
			for i := range 50 {
				if _, err := post(t, r.URL("/"), fmt.Sprint("msg_", i), "", "{}"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	r.WaitIDs(t, 50)
	if got := r.Wait(t, 100); len(got) != 10 {
		t.Errorf("%d requests were kept, want 10", len(got))
	}
	senders.Wait()
	ids := r.IDs()
	for id, n := range ids {
		if n != 2 {
			t.Errorf("%s was counted %d times, want 2", id, n)
		}
	}
	if len(ids) != 50 || r.Count() != 100 {
		t.Errorf("%d ids and %d requests were counted, want 50 and 100", len(ids), r.Count())
	}
}

func TestIDsOnlyKeepsNoRequest(t *testing.T) {
	r := receiver.New(t, receiver.Options{IDsOnly: true})
	statuses(t, r.URL("/"), 3)
	if got := r.Wait(t, 3); len(got) != 0 {
		t.Errorf("%d requests were kept", len(got))
	}
}

func TestAHungRequestHasArrivedAndEndsWhenReleased(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	release := make(chan struct{})
	r.On("/", receiver.Hang(release, receiver.Status(202)))
	done := make(chan int)
	go func() { done <- statuses(t, r.URL("/"), 1)[0] }()
	r.Wait(t, 1)
	close(release)
	if got := <-done; got != 202 {
		t.Errorf("got %d, want 202", got)
	}
}

func TestCloseBreaksOffWhatHangs(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	r.On("/", receiver.Hang(nil, receiver.Status(200)))
	failed := make(chan error)
	go func() {
		_, err := post(t, r.URL("/"), "msg_1", "", "{}")
		failed <- err
	}()
	r.Wait(t, 1)
	r.Close()
	if <-failed == nil {
		t.Error("the request was answered")
	}
}

func TestBrokenRepliesBreak(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	for name, reply := range map[string]http.HandlerFunc{"break off": receiver.BreakOff, "hang up": receiver.HangUp} {
		r.On("/", reply)
		if _, err := post(t, r.URL("/"), "msg_1", "", "{}"); err == nil {
			t.Errorf("%s: the answer was complete", name)
		}
	}
}

func TestAReplyMayDelayRedirectFloodAndLookAtTheBody(t *testing.T) {
	r := receiver.New(t, receiver.Options{})
	r.On("/",
		receiver.Delay(time.Millisecond, receiver.Body("late")),
		receiver.Redirect("http://169.254.169.254/"),
		receiver.Flood(1<<20),
		func(w http.ResponseWriter, req *http.Request) { _, _ = io.Copy(w, req.Body) }, // the client checks what came
	)
	for _, want := range []struct {
		status, length int
	}{{200, 4}, {302, 0}, {200, 1 << 20}, {200, 2}} {
		resp, err := post(t, r.URL("/"), "msg_1", "", "{}")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != want.status || len(body) != want.length {
			t.Errorf("got %d with %d bytes and %v, want %+v", resp.StatusCode, len(body), err, want)
		}
	}
}

// impatient takes a Fatalf for an answer.
type impatient struct {
	testing.TB
	failed string
}

func (*impatient) Helper()                             {}
func (f *impatient) Fatalf(format string, args ...any) { f.failed = fmt.Sprintf(format, args...) }

func TestWaitFailsTheTestWhenItsPatienceIsOver(t *testing.T) {
	r := receiver.New(t, receiver.Options{Patience: time.Millisecond})
	statuses(t, r.URL("/"), 1)
	f := &impatient{TB: t}
	r.Wait(f, 2)
	if want := "1 of 2 requests arrived: the patience of the test is over"; f.failed != want {
		t.Errorf("failed with %q, want %q", f.failed, want)
	}
}
