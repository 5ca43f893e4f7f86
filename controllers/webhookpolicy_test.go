package controllers_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/dispatcher/route"
)

func itemBecomes(t *testing.T, ns, name, want string) {
	t.Helper()
	until(t, func() error {
		var o v1alpha1.AuthorizationItem
		if err := api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: name}, &o); err != nil {
			return err
		}
		if got := conditions(o.Status.Conditions); got != want {
			return errors.New(got)
		}
		return nil
	})
}

func policyBecomes(t *testing.T, ns, name, want string) *v1alpha1.WebhookPolicy {
	t.Helper()
	var o v1alpha1.WebhookPolicy
	until(t, func() error {
		if err := api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: name}, &o); err != nil {
			return err
		}
		if got := conditions(o.Status.Conditions); got != want {
			return errors.New(got)
		}
		return nil
	})
	return &o
}

const ready = "Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs Ready=True/Ready"

func TestASigningKeyIsGeneratedOnceAndOutlivesThePolicy(t *testing.T) {
	ns := namespace(t)
	apply(t, ns, `
kind: WebhookPolicy
metadata: {name: p}
spec: {signing: {type: StandardWebhooks, secretRef: {name: signing}, generate: true}}
---
kind: Webhook
metadata: {name: orders}
spec: {type: EventHandler, events: ["*"], endpoint: {url: "https://a.example/"}, policyRef: {name: p}}`)
	policy := policyBecomes(t, ns, "p", ready)
	becomes(t, ns, "orders", "Ready=True/Ready")

	secret := &corev1.Secret{}
	name := client.ObjectKey{Namespace: ns, Name: "signing"}
	if err := api.Get(t.Context(), name, secret); err != nil {
		t.Fatal(err)
	}
	text := string(secret.Data[v1alpha1.SigningSecretKey])
	key, err := route.SigningKey(route.Secret(text))
	if err != nil || len(key) != 32 || !strings.HasPrefix(text, "whsec_") {
		t.Errorf("the key has %d bytes, error %v", len(key), err)
	}
	if len(secret.OwnerReferences) > 0 || secret.Labels["app.kubernetes.io/managed-by"] != "postrider" {
		t.Errorf("its metadata is %+v", secret.ObjectMeta)
	}
	signsWith := func(want string) {
		t.Helper()
		until(t, func() error {
			if r := routeOf(t, ns+"/orders"); r.Signing == nil || r.Signing.Keys[0].Reveal() != want {
				return errors.New("the published route does not sign with the key of the Secret")
			}
			return nil
		})
	}
	signsWith(text)

	if err := api.Delete(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	becomes(t, ns, "orders", "ResolvedRefs=False/RefNotFound")
	if err := api.Get(t.Context(), name, secret); err != nil || string(secret.Data[v1alpha1.SigningSecretKey]) != text {
		t.Errorf("the key went with the policy: %v", err)
	}

	apply(t, ns, `
kind: WebhookPolicy
metadata: {name: p}
spec: {signing: {type: StandardWebhooks, secretRef: {name: signing}, generate: true}}`)
	becomes(t, ns, "orders", "Ready=True/Ready")
	signsWith(text) // a policy that comes back uses the key that there is

	if err := api.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	until(t, func() error {
		r := routeOf(t, ns+"/orders")
		if r.Signing == nil || r.Signing.Keys[0].Reveal() == text {
			return errors.New("no fresh key is in force")
		}
		return nil
	})
}

func TestASecretThatExistsIsNeverOverwritten(t *testing.T) {
	ns := namespace(t)
	apply(t, ns, `
kind: Secret
metadata: {name: signing}
stringData: {other: mine}
---
kind: WebhookPolicy
metadata: {name: p}
spec: {signing: {type: StandardWebhooks, secretRef: {name: signing}, generate: true}}`)
	policyBecomes(t, ns, "p", "Accepted=True/Accepted ResolvedRefs=False/SecretKeyMissing Ready=False/SecretKeyMissing")
	var secret corev1.Secret
	if err := api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "signing"}, &secret); err != nil {
		t.Fatal(err)
	}
	if len(secret.Data) != 1 || string(secret.Data["other"]) != "mine" {
		t.Error("it was changed")
	}
}

func TestAKeyThatCannotBeCreatedIsTold(t *testing.T) {
	ns := namespace(t)
	apply(t, ns, `
kind: WebhookPolicy
metadata: {name: p}
spec: {signing: {type: StandardWebhooks, secretRef: {name: signing}}}`)
	const missing = "Accepted=True/Accepted ResolvedRefs=False/SecretNotFound Ready=False/SecretNotFound"
	policyBecomes(t, ns, "p", missing)

	// In a namespace that is on its way out, nothing can be created any more.
	if err := api.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}); err != nil {
		t.Fatal(err)
	}
	var o v1alpha1.WebhookPolicy
	if err := api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "p"}, &o); err != nil {
		t.Fatal(err)
	}
	o.Spec.Signing.Generate = true
	if err := api.Update(t.Context(), &o); err != nil {
		t.Fatal(err)
	}
	until(t, func() error {
		p := policyBecomes(t, ns, "p", missing)
		c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionResolvedRefs)
		if p.Status.ObservedGeneration != p.Generation || !strings.Contains(c.Message, "being terminated") || len(c.Message) > 1024 {
			return errors.New(c.Message)
		}
		return nil
	})
}

func TestAStatusThatSomebodyElseChangesIsRepairedOnce(t *testing.T) {
	ns := namespace(t)
	apply(t, ns, fmt.Sprintf(plain, "orders")+`
---
kind: WebhookPolicy
metadata: {name: p}
spec: {}
---
kind: AuthorizationItem
metadata: {name: i}
spec: {type: Bearer, bearer: {secretKeyRef: {name: none}}}`)
	const missing = "Accepted=True/Accepted ResolvedRefs=False/SecretNotFound Ready=False/SecretNotFound"
	becomes(t, ns, "orders", "Ready=True/Ready")
	policyBecomes(t, ns, "p", ready)
	itemBecomes(t, ns, "i", missing)

	name := func(n string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: ns, Name: n} }
	objects := []client.Object{&v1alpha1.Webhook{ObjectMeta: name("orders")}, &v1alpha1.WebhookPolicy{ObjectMeta: name("p")}, &v1alpha1.AuthorizationItem{ObjectMeta: name("i")}}
	for _, o := range objects {
		if err := api.Status().Patch(t.Context(), o, client.RawPatch(types.MergePatchType, []byte(`{"status":{"conditions":null}}`))); err != nil {
			t.Fatal(err)
		}
	}
	becomes(t, ns, "orders", "Ready=True/Ready")
	policyBecomes(t, ns, "p", ready)
	itemBecomes(t, ns, "i", missing)

	versions := func() (all []string) {
		for _, o := range objects {
			if err := api.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
				t.Fatal(err)
			}
			all = append(all, o.GetResourceVersion())
		}
		return all
	}
	before := versions()
	apply(t, ns, fmt.Sprintf(plain, "later")) // by when that is through, so would be a second write
	becomes(t, ns, "later", "Ready=True/Ready")
	if diff := cmp.Diff(before, versions()); diff != "" {
		t.Errorf("statuses were written without need (-before +after)\n%s", diff)
	}
}
