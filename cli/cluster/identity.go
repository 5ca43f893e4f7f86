package cluster

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// Audience is what tokens for dispatchers are issued for.
	Audience = "postrider"
	// DefaultServiceAccount is who the plugin is for a dispatcher, in the namespace
	// of the webhooks.
	DefaultServiceAccount = "postrider-cli"

	// tokenLife is the shortest that the API server grants.
	tokenLife = 10 * time.Minute
)

// An Account is a ServiceAccount that a dispatcher is called as.
type Account struct{ Namespace, Name string }

// String is how a rolebinding names it.
func (a Account) String() string { return a.Namespace + ":" + a.Name }

// Tokens returns a source of tokens of the account for dispatchers. A new one is made
// when half of the life of the last one has passed.
func (c *Cluster) Tokens(a Account) func(context.Context) (string, error) {
	var mu sync.Mutex
	var token string
	var renew time.Time
	return func(ctx context.Context) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if time.Now().Before(renew) {
			return token, nil
		}
		made, err := c.token(ctx, a, Audience)
		if err != nil {
			return "", err
		}
		token, renew = made, time.Now().Add(tokenLife/2)
		return token, nil
	}
}

// token has the API server make a token; without an audience it is for the API
// server itself.
func (c *Cluster) token(ctx context.Context, a Account, audiences ...string) (string, error) {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences: audiences, ExpirationSeconds: new(int64(tokenLife.Seconds())),
	}}
	made, err := c.core.ServiceAccounts(a.Namespace).CreateToken(ctx, a.Name, request, metav1.CreateOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return "", c.noAccount(ctx, a, err)
	case apierrors.IsForbidden(err):
		return "", c.noToken(ctx, a, err)
	case err != nil:
		return "", fmt.Errorf("making a token of ServiceAccount %s: %w", a, err)
	}
	return made.Status.Token, nil
}

const orOther = "Or be another ServiceAccount with --service-account, or bring a token for the audience " + Audience + " with --token-file."

func (c *Cluster) noAccount(ctx context.Context, a Account, err error) error {
	if _, err := c.core.Namespaces().Get(ctx, a.Namespace, metav1.GetOptions{}); apierrors.IsNotFound(err) {
		return &Lack{Problem: fmt.Sprintf("there is no namespace %q", a.Namespace), Or: "Name the one of the webhooks with -n.", cause: err}
	}
	return &Lack{
		Problem:  fmt.Sprintf("there is no ServiceAccount %q in namespace %q to call the dispatcher as", a.Name, a.Namespace),
		Commands: append([]string{fmt.Sprintf("kubectl create serviceaccount %s -n %s", a.Name, a.Namespace)}, a.Grant(RoleOperator)...),
		Or:       orOther, cause: err,
	}
}

func (c *Cluster) noToken(ctx context.Context, a Account, err error) error {
	role, user := a.Name+"-token", c.user(ctx)
	return &Lack{
		Problem: fmt.Sprintf("you may not make a token of ServiceAccount %q in namespace %q", a.Name, a.Namespace),
		Commands: []string{
			fmt.Sprintf("kubectl create role %s -n %s --verb=create --resource=serviceaccounts/token --resource-name=%s", role, a.Namespace, a.Name),
			fmt.Sprintf("kubectl create rolebinding %s-%s -n %s --role=%s --user=%s", role, label(user), a.Namespace, role, Quote(user)),
		},
		Or: orOther, cause: err,
	}
}

// The ClusterRoles of config/rbac that let an account call a dispatcher.
const (
	RoleOperator = "postrider-operator"
	RoleProducer = "postrider-producer"
)

// Grant is the commands that bind a ClusterRole to the account in its namespace.
func (a Account) Grant(role string) []string {
	return []string{fmt.Sprintf("kubectl create rolebinding %s-%s -n %s --clusterrole=%s --serviceaccount=%s",
		a.Name, strings.TrimPrefix(role, "postrider-"), a.Namespace, role, a)}
}

// Account returns the ServiceAccount.
func (c *Cluster) Account(ctx context.Context, a Account) (*corev1.ServiceAccount, error) {
	account, err := c.core.ServiceAccounts(a.Namespace).Get(ctx, a.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, c.noAccount(ctx, a, err)
	}
	return account, err
}

// user is the name of who the API server takes the user for, for use in commands.
func (c *Cluster) user(ctx context.Context) string {
	review, err := c.authentication.SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil || review.Status.UserInfo.Username == "" {
		return "USER"
	}
	return review.Status.UserInfo.Username
}

// Quote makes s one word of a shell.
func Quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.:@/+=", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// label makes of a user's name what the name of a binding may hold.
func label(user string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(user))
	return strings.Trim(name[:min(len(name), 100)], "-")
}
