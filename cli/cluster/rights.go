package cluster

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
)

// A Right is what somebody wants to do, in the words of RBAC.
type Right struct{ Verb, Group, Resource, Subresource, Namespace, Name string }

// String reads like "create webhooks/replay.postrider.dev in namespace "cms"".
func (r Right) String() string {
	s := r.Verb + " " + r.Resource
	if r.Subresource != "" {
		s += "/" + r.Subresource
	}
	if r.Group != "" {
		s += "." + r.Group
	}
	return s + in(r.Namespace)
}

// May reports whether the user has the right.
func (c *Cluster) May(ctx context.Context, r Right) (bool, error) {
	return may(ctx, c.authorization, r)
}

// AccountMay returns what the account may of rights. It asks as the account, with a
// token for the API server that goes nowhere else.
func (c *Cluster) AccountMay(ctx context.Context, a Account, rights ...Right) ([]bool, error) {
	token, err := c.token(ctx, a)
	if err != nil {
		return nil, err
	}
	config := rest.AnonymousClientConfig(c.config)
	config.BearerToken = token
	client, err := authorizationclient.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("asking for the rights of ServiceAccount %s: %w", a, err)
	}
	all := make([]bool, len(rights))
	for i, r := range rights {
		if all[i], err = may(ctx, client, r); err != nil {
			return nil, fmt.Errorf("asking for the rights of ServiceAccount %s: %w", a, err)
		}
	}
	return all, nil
}

func may(ctx context.Context, c authorizationclient.AuthorizationV1Interface, r Right) (bool, error) {
	review, err := c.SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: r.Verb, Group: r.Group, Resource: r.Resource, Subresource: r.Subresource, Namespace: r.Namespace, Name: r.Name,
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return review.Status.Allowed, nil
}
