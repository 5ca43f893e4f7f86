package deliver_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	said "github.com/postrider/postrider/dispatcher/answer" // "answer" is taken here
	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/test/receiver"
)

// aValidation is the route cms/a, which is asked.
func aValidation(url string) route.Route {
	rt := aRoute("a", url)
	rt.Events, rt.Validation = nil, &route.Validation{}
	return rt
}

// says is an answer of 200.
func says(contentType, body string) func(*http.Request) egress.Response {
	return func(*http.Request) egress.Response {
		return egress.Response{Status: 200, Header: http.Header{"Content-Type": {contentType}}, Body: []byte(body)}
	}
}

func TestWhatTheReceiverOfAValidationActionAnswersIsRead(t *testing.T) {
	yes := says("application/json", `{"IsValid":true}`)
	long := func(req *http.Request) egress.Response {
		r := yes(req)
		r.Truncated = true
		return r
	}
	for _, tt := range []struct {
		name    string
		answers func(*http.Request) egress.Response
		reason  outcome.Reason
		detail  string
		verdict said.Verdict
	}{
		{"consent", yes, outcome.Delivered, "", said.Verdict{IsValid: true}},
		{"a refusal", says("text/xml", `<data><IsValid>false</IsValid><Message>no</Message></data>`), outcome.Delivered, "", said.Verdict{Message: "no"}},
		{"something else", says("text/html", "<p>Welcome"), outcome.MalformedAnswer, "neither JSON nor XML", said.Verdict{}},
		{"nothing", status(204), outcome.MalformedAnswer, "empty", said.Verdict{}},
		{"too much", long, outcome.MalformedAnswer, "too long", said.Verdict{}},
		{"a verdict with 500", func(req *http.Request) egress.Response { r := yes(req); r.Status = 500; return r }, outcome.ReceiverError, "", said.Verdict{}},
		{"a verdict with 404", func(req *http.Request) egress.Response { r := yes(req); r.Status = 404; return r }, outcome.Rejected, "", said.Verdict{}},
		{"gone", status(410), outcome.Rejected, "", said.Verdict{}},
		{"a redirect", status(302), outcome.Redirected, "", said.Verdict{}},
		{"never", nil, outcome.Timeout, "", said.Verdict{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rc := newReceivers()
				rc.on("a.example", tt.answers)
				r := start(t, rc.options, aValidation("http://a.example/"))
				o, verdict, err := r.AskAbout(anEvent("1"))(t.Context(), "cms/a")
				if err != nil || o.Reason != tt.reason || !strings.Contains(o.Detail, tt.detail) || verdict != tt.verdict {
					t.Errorf("it is %+v, %+v, %v", o, verdict, err)
				}
				f := r.facts()
				if f.Last == nil || f.Last.Reason != tt.reason || f.Last.EventID != "1" || f.Last.Number != 1 || !f.Gone.IsZero() {
					t.Errorf("the facts are %+v", f)
				}
				if failed := tt.reason != outcome.Delivered; (f.ConsecutiveFailures == 1) != failed || f.LastSuccess.IsZero() != failed || (f.LastError != "") != failed {
					t.Errorf("the facts are %+v", f)
				}
				recs := r.log.all()
				if len(recs) != 1 || recs[0].Reason != tt.reason || recs[0].Attempt != 1 || recs[0].Test || recs[0].Route != "cms/a" {
					t.Errorf("the log has %+v", recs)
				}
				if n := r.metric(t, "postrider_webhook_attempts_total", "cms", string(tt.reason), "a"); n != 1 {
					t.Errorf("%v attempts are counted", n)
				}
			})
		})
	}
}

func TestNeitherTheLaneNorItsBreakerHoldsUpAQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rc := newReceivers()
		rc.on("a.example", after(2*time.Second))
		rt := aValidation("http://a.example/")
		rt.Concurrency, rt.RateLimit, rt.Breaker = 1, route.Rate{Requests: 1, Per: time.Hour}, route.Breaker{Failures: 1, OpenFor: time.Hour}
		r := start(t, rc.options, rt)
		var wg sync.WaitGroup
		begin := time.Now()
		ask := r.AskAbout(anEvent("1"))
		for range 20 {
			wg.Go(func() {
				if o, _, err := ask(t.Context(), "cms/a"); err != nil || o.Reason != outcome.MalformedAnswer {
					t.Errorf("it is %+v, %v", o, err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(begin); took != 2*time.Second || rc.atOnce("a.example") != 20 {
			t.Errorf("20 took %s, %d at once", took, rc.atOnce("a.example"))
		}
		if f := r.facts(); f.Breaker == outcome.BreakerOpen || f.ConsecutiveFailures != 20 {
			t.Errorf("the facts are %+v", f)
		}
	})
}

func TestAQuestionThatIsCancelledEndsAtOnceAndSaysNothingOfTheReceiver(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	rc.On("/", receiver.Hang(nil, nil))
	r := start(t, nil, aValidation(rc.URL("/")))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		rc.Wait(t, 1)
		cancel()
	}()
	o, _, err := r.AskAbout(anEvent("1"))(ctx, "cms/a")
	if err != nil || o.Reason != outcome.Timeout || o.Detail != "attempt cancelled" || o.Took >= 5*time.Second {
		t.Errorf("it is %+v, %v", o, err)
	}
	if f := r.facts(); f.Last != nil || f.ConsecutiveFailures != 0 {
		t.Errorf("the facts are %+v", f)
	}
	if recs := r.log.all(); len(recs) != 1 {
		t.Errorf("the log has %d records", len(recs))
	}
}

func TestOnlyAValidationActionThatCanBeAttemptedIsAsked(t *testing.T) {
	t.Parallel()
	incomplete := route.Route{ID: "cms/incomplete", Validation: &route.Validation{}, Hold: "RefNotFound"}
	rc := receiver.New(t, receiver.Options{})
	r := start(t, nil, aRoute("events", rc.URL("/")), incomplete, aValidation(rc.URL("/")))
	for id, want := range map[string]error{"cms/none": deliver.ErrNoRoute, "cms/events": deliver.ErrNoRoute, "cms/incomplete": deliver.ErrIncomplete} {
		if _, _, err := r.AskAbout(anEvent("1"))(t.Context(), id); !errors.Is(err, want) {
			t.Errorf("%s: %v", id, err)
		}
	}
	r.Halt()
	if _, _, err := r.AskAbout(anEvent("1"))(t.Context(), "cms/a"); !errors.Is(err, deliver.ErrHalted) {
		t.Errorf("while it stops: %v", err)
	}
	if rc.Count() != 0 {
		t.Errorf("%d requests came", rc.Count())
	}
}

func TestAValidationActionGetsNothingOfAWebhookThatHadItsName(t *testing.T) {
	for name, hand := range map[string]func(*rig){
		"deliveries":        func(r *rig) { r.postAll("e", 3) },
		"what has an order": func(r *rig) { r.postKey("e0", 1); r.postKey("e1", 1); r.postKey("e2", 2) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rc := newReceivers()
				rc.on("a.example", says("application/json", `{"IsValid":true}`))
				held := aRoute("a", "http://a.example/")
				held.Hold = "RefNotFound"
				r := start(t, rc.options, held)
				hand(r)
				r.pass(time.Minute) // they wait in the store
				r.table(t, aValidation("http://a.example/"))
				r.pass(5 * time.Minute)
				_, dead := r.backlog.kept()
				if n := rc.count("a.example"); n != 0 || len(dead) != 3 {
					t.Fatalf("%d requests came, and %d are dead", n, len(dead))
				}
				for _, l := range dead {
					if l.Why.Reason != outcome.RouteGone {
						t.Errorf("one ended as %s", l.Why.Reason)
					}
				}
				if o, verdict, err := r.AskAbout(anEvent("1"))(t.Context(), "cms/a"); err != nil || !o.OK() || !verdict.IsValid {
					t.Errorf("asked, it is %+v, %+v, %v", o, verdict, err)
				}
			})
		})
	}
}

func TestAMessageShowsNoSecretThatTheReceiverWasSent(t *testing.T) {
	t.Parallel()
	token := strings.Repeat("t0ken-Material.", 10)
	for name, message := range map[string]func(*http.Request) string{
		"the token":            func(r *http.Request) string { return "You sent " + r.Header.Get("Authorization") },
		"a header of the user": func(r *http.Request) string { return "You sent " + r.Header.Get("X-Key") },
		"the signature":        func(r *http.Request) string { return "You sent " + r.Header.Get("Webhook-Signature") },
		"the token where the message is cut": func(r *http.Request) string {
			return strings.Repeat("x", said.MaxMessage-100) + r.Header.Get("Authorization")
		},
	} {
		t.Run(name, func(t *testing.T) {
			rc := receiver.New(t, receiver.Options{})
			var signature string
			rc.On("/a", func(w http.ResponseWriter, r *http.Request) {
				signature, _ = strings.CutPrefix(r.Header.Get("Webhook-Signature"), "v1,")
				w.Header().Set("Content-Type", "application/json")
				if err := json.NewEncoder(w).Encode(map[string]any{"IsValid": false, "Message": message(r)}); err != nil {
					t.Error(err)
				}
			})
			rt := asSender(rc.URL("/a"))
			rt.Events, rt.Validation = nil, &route.Validation{}
			rt.Signing = &route.Signing{Keys: []route.Secret{signingKey}}
			rt.Headers = []route.Header{{Name: "X-Key", Value: "header-Material"}}
			r := start(t, mints(func(int) (string, error) { return token, nil }), rt)
			o, verdict, err := r.AskAbout(anEvent("1"))(t.Context(), "cms/a")
			if err != nil || !o.OK() || verdict.IsValid {
				t.Fatalf("it is %+v, %v", o, err)
			}
			for _, secret := range []string{"t0ken", "Material", signature} {
				if strings.Contains(verdict.Message, secret) {
					t.Errorf("the message is %q", verdict.Message)
				}
			}
			if !strings.Contains(verdict.Message, "[redacted]") || len(verdict.Message) > said.MaxMessage {
				t.Errorf("the message is %q, of %d bytes", verdict.Message, len(verdict.Message))
			}
		})
	}
}

func TestATestOfAValidationActionReadsTheAnswerToo(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	r := start(t, nil, aValidation(rc.URL("/")))
	rec, err := r.Test(t.Context(), "cms/a", anEvent("1"))
	if err != nil || rec.Reason != outcome.MalformedAnswer || rec.Detail != "answer is empty" {
		t.Errorf("it is %+v, %v", rec, err)
	}
}
