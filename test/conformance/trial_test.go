package conformance_test

import (
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/receiver"
)

func (d *target) trials(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{Key: signingKey})
	rc.On("/refuses", receiver.Status(401))
	rc.On("/fails", receiver.Status(500))
	disabled := hook("disabled", rc.URL("/disabled"), signed(signingKey), func(r *route.Route) { r.Hold, r.Events = "SpecDisabled", nil })
	n := d.tenant(t,
		hook("takes", rc.URL("/takes"), signed(signingKey)), disabled,
		hook("refuses", rc.URL("/refuses"), signed(signingKey)),
		hook("fails", rc.URL("/fails"), signed(signingKey)),
		hook("nameless", "http://receiver.invalid/"),
		hook("metadata", "http://169.254.169.254/"),
		route.Route{ID: "incomplete", Generation: 1, Events: []string{"*"}, Hold: "RefNotFound"},
	)
	for _, tt := range []struct {
		name   string
		reason outcome.Reason
		status int
		says   string
	}{
		{"takes", outcome.Delivered, 200, "The receiver took the delivery (status 200 OK)"},
		{"disabled", outcome.Delivered, 200, "Nothing is left to do"},
		{"refuses", outcome.Rejected, 401, "Check the AuthorizationItem"},
		{"fails", outcome.ReceiverError, 500, "Look at the receiver's log"},
		{"nameless", outcome.DNSFailed, 0, "Check the host of the URL"},
		{"metadata", outcome.EgressDenied, 0, "--egress-allow-cidr"},
	} {
		var got trial
		n.order(t, "/webhooks/"+tt.name+"/test", "", 200, &got)
		if got.Passed != (tt.reason == outcome.Delivered) || got.Attempt.Reason != tt.reason || !strings.Contains(got.Explanation, tt.says) {
			t.Errorf("%s: the answer is %+v, want %s and %q", tt.name, got, tt.reason, tt.says)
		}
		if a := got.Attempt; !a.Test || a.EventType != "postrider.test" || a.Timings.Total <= 0 || !a.Next.IsZero() {
			t.Errorf("%s: the attempt is %+v", tt.name, a)
		}
		if got.Attempt.Response != nil && got.Attempt.Response.Status != tt.status || got.Attempt.Response == nil && tt.status != 0 {
			t.Errorf("%s: the response is %+v, want status %d", tt.name, got.Attempt.Response, tt.status)
		}
		if items := n.logged(t, tt.name, 1); len(items) != 1 || !items[0].Test || items[0].WebhookID != got.Attempt.WebhookID {
			t.Errorf("%s: the log holds %+v", tt.name, items)
		}
		if s := n.summary(t, tt.name); s.ConsecutiveFailures != 0 || owed(s)+s.DeadLetters != 0 || s.TestPassed.IsZero() == got.Passed {
			t.Errorf("%s: the report says %+v after a test", tt.name, s)
		}
	}
	if errs := rc.SignatureErrors(); len(errs) > 0 {
		t.Errorf("a test is not signed as a delivery is: %v", errs[0])
	}
	n.order(t, "/webhooks/incomplete/test", "", 409, nil).refused(t, "webhook-incomplete", "RefNotFound")
	n.order(t, "/webhooks/unknown/test", "", 404, nil).refused(t, "webhook-not-found", "kubectl get webhooks")

	// A disabled webhook is tested, and that is all that it gets.
	before := rc.Count()
	n.post(t, "t", "{}")
	rc.Wait(t, before+3)
	n.settled(t, "takes", 0)
	if s := n.summary(t, "disabled"); owed(s) != 0 || s.Last != nil {
		t.Errorf("a disabled webhook is owed an event: %+v", s)
	}
	for _, r := range rc.Requests()[before:] {
		if r.Target == "/disabled" {
			t.Error("a disabled webhook got an event")
		}
	}
}

func (d *target) attemptLog(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{Key: signingKey})
	const answered = "no room today"
	rc.On("/", receiver.Status(200), receiver.Status(200), receiver.Refuse(503, "sid=3f9c2e71", answered), receiver.Status(200))
	rc.On("/discreet", receiver.Refuse(503, "sid=3f9c2e71", answered))
	secretive := func(r *route.Route) {
		r.Headers = []route.Header{{Name: "X-Team", Value: customSecret}}
		r.Authorization = &route.Authorization{APIKey: &route.APIKey{Name: "key", Query: true, Value: queryKey}}
	}
	n := d.tenant(t,
		hook("logged", rc.URL("/"), signed(signingKey), secretive, retry(30*time.Minute), func(r *route.Route) { r.KeepResponses = true }),
		hook("discreet", rc.URL("/discreet"), signed(signingKey), retry(30*time.Minute)))
	ids := make([]string, 5)
	for i := range ids {
		ids[i] = n.post(t, "t", "{}")
		eventually.True(t, "the delivery", func() bool { return rc.IDs()[ids[i]] == 2 })
	}
	items := n.logged(t, "logged", len(ids))
	for i, a := range items {
		if a.WebhookID != ids[len(ids)-1-i] || a.Attempt != 1 || a.EventType != "t" {
			t.Errorf("item %d is %+v, want the newest first", i, a)
		}
	}

	failed := items[2]
	if failed.Reason != outcome.ReceiverError || failed.Response == nil || failed.Response.Body != answered || failed.Response.Bytes != len(answered) {
		t.Fatalf("the attempt that failed is %+v, with the response %+v", failed, failed.Response)
	}
	if due := failed.Next.Sub(failed.Started); due < 30*time.Minute || due > 31*time.Minute {
		t.Errorf("the next attempt is due %s after this one, want 30m", due)
	}
	if !items[0].Next.IsZero() {
		t.Error("an attempt is due after a success")
	}
	for _, a := range items {
		if a.Timings.Total <= 0 || a.Timings.FirstByte <= 0 || a.Timings.FirstByte > a.Timings.Total || a.Request.Bytes == 0 {
			t.Errorf("the timings are %+v, the request %+v", a.Timings, a.Request)
		}
	}
	if first := items[len(items)-1]; first.Timings.Connect <= 0 {
		t.Errorf("the first attempt tells of no connect: %+v", first.Timings)
	}
	if got := items[0].Request.Header.Get("X-Team"); got != "[redacted]" {
		t.Errorf("a header of the webhook is %q", got)
	}

	// The text as it goes over the wire, signatures and cookies of receivers included.
	texts := string(n.look(t, "/webhooks/logged/deliveries", 200, nil).body) + string(n.look(t, "/webhooks/discreet/deliveries", 200, nil).body)
	for _, r := range rc.Requests() {
		if signature := strings.TrimPrefix(r.Header.Get("Webhook-Signature"), "v1,"); signature == "" || strings.Contains(texts, signature) {
			t.Errorf("the log shows the signature %q", signature)
		}
	}
	if strings.Contains(texts, "3f9c2e71") {
		t.Error("the log shows a cookie")
	}
	for _, a := range n.logged(t, "discreet", len(ids)) {
		if a.Response == nil || a.Response.Body != "" || a.Response.Bytes != len(answered) {
			t.Errorf("without keepResponses the response is %+v", a.Response)
		}
	}

	paged, pages := follow[attempt](t, n, "/webhooks/logged/deliveries?limit=2")
	if len(paged) != 5 || pages != 3 || paged[0].WebhookID != ids[4] || paged[4].WebhookID != ids[0] {
		t.Errorf("%d pages hold %d attempts", pages, len(paged))
	}
	failures, _ := follow[attempt](t, n, "/webhooks/logged/deliveries?outcome=failed")
	successes, _ := follow[attempt](t, n, "/webhooks/logged/deliveries?outcome=delivered")
	if len(failures) != 1 || failures[0].WebhookID != ids[2] || len(successes) != 4 {
		t.Errorf("%d attempts failed and %d did not", len(failures), len(successes))
	}
	n.look(t, "/webhooks/logged/deliveries?outcome=good", 400, nil).refused(t, "invalid-query", "delivered")
	n.look(t, "/webhooks/unknown/deliveries", 404, nil).refused(t, "webhook-not-found", "kubectl get webhooks")
}
