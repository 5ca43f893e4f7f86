package controllers_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestWhoMayWhat asks the API server about users who are bound to one role each, in
// a namespace of their own.
func TestWhoMayWhat(t *testing.T) {
	see := rights("get list watch", "webhooks authorizationitems webhookpolicies", "get", "webhooks/deliveries")
	manage := rights("create update patch delete", "webhooks authorizationitems webhookpolicies")
	operate := rights("create", "webhooks/test webhooks/replay", "get", "webhooks/deadletters")
	publish, command := rights("create", "events"), rights("create", "workflowcommands")
	never := rights("update patch", "webhooks/status authorizationitems/status webhookpolicies/status", "get list delete", "events workflowcommands")
	all := slices.Concat(see, manage, operate, publish, command, never)

	for role, may := range map[string][]right{
		"postrider-administrator":     slices.Concat(see, manage, operate, publish, command),
		"postrider-developer":         slices.Concat(see, manage, operate),
		"postrider-operator":          slices.Concat(see, operate),
		"postrider-viewer":            see,
		"postrider-producer":          publish,
		"postrider-workflow-producer": command,
		"admin":                       slices.Concat(see, manage, operate, publish, command),
		"edit":                        slices.Concat(see, manage, operate),
		"view":                        see,
	} {
		t.Run(role, func(t *testing.T) {
			if !strings.HasPrefix(role, "postrider-") {
				aggregate(t, role)
			}
			ns, user := namespace(t), "user-of-"+role
			bind(t, ns, role, user)
			until(t, func() error { // the API server takes a moment to see a binding
				for _, r := range all {
					if got, want := mayDo(t, user, ns, r), slices.Contains(may, r); got != want {
						return fmt.Errorf("%s may %s: %t", user, r, got)
					}
				}
				return nil
			})
			for _, r := range all {
				if mayDo(t, user, "default", r) {
					t.Errorf("%s may %s in another namespace", user, r)
				}
			}
		})
	}
}

func TestAnAdministratorMakesPublishersAndADeveloperDoesNot(t *testing.T) {
	aggregate(t, "edit")
	aggregate(t, "admin")
	for role, may := range map[string]bool{"admin": true, "edit": false} {
		ns, user := namespace(t), "publisher-maker-of-"+role
		bind(t, ns, role, user)
		// The developer gets what Kubernetes gives no editor, so that what is in the
		// role of the producer is all that keeps them.
		bind(t, ns, bindings(t), user)
		as := asUser(t, user)
		until(t, func() error {
			for _, producer := range []string{"postrider-producer", "postrider-workflow-producer"} {
				err := as.Create(t.Context(), &rbacv1.RoleBinding{
					ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: producer},
					RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: producer},
					Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "cm"}},
				})
				switch {
				case may && err != nil && !apierrors.IsAlreadyExists(err):
					return fmt.Errorf("%s cannot bind %s: %w", role, producer, err)
				case !may && !apierrors.IsForbidden(err):
					t.Errorf("%s binds %s: %v", role, producer, err)
				case !may && !strings.Contains(err.Error(), "attempting to grant RBAC permissions not currently held"):
					return fmt.Errorf("for another reason: %w", err)
				}
			}
			return nil
		})
	}
}

// A right is a verb and a resource, which may have a subresource.
type right struct{ verb, resource string }

func (r right) String() string { return r.verb + " " + r.resource }

// rights are all combinations of verbs with the resources that follow them.
func rights(verbsAndResources ...string) []right {
	var all []right
	for pair := range slices.Chunk(verbsAndResources, 2) {
		for verb := range strings.FieldsSeq(pair[0]) {
			for resource := range strings.FieldsSeq(pair[1]) {
				all = append(all, right{verb, resource})
			}
		}
	}
	return all
}

func mayDo(t *testing.T, user, namespace string, r right) bool {
	t.Helper()
	resource, subresource, _ := strings.Cut(r.resource, "/")
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user, Groups: []string{"system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: r.verb, Group: "postrider.dev", Resource: resource, Subresource: subresource,
		},
	}}
	if err := api.Create(t.Context(), review); err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}

func bind(t *testing.T, namespace, role, user string) {
	t.Helper()
	if err := api.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "bind-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
	}); err != nil {
		t.Fatal(err)
	}
}

// asUser is a client with the rights of a user.
func asUser(t *testing.T, name string) client.Client {
	t.Helper()
	cfg := rest.CopyConfig(server)
	cfg.Impersonate = rest.ImpersonationConfig{UserName: name, Groups: []string{"system:authenticated"}}
	c, err := client.New(cfg, client.Options{Scheme: api.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// bindings is a role that may write RoleBindings, as far as its holder's rights go.
func bindings(t *testing.T) string {
	t.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "bindings"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"rolebindings"}, Verbs: []string{"create"}},
	}}
	if err := api.Create(t.Context(), role); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	return role.Name
}

// aggregate gives a role of Kubernetes what its aggregation rule selects, as a
// controller of each cluster does that is not part of the API server.
func aggregate(t *testing.T, name string) {
	t.Helper()
	var list rbacv1.ClusterRoleList
	if err := api.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	var role rbacv1.ClusterRole
	if err := api.Get(t.Context(), client.ObjectKey{Name: name}, &role); err != nil {
		t.Fatal(err)
	}
	if role.AggregationRule == nil {
		t.Fatal(errors.New(name + " aggregates nothing"))
	}
	for _, s := range role.AggregationRule.ClusterRoleSelectors {
		selector, err := metav1.LabelSelectorAsSelector(&s)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range list.Items {
			if part.Name != name && selector.Matches(labels.Set(part.Labels)) {
				role.Rules = append(role.Rules, part.Rules...)
			}
		}
	}
	if err := api.Update(t.Context(), &role); err != nil {
		t.Fatal(err)
	}
}
