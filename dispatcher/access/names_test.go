package access_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/rest"

	"github.com/postrider/postrider/dispatcher/access"
)

// reviewers answers reviews as an API server does: everybody is known by any
// token, and may do what allows says. It counts the access reviews.
func reviewers(t *testing.T, allows func(authorizationv1.ResourceAttributes) bool) (authority *access.Kubernetes, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/tokenreviews") {
			review := authenticationv1.TokenReview{Status: authenticationv1.TokenReviewStatus{Authenticated: true, Audiences: []string{access.DefaultAudience}}}
			_ = json.NewEncoder(w).Encode(review)
			return
		}
		asked.Add(1)
		var review authorizationv1.SubjectAccessReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			t.Errorf("a review cannot be read: %v", err)
		}
		review.Status.Allowed = allows(*review.Spec.ResourceAttributes)
		_ = json.NewEncoder(w).Encode(review)
	}))
	t.Cleanup(server.Close)
	authority, err := access.NewKubernetes(access.KubernetesOptions{
		Config: &rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}},
		Log:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return authority, asked
}

// named is what a reader of the deliveries of a webhook wants.
func named(name string) access.Attributes {
	return access.Attributes{Verb: "get", Resource: "webhooks", Subresource: "deliveries", Namespace: "shop", Name: name}
}

// plausible is a token that is worth a review: {"alg":"none"}, {"aud":"postrider"}.
const plausible = "eyJhbGciOiJub25lIn0.eyJhdWQiOiJwb3N0cmlkZXIifQ.c2ln"

func TestARightToAllNamesIsAskedForOnce(t *testing.T) {
	authority, asked := reviewers(t, func(authorizationv1.ResourceAttributes) bool { return true })
	for i := range 100 {
		d, err := authority.Decide(t.Context(), plausible, named(fmt.Sprintf("made-up-%d", i)))
		if err != nil || d.Verdict != access.Allowed {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("the API server was asked %d times about one right", asked.Load())
	}
}

func TestARightToOneNameIsNoneToOthers(t *testing.T) {
	authority, _ := reviewers(t, func(a authorizationv1.ResourceAttributes) bool { return a.Name == "mine" })
	for name, want := range map[string]access.Verdict{"mine": access.Allowed, "yours": access.Denied, "": access.Denied} {
		if d, err := authority.Decide(t.Context(), plausible, named(name)); err != nil || d.Verdict != want {
			t.Errorf("%q: %+v, %v, want %s", name, d, err, want)
		}
	}
}
