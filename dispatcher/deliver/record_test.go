package deliver_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/internal/secrecy"
	"github.com/postrider/postrider/test/receiver"
)

const (
	signingKey = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	password   = "correct horse battery staple"
	custom     = "what-the-user-put-there"
	cookie     = "chocolate-chip"
)

// confidential is a route that has all that a record must not show.
func confidential(url string) route.Route {
	rt := aRoute("a", url)
	rt.Headers = []route.Header{{Name: "X-Team", Value: custom}}
	rt.Authorization = &route.Authorization{Basic: &route.Basic{Username: "postrider", Password: password}}
	rt.Signing = &route.Signing{Keys: []route.Secret{signingKey}}
	return rt
}

func TestAnAttemptIsRecordedWithoutWhatIsSecret(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	rc.On("/a", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", cookie)
		w.Header().Set("X-Request-Id", "42")
		w.WriteHeader(http.StatusNotFound)
		if _, err := fmt.Fprint(w, strings.Repeat("é", 1000), "\xff"); err != nil {
			t.Error(err)
		}
	})
	rt := confidential(rc.URL("/a?key=" + custom))
	rt.KeepResponses = true
	r := start(t, nil, rt)
	r.post("1")
	eventually.True(t, "the record", func() bool { return len(r.log.all()) == 1 })
	rec := r.log.all()[0]

	key := anEvent("1").Key()
	if seq, k, ok := deliver.ParseDeliveryID(rec.Delivery); !ok || seq != 7 || k != key {
		t.Errorf("the delivery is %q", rec.Delivery)
	}
	if rec.Route != "cms/a" || rec.EventID != "1" || rec.EventType != "x" || rec.WebhookID != key.String() || rec.Attempt != 1 || rec.Test {
		t.Errorf("the record is %+v", rec)
	}
	if rec.Reason != outcome.Rejected || rec.Response == nil || rec.Response.Status != http.StatusNotFound || rec.Response.Bytes != 2001 {
		t.Errorf("it ended with %s, %+v", rec.Reason, rec.Response)
	}
	if wait := rec.Next.Sub(rec.Started); wait < time.Minute || wait > 2*time.Minute {
		t.Errorf("the next is due %s after it began", wait)
	}
	if rec.Timings.Total <= 0 || rec.Timings.FirstByte <= 0 || rec.Timings.Total < rec.Timings.FirstByte || rec.Timings.Connect <= 0 {
		t.Errorf("the timings are %+v", rec.Timings)
	}
	if body := rec.Response.Body; len(body) > 1024 || strings.Trim(body, "é") != "" {
		t.Errorf("of the body it keeps %d bytes: %q", len(body), body)
	}
	if got := rec.Response.Header.Get("X-Request-Id"); got != "42" {
		t.Errorf("the answer's header is %v", rec.Response.Header)
	}
	want := map[string]bool{ // whether it is in clear
		"Content-Type": true, "User-Agent": true, "Webhook-Id": true, "Webhook-Timestamp": true,
		"Webhook-Signature": false, "Authorization": false, "X-Team": false,
	}
	got := map[string]bool{}
	for name, values := range rec.Request.Header {
		got[name] = values[0] != "[redacted]"
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("the request's header, in clear or not (-want +got):\n" + diff)
	}
	for _, secret := range []string{password, custom, cookie, signingKey} {
		secrecy.AssertNo(t, secret, map[string]any{"the record": rec})
	}
}

func TestTheBodyOfAnAnswerIsKeptOnlyIfThePolicySaysSo(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	rc.On("/", receiver.Body("what the receiver says"))
	r := start(t, nil, aRoute("a", rc.URL("/")))
	r.post("1")
	eventually.True(t, "the record", func() bool { return len(r.log.all()) == 1 })
	if rec := r.log.all()[0]; rec.Response.Body != "" || rec.Response.Bytes != 22 || !rec.Next.IsZero() {
		t.Errorf("the record is %+v, of the answer %+v", rec, rec.Response)
	}
}

func TestALaneRecordsNoMoreThanItsAllowance(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		r := start(t, rc.options, aRoute("a", "http://a/"), aRoute("b", "http://b/"))
		for i := range 150 {
			r.post(fmt.Sprint(i), "cms/a")
			synctest.Wait()
		}
		if got := len(r.log.all()); got != 100 {
			t.Fatalf("%d of 150 attempts at once are recorded", got)
		}
		r.post("other lane", "cms/b")
		pass(time.Second)
		for i := range 5 {
			r.post(fmt.Sprint("later-", i), "cms/a")
			synctest.Wait()
		}
		all := r.log.all()
		if len(all) != 103 || all[100].Route != "cms/b" || all[101].Skipped != 50 || all[102].Skipped != 0 {
			t.Errorf("%d are recorded, the next says that %d were not", len(all), all[101].Skipped)
		}
	})
}

func TestARecordIsBounded(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	rc.On("/", func(w http.ResponseWriter, _ *http.Request) {
		for i := range 200 {
			w.Header().Set(fmt.Sprintf("X-Line-%03d", i), strings.Repeat("v", i))
		}
		w.WriteHeader(http.StatusOK)
	})
	r := start(t, nil, aRoute("a", rc.URL("/")))
	r.post("1")
	eventually.True(t, "the record", func() bool { return len(r.log.all()) == 1 })
	lines, bytes := 0, 0
	for name, values := range r.log.all()[0].Response.Header {
		for _, v := range values {
			lines++
			bytes += len(name) + len(v)
		}
	}
	if lines == 0 || lines > 32 || bytes > 4<<10 {
		t.Errorf("it keeps %d lines with %d bytes", lines, bytes)
	}
}

func TestATestIsOneAttemptBesideTheLane(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{Key: signingKey})
	rc.On("/a", receiver.Status(http.StatusInternalServerError), receiver.Status(http.StatusNoContent))
	rt := confidential(rc.URL("/a"))
	rt.Hold = "Disabled"
	r := start(t, nil, rt)

	rec, err := r.Test(t.Context(), "cms/a", anEvent("failing"))
	if err != nil {
		t.Fatal(err)
	}
	if rec.Reason != outcome.ReceiverError || !rec.Test || rec.Attempt != 1 || !rec.Next.IsZero() || rec.Response.Status != 500 {
		t.Errorf("the record is %+v", rec)
	}
	if s := r.facts(); s.Last != nil || s.ConsecutiveFailures != 0 || !s.TestPassed.IsZero() || s.Pending != 0 {
		t.Errorf("the facts are %+v", s)
	}
	rec, err = r.Test(t.Context(), "cms/a", anEvent("passing"))
	if err != nil || rec.Reason != outcome.Delivered {
		t.Fatalf("the record is %+v, %v", rec, err)
	}
	if s := r.facts(); s.Last != nil || s.TestPassed.IsZero() {
		t.Errorf("the facts are %+v", s)
	}
	if errs := rc.SignatureErrors(); len(errs) != 0 {
		t.Errorf("the signatures are not valid: %v", errs)
	}
	all := r.log.all()
	if len(all) != 2 || !all[0].Test || all[1].Reason != outcome.Delivered {
		t.Errorf("the log has %+v", all)
	}
	ds, dead := r.backlog.kept()
	if len(ds) != 0 || len(dead) != 0 || len(r.backlog.waiting("cms/a")) != 0 {
		t.Error("something of it is kept")
	}
}

func TestATestSaysWhyItWasNotMade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rc.on("a", after(3*time.Second))
		r := start(t, rc.options, aRoute("a", "http://a/"), route.Route{ID: "cms/b", Hold: "RefNotFound"})
		test := func(id string) error {
			_, err := r.Test(t.Context(), id, anEvent("test"))
			return err
		}
		if err := test("cms/c"); !errors.Is(err, deliver.ErrNoRoute) {
			t.Errorf("an unknown route: %v", err)
		}
		if err := test("cms/b"); !errors.Is(err, deliver.ErrIncomplete) {
			t.Errorf("an incomplete route: %v", err)
		}
		first := make(chan error)
		go func() { first <- test("cms/a") }()
		synctest.Wait()
		if err := test("cms/a"); !errors.Is(err, deliver.ErrBusy) {
			t.Errorf("a second test: %v", err)
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
		if err := test("cms/a"); err != nil {
			t.Error(err)
		}
		r.Halt()
		if err := test("cms/a"); !errors.Is(err, deliver.ErrBusy) {
			t.Errorf("a test during the stop: %v", err)
		}
	})
}

func TestATestIsMadeWhateverTheLaneDoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rc.on("a", status(http.StatusInternalServerError))
		rt := aRoute("a", "http://a/")
		rt.Breaker = route.Breaker{Failures: 1, OpenFor: time.Hour}
		rt.RateLimit = route.Rate{Requests: 1, Per: time.Hour}
		r := start(t, rc.options, rt)
		r.post("1")
		pass(time.Second)
		rc.on("a", status(http.StatusOK))
		rec, err := r.Test(t.Context(), "cms/a", &event.Event{Namespace: "cms", ID: "t", Type: "test", Accepted: time.Now()})
		if err != nil || rec.Reason != outcome.Delivered {
			t.Fatalf("%+v, %v", rec, err)
		}
		if s := r.facts(); s.Breaker != outcome.BreakerOpen || s.ConsecutiveFailures != 1 {
			t.Errorf("the facts are %+v", s)
		}
	})
}
