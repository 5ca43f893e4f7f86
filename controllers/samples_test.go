package controllers_test

import (
	"fmt"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
)

func TestTheSamplesApplyAndAreReady(t *testing.T) {
	if err := applyFolder(t.Context(), "../config/samples"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"page-created", "page-approved", "page-review", "search-index"} {
		becomes(t, "cms", name, "Ready=True/Ready")
	}
	policyBecomes(t, "cms", "default", ready)
	itemBecomes(t, "cms", "pages", ready)
	itemBecomes(t, "cms", "review", ready)
	until(t, func() error {
		r := routeOf(t, "cms/page-created")
		if r.URL != "http://127.0.0.1:9400/hooks/pages" || r.Authorization == nil || r.Signing == nil || r.Condition == "" {
			return fmt.Errorf("the route is %+v", r)
		}
		return nil
	})
}

func TestTheProducerOfTheSamplesMayPostEventsAndNothingElse(t *testing.T) {
	if err := applyFolder(t.Context(), "../config/samples"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		namespace, verb, resource string
		want                      bool
	}{
		{"cms", "create", "events", true},
		{"default", "create", "events", false},
		{"cms", "get", "events", false},
		{"cms", "create", "webhooks", false},
		{"cms", "get", "webhooks", false},
	} {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:   "system:serviceaccount:cms:producer",
			Groups: []string{"system:serviceaccounts", "system:serviceaccounts:cms", "system:authenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: tt.namespace, Verb: tt.verb, Group: "postrider.dev", Resource: tt.resource,
			},
		}}
		if err := api.Create(t.Context(), review); err != nil {
			t.Fatal(err)
		}
		if review.Status.Allowed != tt.want {
			t.Errorf("%s %s in %s is allowed: %t", tt.verb, tt.resource, tt.namespace, review.Status.Allowed)
		}
	}
}
