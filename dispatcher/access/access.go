// Package access decides who may call: it asks Kubernetes, by TokenReview and
// SubjectAccessReview, or a token file on a machine without a cluster.
package access

import (
	"context"
	"fmt"
)

// Group is the API group of every resource that [Attributes] name.
const Group = "postrider.dev"

// Attributes say what a caller wants to do, in the words of Kubernetes RBAC:
// a verb on a resource of [Group], or on a path.
type Attributes struct {
	Verb        string // e.g. "create"
	Resource    string // e.g. "events"
	Subresource string // e.g. "test", may be empty
	Namespace   string // empty for what has none
	Name        string // of the object, empty for all

	NonResourcePath string // e.g. "/report"; then only Verb is set besides
}

// String reads like "create events.postrider.dev in namespace "shop"".
func (a Attributes) String() string {
	if a.NonResourcePath != "" {
		return fmt.Sprintf("%s %q", a.Verb, a.NonResourcePath)
	}
	s := a.Verb + " " + a.resource() + "." + Group
	if a.Name != "" {
		s += fmt.Sprintf(" %q", a.Name)
	}
	if a.Namespace != "" {
		s += fmt.Sprintf(" in namespace %q", a.Namespace)
	}
	return s
}

// resource is how a Role names it.
func (a Attributes) resource() string {
	if a.Subresource == "" {
		return a.Resource
	}
	return a.Resource + "/" + a.Subresource
}

// Verdict is how an [Authority] answers. Its values are API: they are labels of
// metrics.
type Verdict string

// The verdicts.
const (
	Allowed         Verdict = "Allowed"
	Unauthenticated Verdict = "Unauthenticated" // nobody is known by this token
	Denied          Verdict = "Denied"          // the user is known and lacks the right
)

// A Decision is the answer to one call.
type Decision struct {
	Verdict Verdict
	User    string // empty when Unauthenticated
	Remedy  string // what a caller who was not Allowed can do; a sentence
}

// An Authority decides. Its error means that it could not; then nobody may
// take the answer for a permission.
type Authority interface {
	Decide(ctx context.Context, token string, a Attributes) (Decision, error)
}
