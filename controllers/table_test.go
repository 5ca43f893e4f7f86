package controllers_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/dispatcher/route"
)

func shard(i int) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: route.SecretName(i)}}
}

func TestTheTableIsHealedWhateverIsDoneToIt(t *testing.T) {
	ns := namespace(t)
	apply(t, ns, fmt.Sprintf(plain, "orders"))
	becomes(t, ns, "orders", "Ready=True/Ready")
	whole := func() error {
		if r := routeOf(t, ns+"/orders"); r.URL == "" {
			return errors.New("the route is not published")
		}
		var o corev1.Secret
		if err := api.Get(t.Context(), client.ObjectKeyFromObject(shard(0)), &o); err != nil {
			return err
		}
		if len(o.Data) != 1 || o.Immutable != nil {
			return fmt.Errorf("the Secret has other keys: %d", len(o.Data))
		}
		return nil
	}
	until(t, whole)

	for _, tt := range []struct {
		name   string
		tamper func(*corev1.Secret) error
	}{
		{"its content is replaced", func(o *corev1.Secret) error {
			o.Data = map[string][]byte{route.SecretKey: []byte("tampered")}
			return api.Update(t.Context(), o)
		}},
		{"a key is added", func(o *corev1.Secret) error {
			o.Data["other"] = []byte("tampered")
			return api.Update(t.Context(), o)
		}},
		{"its label is removed", func(o *corev1.Secret) error {
			o.Labels = nil
			return api.Update(t.Context(), o)
		}},
		{"it is frozen with another content", func(o *corev1.Secret) error {
			o.Immutable, o.Data[route.SecretKey] = new(true), []byte("tampered")
			return api.Update(t.Context(), o)
		}},
		{"it is deleted", func(o *corev1.Secret) error { return api.Delete(t.Context(), o) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := shard(0)
			if err := api.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
				t.Fatal(err)
			}
			if err := tt.tamper(o); err != nil {
				t.Fatal(err)
			}
			until(t, whole)
		})
	}
	t.Run("a shard too many is added", func(t *testing.T) {
		o := shard(7)
		o.Labels = map[string]string{route.SecretLabel: route.SecretLabelValue}
		if err := api.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		until(t, func() error {
			if err := api.Get(t.Context(), client.ObjectKeyFromObject(o), o); !apierrors.IsNotFound(err) {
				return fmt.Errorf("it is still there: %w", err)
			}
			return nil
		})
		until(t, whole)
	})
}

func TestAnEqualTableIsNotWrittenAgain(t *testing.T) {
	ns := namespace(t)
	apply(t, ns, fmt.Sprintf(plain, "orders"))
	becomes(t, ns, "orders", "Ready=True/Ready")
	before := shard(0)
	if err := api.Get(t.Context(), client.ObjectKeyFromObject(before), before); err != nil {
		t.Fatal(err)
	}
	// A change that makes the manager compile again, to the same table: the
	// status of the item says when that has happened.
	apply(t, ns, `
kind: AuthorizationItem
metadata: {name: unused}
spec: {type: Bearer, bearer: {secretKeyRef: {name: none}}}`)
	itemBecomes(t, ns, "unused", "Accepted=True/Accepted ResolvedRefs=False/SecretNotFound Ready=False/SecretNotFound")
	after := shard(0)
	if err := api.Get(t.Context(), client.ObjectKeyFromObject(after), after); err != nil {
		t.Fatal(err)
	}
	if before.ResourceVersion != after.ResourceVersion {
		t.Error("an equal table was written again")
	}
}

func TestOneBrokenWebhookAmongManyStopsNobody(t *testing.T) {
	ns := namespace(t)
	for i := range 20 {
		apply(t, ns, fmt.Sprintf(plain, fmt.Sprint("w", i)))
		apply(t, ns, fmt.Sprintf(`
kind: Webhook
metadata: {name: broken%d}
spec: {type: EventHandler, events: ["*"], condition: "no such thing", endpoint: {url: "https://a.example/"}}`, i))
	}
	for i := range 20 {
		becomes(t, ns, fmt.Sprint("w", i), "Ready=True/Ready")
		becomes(t, ns, fmt.Sprint("broken", i), "Ready=False/InvalidCondition")
	}
}

func TestATableThatOutgrowsOneSecretIsSpread(t *testing.T) {
	ns := namespace(t)
	apply(t, ns, fmt.Sprintf(plain, "small"))
	becomes(t, ns, "small", "Ready=True/Ready")
	const large = 150 // Webhooks of 15 KiB each, compressed to half that
	for i := range large {
		var headers strings.Builder
		for h := range 4 {
			fmt.Fprintf(&headers, "{name: X-%d, value: %q},", h, noise(3840))
		}
		apply(t, ns, fmt.Sprintf(`
kind: Webhook
metadata: {name: large%d}
spec: {type: EventHandler, events: ["*"], endpoint: {url: "https://a.example/", headers: [%s]}}`, i, headers.String()))
	}
	for i := range large {
		becomes(t, ns, fmt.Sprint("large", i), "Ready=True/Ready")
	}
	if n := shards(t); n < 2 {
		t.Errorf("there are %d shards", n)
	}

	if err := api.DeleteAllOf(t.Context(), &v1alpha1.Webhook{}, client.InNamespace(ns)); err != nil {
		t.Fatal(err)
	}
	until(t, func() error {
		if n := shards(t); n != 1 {
			return fmt.Errorf("there are %d shards", n)
		}
		return nil
	})
	apply(t, ns, fmt.Sprintf(plain, "small"))
	becomes(t, ns, "small", "Ready=True/Ready")
}

// noise is n hexadecimal digits, which compress to half at best.
func noise(n int) string {
	b := make([]byte, n/2)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}

func shards(t *testing.T) int {
	t.Helper()
	var list corev1.SecretList
	if err := api.List(t.Context(), &list, client.InNamespace(systemNamespace), client.HasLabels{route.SecretLabel}); err != nil {
		t.Fatal(err)
	}
	return len(list.Items)
}

func TestATableThatCannotBeWrittenIsToldAndWrittenLater(t *testing.T) {
	ns := namespace(t)
	apply(t, ns, fmt.Sprintf(plain, "before"))
	becomes(t, ns, "before", "Ready=True/Ready")

	var role rbacv1.Role
	name := client.ObjectKey{Namespace: systemNamespace, Name: "postrider-manager"}
	if err := api.Get(t.Context(), name, &role); err != nil {
		t.Fatal(err)
	}
	rules := role.Rules
	role.Rules = slices.DeleteFunc(slices.Clone(rules), func(r rbacv1.PolicyRule) bool { return slices.Contains(r.Resources, "secrets") })
	if len(role.Rules) == len(rules) {
		t.Fatal("the role has no rule about Secrets")
	}
	if err := api.Update(t.Context(), &role); err != nil {
		t.Fatal(err)
	}
	restore := sync.OnceFunc(func() {
		role.Rules = rules
		if err := api.Update(context.WithoutCancel(t.Context()), &role); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(restore)

	// The API server may take a moment to forget the right. Until then nothing is
	// tried: each failure would lengthen the pause before the one that succeeds.
	until(t, func() error {
		if managerMay(t, "update", "secrets") {
			return errors.New("the manager may still write the table")
		}
		return nil
	})
	apply(t, ns, strings.Replace(fmt.Sprintf(plain, "new"), `["item:*"]`, fmt.Sprintf("[%q]", noise(8)), 1))
	becomes(t, ns, "new", "Programmed=False/PublishFailed")
	apply(t, ns, `
kind: Webhook
metadata: {name: wrong}
spec: {type: EventHandler, events: ["*"], condition: "1 +", endpoint: {url: "https://a.example/"}}`)
	w := becomes(t, ns, "wrong", "Accepted=False/InvalidCondition", "Programmed=False/PublishFailed", "Ready=False/InvalidCondition")
	if m := meta.FindStatusCondition(w.Status.Conditions, v1alpha1.ConditionProgrammed).Message; !strings.Contains(m, "forbidden") {
		t.Errorf("the message is %q", m)
	}
	becomes(t, ns, "before", "Ready=True/Ready") // it is in force as it was

	restore()
	becomes(t, ns, "new", "Ready=True/Ready")
	becomes(t, ns, "wrong", "Programmed=True/Programmed")
}

// managerMay asks the API server for a right of the manager in its namespace.
func managerMay(t *testing.T, verb, resource string) bool {
	t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               "system:serviceaccount:" + systemNamespace + ":postrider-manager",
		Groups:             []string{"system:serviceaccounts", "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: systemNamespace, Verb: verb, Resource: resource},
	}}
	if err := api.Create(t.Context(), review); err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}

func TestASecretThatIsNotTextStopsNobody(t *testing.T) {
	ns := namespace(t)
	apply(t, ns, `
kind: Secret
metadata: {name: binary}
data: {value: /v8=}
---
kind: Webhook
metadata: {name: binary}
spec: {type: EventHandler, events: ["*"], endpoint: {url: "https://a.example/", headers: [{name: X-Key, valueFrom: {secretKeyRef: {name: binary}}}]}}
---
`+fmt.Sprintf(plain, "neighbour"))
	becomes(t, ns, "binary", "ResolvedRefs=False/SecretInvalid", "Programmed=True/Programmed")
	becomes(t, ns, "neighbour", "Ready=True/Ready")
}
