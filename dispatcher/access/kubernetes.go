package access

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"slices"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
)

// DefaultAudience is what a token must be issued for: one that a Pod holds for
// the API server is of no use here, and one that is sent here is of no use there.
const DefaultAudience = "postrider"

// KubernetesOptions are the options of [NewKubernetes].
type KubernetesOptions struct {
	Config   *rest.Config     // of the API server; needs the right to create tokenreviews and subjectaccessreviews
	Audience string           // that tokens must be issued for; empty = [DefaultAudience]
	Log      *slog.Logger     // gets a warning when the API server cannot be asked
	Now      func() time.Time // nil = [time.Now]
}

// Kubernetes is the [Authority] of a cluster. It takes ServiceAccount tokens and
// other JWTs. What it was told it remembers: a right for a minute, its absence
// for ten seconds. While the API server cannot be asked, a right that was known
// counts for ten more minutes; what is not known is an error, and so is what it
// has no time to ask.
type Kubernetes struct {
	audience string
	now      func() time.Time
	reviews  authenticationclient.TokenReviewInterface
	rights   authorizationclient.SubjectAccessReviewInterface

	users   *memory[digest, reviewed]
	allowed *memory[question, bool]
}

// digest is the SHA-256 of a token: the token itself is not kept.
type digest [sha256.Size]byte

// reviewed is a token that the API server has been asked about.
type reviewed struct {
	*authenticationv1.TokenReviewStatus
	claims claims
}

// question is what one token wants.
type question struct {
	Token digest
	Wants Attributes
}

// NewKubernetes makes an Authority that asks the API server.
func NewKubernetes(o KubernetesOptions) (*Kubernetes, error) {
	config := rest.CopyConfig(o.Config)
	config.QPS, config.RateLimiter = -1, nil // no limit: a memory has its own
	authentication, err := authenticationclient.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client for token reviews: %w", err)
	}
	authorization, err := authorizationclient.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client for access reviews: %w", err)
	}
	if o.Audience == "" {
		o.Audience = DefaultAudience
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Kubernetes{
		audience: o.Audience,
		now:      o.Now,
		reviews:  authentication.TokenReviews(),
		rights:   authorization.SubjectAccessReviews(),
		users:    newMemory[digest, reviewed](o.Log, o.Now),
		allowed:  newMemory[question, bool](o.Log, o.Now),
	}, nil
}

// Decide implements [Authority].
func (k *Kubernetes) Decide(ctx context.Context, token string, a Attributes) (Decision, error) {
	key := digest(sha256.Sum256([]byte(token)))
	claims, ok := k.claims(key, token)
	if !ok || !claims.plausible(k.audience, k.now()) {
		return k.unauthenticated(), nil
	}
	status, err := k.users.get(ctx, key, func(ctx context.Context) (reviewed, bool, error) {
		status, err := k.review(ctx, token)
		return reviewed{&status, claims}, status.Authenticated, err
	})
	if err != nil {
		return Decision{}, fmt.Errorf("reviewing a token: %w", err)
	}
	if !status.Authenticated {
		return k.unauthenticated(), nil
	}

	allowed, err := k.may(ctx, key, status.User, a)
	if err != nil {
		return Decision{}, fmt.Errorf("reviewing the rights of user %q: %w", status.User.Username, err)
	}
	if !allowed {
		return Decision{Verdict: Denied, User: status.User.Username, Remedy: missingRule(a)}, nil
	}
	return Decision{Verdict: Allowed, User: status.User.Username}, nil
}

// may asks for the right to all names first: so somebody who has it and makes
// names up is one answer to remember, and displaces those of others no more than
// refusals do.
func (k *Kubernetes) may(ctx context.Context, key digest, user authenticationv1.UserInfo, a Attributes) (bool, error) {
	if a.Name != "" {
		all := a
		all.Name = ""
		if allowed, err := k.may(ctx, key, user, all); allowed || err != nil {
			return allowed, err
		}
	}
	return k.allowed.get(ctx, question{key, a}, func(ctx context.Context) (bool, bool, error) {
		allowed, err := k.authorize(ctx, user, a)
		return allowed, allowed, err
	})
}

// claims are those of the token, which has the key. They are read once for a
// token that is known to be good: that costs more than all the rest.
func (k *Kubernetes) claims(key digest, token string) (claims, bool) {
	if known, ok := k.users.granted(key); ok {
		return known.claims, true
	}
	return readClaims(token)
}

func (k *Kubernetes) unauthenticated() Decision {
	return Decision{
		Verdict: Unauthenticated,
		Remedy:  fmt.Sprintf("Send a ServiceAccount token for the audience %q, e.g. from: kubectl create token NAME --audience=%s", k.audience, k.audience),
	}
}

// review asks whose token it is. A token for another audience is nobody's.
func (k *Kubernetes) review(ctx context.Context, token string) (authenticationv1.TokenReviewStatus, error) {
	review, err := k.reviews.Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{k.audience}},
	}, metav1.CreateOptions{})
	if err != nil {
		return authenticationv1.TokenReviewStatus{}, err
	}
	status := review.Status
	status.Authenticated = status.Authenticated && slices.Contains(status.Audiences, k.audience)
	return status, nil
}

// authorize asks whether the user may do it.
func (k *Kubernetes) authorize(ctx context.Context, user authenticationv1.UserInfo, a Attributes) (bool, error) {
	extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
	for name, values := range user.Extra {
		extra[name] = authorizationv1.ExtraValue(values)
	}
	spec := authorizationv1.SubjectAccessReviewSpec{User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra}
	if a.NonResourcePath != "" {
		spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Verb: a.Verb, Path: a.NonResourcePath}
	} else {
		spec.ResourceAttributes = &authorizationv1.ResourceAttributes{
			Group: Group, Version: "*",
			Verb: a.Verb, Resource: a.Resource, Subresource: a.Subresource, Namespace: a.Namespace, Name: a.Name,
		}
	}
	review, err := k.rights.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return review.Status.Allowed && !review.Status.Denied, nil
}

// missingRule says which rule would allow a.
func missingRule(a Attributes) string {
	if a.NonResourcePath != "" {
		return fmt.Sprintf("Bind the user to a ClusterRole with the rule {nonResourceURLs: [%q], verbs: [%q]}.", a.NonResourcePath, a.Verb)
	}
	rule := fmt.Sprintf("with the rule {apiGroups: [%q], resources: [%q], verbs: [%q]}.", Group, a.resource(), a.Verb)
	if a.Namespace == "" {
		return "Bind the user to a ClusterRole " + rule
	}
	return fmt.Sprintf("Bind the user, in namespace %q, to a Role %s", a.Namespace, rule)
}
