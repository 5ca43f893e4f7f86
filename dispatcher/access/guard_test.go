package access_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider/postrider/dispatcher/access"
	"github.com/postrider/postrider/internal/secrecy"
)

// authority is an Authority made of a function.
type authority func(token string, a access.Attributes) (access.Decision, error)

func (f authority) Decide(_ context.Context, token string, a access.Attributes) (access.Decision, error) {
	return f(token, a)
}

func createEvents(*http.Request) access.Attributes {
	return access.Attributes{Verb: "create", Resource: "events", Namespace: "shop"}
}

const secret = "a-token-that-nobody-may-see"

func TestTheGateAnswersWhoMayNotPass(t *testing.T) {
	tests := []struct {
		name          string
		authorization []string
		decision      access.Decision
		err           error
		status        int
		says          []string
		challenge     string
		metric        string
	}{
		{"allowed", []string{"Bearer " + secret}, access.Decision{Verdict: access.Allowed, User: "ann"}, nil, 200, nil, "", "Allowed"},
		{"the scheme in any case", []string{"bearer  " + secret}, access.Decision{Verdict: access.Allowed, User: "ann"}, nil, 200, nil, "", "Allowed"},
		{
			"denied", []string{"Bearer " + secret}, access.Decision{Verdict: access.Denied, User: "ann", Remedy: "Ask bob."}, nil,
			403, []string{"problems/forbidden", `User \"ann\" may not create events.postrider.dev in namespace \"shop\". Ask bob.`}, "", "Denied",
		},
		{
			"an invalid token", []string{"Bearer " + secret}, access.Decision{Verdict: access.Unauthenticated, Remedy: "Get another."}, nil,
			401, []string{"problems/unauthenticated", "Get another."}, `Bearer error="invalid_token"`, "Unauthenticated",
		},
		{"a verdict that nobody gave", []string{"Bearer " + secret}, access.Decision{}, nil, 401, []string{"problems/unauthenticated"}, `Bearer error="invalid_token"`, "Unauthenticated"},
		{"no token", nil, access.Decision{}, nil, 401, []string{"Authorization: Bearer TOKEN"}, "Bearer", "Unauthenticated"},
		{"two tokens", []string{"Bearer a", "Bearer " + secret}, access.Decision{}, nil, 401, []string{"problems/unauthenticated"}, "Bearer", "Unauthenticated"},
		{"another scheme", []string{"Basic " + secret}, access.Decision{}, nil, 401, []string{"problems/unauthenticated"}, "Bearer", "Unauthenticated"},
		{"a huge token", []string{"Bearer " + strings.Repeat("a", 9000)}, access.Decision{}, nil, 401, []string{"problems/unauthenticated"}, "Bearer", "Unauthenticated"},
		{
			"no decision", []string{"Bearer " + secret}, access.Decision{}, errors.New("connection refused"),
			503, []string{"problems/authorization-unavailable"}, "", "Unavailable",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			registry := prometheus.NewRegistry()
			gate := access.NewGate(authority(func(string, access.Attributes) (access.Decision, error) { return tt.decision, tt.err }),
				registry, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
			passed := false
			handler := gate.Guard(createEvents, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "" {
					t.Error("the token got behind the gate")
				}
				passed = true
			}))

			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
			r.Header["Authorization"] = tt.authorization
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)

			if passed != (tt.metric == "Allowed") {
				t.Errorf("passed: %t", passed)
			}
			body := w.Body.String()
			if w.Code != tt.status || w.Header().Get("WWW-Authenticate") != tt.challenge {
				t.Errorf("status %d, challenge %q", w.Code, w.Header().Get("WWW-Authenticate"))
			}
			for _, says := range tt.says {
				if !strings.Contains(body, says) {
					t.Errorf("%q does not say %q", body, says)
				}
			}
			if (tt.status == 503) != (w.Header().Get("Retry-After") != "") || (tt.status == 503) != (log.Len() > 0) {
				t.Errorf("Retry-After %q, log %q", w.Header().Get("Retry-After"), &log)
			}
			secrecy.AssertNo(t, secret, map[string]any{"answer": body, "log": log.String()})
			if strings.Contains(body, "connection refused") {
				t.Errorf("answer %q shows the inside of the cluster", body)
			}
			expectOne(t, registry, tt.metric)
		})
	}
}

func TestANamespaceThatCannotExistIsNotAskedAbout(t *testing.T) {
	gate := access.NewGate(authority(func(string, access.Attributes) (access.Decision, error) {
		t.Error("the authority was asked")
		return access.Decision{}, nil
	}), prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	for _, namespace := range []string{strings.Repeat("a", 64), "a/b", "A", "a.b", "-", "ä", "a\x00"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
		r.Header.Set("Authorization", "Bearer "+secret)
		gate.Guard(func(*http.Request) access.Attributes {
			return access.Attributes{Verb: "create", Resource: "events", Namespace: namespace}
		}, http.NotFoundHandler()).ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "problems/invalid-namespace") {
			t.Errorf("%q: status %d: %s", namespace, w.Code, w.Body)
		}
	}
}

func TestANameThatCannotExistIsNotAskedAbout(t *testing.T) {
	gate := access.NewGate(authority(func(string, access.Attributes) (access.Decision, error) {
		t.Error("the authority was asked")
		return access.Decision{}, nil
	}), prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	for _, name := range []string{strings.Repeat("a", 254), "a/b", "A", ".a", "-", "ä", "a\x00"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
		r.Header.Set("Authorization", "Bearer "+secret)
		gate.Guard(func(*http.Request) access.Attributes {
			return access.Attributes{Verb: "create", Resource: "webhooks", Subresource: "test", Namespace: "shop", Name: name}
		}, http.NotFoundHandler()).ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "problems/invalid-name") {
			t.Errorf("%q: status %d: %s", name, w.Code, w.Body)
		}
	}
}

func TestBehindTheGateTheCallerHasAName(t *testing.T) {
	gate := access.NewGate(authority(func(string, access.Attributes) (access.Decision, error) {
		return access.Decision{Verdict: access.Allowed, User: "ann"}, nil
	}), prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	user := ""
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	r.Header.Set("Authorization", "Bearer "+secret)
	gate.Guard(createEvents, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		user = access.User(r.Context())
	})).ServeHTTP(httptest.NewRecorder(), r)
	if user != "ann" || access.User(t.Context()) != "" {
		t.Errorf("the caller is %q", user)
	}
}

// expectOne checks that exactly the decision was counted.
func expectOne(t *testing.T, registry *prometheus.Registry, decision string) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(families[0].GetMetric()); n != 4 {
		t.Errorf("%d time series, want the 4 of the closed list", n)
	}
	for _, metric := range families[0].GetMetric() {
		label, want := metric.GetLabel()[0].GetValue(), 0.0
		if label == decision {
			want = 1
		}
		if got := metric.GetCounter().GetValue(); got != want {
			t.Errorf("%s counted %v times", label, got)
		}
	}
}

func TestAttributesReadLikeASentence(t *testing.T) {
	tests := map[string]access.Attributes{
		`create events.postrider.dev in namespace "shop"`:              {Verb: "create", Resource: "events", Namespace: "shop"},
		`create webhooks/test.postrider.dev "a\n" in namespace "shop"`: {Verb: "create", Resource: "webhooks", Subresource: "test", Namespace: "shop", Name: "a\n"},
		`get "/report"`: {Verb: "get", NonResourcePath: "/report"},
	}
	for want, attributes := range tests {
		if got := attributes.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
