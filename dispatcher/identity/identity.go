// Package identity has the API server make tokens of ServiceAccounts, for
// receivers that trust it.
package identity

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// life is how long a token is to live. The API server may give it less or more.
const life = time.Hour

// A Refusal says why there is no token.
type Refusal struct {
	Detail string // a fixed phrase, without names
	Err    error  // what the API server said, nil when it was not that
}

func (r *Refusal) Error() string {
	if r.Err == nil {
		return r.Detail
	}
	return fmt.Sprintf("%s: %v", r.Detail, r.Err)
}

func (r *Refusal) Unwrap() error { return r.Err }

// Why there is no token.
const (
	// Which Role, and how to make it, is in docs/security.md.
	notGranted  = "the dispatcher may not make tokens of this ServiceAccount: bind it, in the namespace of the webhook, to a Role that allows create on serviceaccounts/token with the resourceName of the ServiceAccount"
	notThere    = "the ServiceAccount does not exist"
	tooPowerful = "the API server takes tokens with this audience itself, so the receiver could use the token there; use the receiver's own audience"
	ofPostrider = "tokens with this audience may post events, so the receiver could; use the receiver's own audience"
	notAsked    = "the API server cannot be asked for the token"
	notReviewed = "the API server cannot be asked whether it takes the token itself"
)

// A Mint makes tokens.
type Mint struct {
	client   kubernetes.Interface
	audience string
}

// New makes a Mint of an API server. The audience is that of tokens for Postrider
// itself.
func New(config *rest.Config, audience string) (*Mint, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.RateLimiter = -1, nil // one request an hour for each ServiceAccount; those who ask wait for one another
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client for tokens: %w", err)
	}
	return &Mint{client, audience}, nil
}

// Token makes a token of a ServiceAccount for one audience, and says how long it
// lives. It makes none that is good for the API server or for Postrider. Its
// errors are *[Refusal].
func (m *Mint) Token(ctx context.Context, namespace, name, audience string) (string, time.Duration, error) {
	if audience == m.audience {
		return "", 0, &Refusal{Detail: ofPostrider}
	}
	seconds := int64(life / time.Second)
	made, err := m.client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}, ExpirationSeconds: &seconds},
	}, metav1.CreateOptions{})
	switch {
	case apierrors.IsForbidden(err):
		return "", 0, &Refusal{Detail: notGranted, Err: err}
	case apierrors.IsNotFound(err):
		return "", 0, &Refusal{Detail: notThere, Err: err}
	case err != nil:
		return "", 0, &Refusal{Detail: notAsked, Err: err}
	}
	if err := m.isHarmless(ctx, made.Status.Token); err != nil {
		return "", 0, err
	}
	return made.Status.Token, lifeOf(made), nil
}

// lifeOf is how long a token lives from now on. A time of day would be that of
// another clock.
func lifeOf(made *authenticationv1.TokenRequest) time.Duration {
	if granted := made.Spec.ExpirationSeconds; granted != nil {
		return time.Duration(*granted) * time.Second
	}
	return time.Until(made.Status.ExpirationTimestamp.Time)
}

// isHarmless asks the API server whether the token is good for itself: only it
// knows all of its audiences.
func (m *Mint) isHarmless(ctx context.Context, token string) error {
	review, err := m.client.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token},
	}, metav1.CreateOptions{})
	switch {
	case err != nil:
		return &Refusal{Detail: notReviewed, Err: err}
	case review.Status.Authenticated:
		return &Refusal{Detail: tooPowerful}
	}
	return nil
}
