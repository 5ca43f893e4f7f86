package deliver_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/authorize"
	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/internal/secrecy"
	"github.com/postrider/postrider/test/receiver"
)

// mints has lanes get tokens of f, the n-th of which is told its number.
func mints(f func(n int) (string, error)) func(*deliver.Options) {
	var mu sync.Mutex
	n := 0
	return func(o *deliver.Options) {
		o.Credentials = authorize.NewKeeper(authorize.Options{Mint: func(context.Context, string, string, string) (string, time.Duration, error) {
			mu.Lock()
			defer mu.Unlock()
			n++
			token, err := f(n)
			return token, time.Hour, err
		}})
	}
}

// asSender is the route cms/a, which proves itself as a ServiceAccount.
func asSender(url string) route.Route {
	rt := aRoute("a", url)
	rt.Authorization = &route.Authorization{ServiceAccountToken: &route.ServiceAccountToken{Name: "sender", Audience: "https://receiver.example/"}}
	rt.Headers = []route.Header{{Name: "Authorization", Value: "of the user"}}
	return rt
}

func TestWithoutATokenNothingIsSentAndTheBreakerCountsIt(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	rt := asSender(rc.URL("/a"))
	rt.Breaker = route.Breaker{Failures: 2, OpenFor: time.Hour}
	r := start(t, mints(func(int) (string, error) { return "", &authorize.Unavailable{Detail: "the provider is away"} }), rt)
	for _, id := range []string{"1", "2", "3"} {
		r.post(id)
	}
	eventually.True(t, "the breaker", func() bool { return r.facts().Breaker == outcome.BreakerOpen })
	if s := r.facts(); s.Last.Reason != outcome.TokenUnavailable || s.LastError != "TokenUnavailable: the provider is away" {
		t.Errorf("the report says %+v", s)
	}
	if n := rc.Count(); n != 0 {
		t.Errorf("%d requests went out", n)
	}
}

func TestARefusedTokenIsReplacedInTheSameAttempt(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{Key: signingKey})
	// Longer than what is kept of an answer, and echoed across its end.
	secret := strings.Repeat("t0ken-Material.", 100)
	rc.On("/a", func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if token == secret+"1" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("X-You-Sent", token)
		if _, err := w.Write([]byte(strings.Repeat("x", 1000) + token)); err != nil {
			t.Error(err)
		}
	})
	rt := asSender(rc.URL("/a"))
	rt.KeepResponses, rt.Signing = true, &route.Signing{Keys: []route.Secret{signingKey}}
	r := start(t, mints(func(n int) (string, error) { return secret + string(rune('0'+n)), nil }), rt)
	r.post("1")
	eventually.True(t, "the record", func() bool { return len(r.log.all()) == 1 })
	rec := r.log.all()[0]
	if rec.Reason != outcome.Delivered || rec.Attempt != 1 || rc.Count() != 2 {
		t.Errorf("attempt %d ended as %s after %d requests", rec.Attempt, rec.Reason, rc.Count())
	}
	requests := rc.Requests()
	if requests[0].ID() != requests[1].ID() || string(requests[0].Body) != string(requests[1].Body) {
		t.Error("the second request is for another delivery")
	}
	if errs := rc.SignatureErrors(); len(errs) > 0 {
		t.Error(errs[0])
	}
	secrecy.AssertNo(t, "t0ken-Material", map[string]any{"the record": rec})
	if !strings.HasSuffix(rec.Response.Body, "x[redacted]") || rec.Request.Header.Get("Authorization") != "[redacted]" {
		t.Errorf("the record has %q, and of the request %v", rec.Response.Body, rec.Request.Header)
	}
}

func TestAReceiverThatRefusesEveryTokenIsAskedTwice(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	rc.On("/a", receiver.Status(http.StatusUnauthorized))
	r := start(t, mints(func(int) (string, error) { return "token", nil }), asSender(rc.URL("/a")))
	r.post("1")
	eventually.True(t, "the attempt", func() bool { return len(r.log.all()) == 1 })
	if rec := r.log.all()[0]; rec.Reason != outcome.Rejected || rc.Count() != 2 {
		t.Errorf("it ended as %s after %d requests", rec.Reason, rc.Count())
	}
}
