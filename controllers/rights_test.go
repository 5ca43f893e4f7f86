package controllers_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/postrider/postrider/api/v1alpha1"
)

func TestTheManagerCreatesSigningKeysAndNoOtherSecrets(t *testing.T) {
	ns := namespace(t)
	secret := func(namespace, name string, data ...string) *corev1.Secret {
		o := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, StringData: map[string]string{}}
		for _, key := range data {
			o.StringData[key] = "x"
		}
		return o
	}
	token := func(namespace string) *corev1.Secret {
		o := secret(namespace, "token")
		o.Type = corev1.SecretTypeServiceAccountToken
		o.Annotations = map[string]string{corev1.ServiceAccountNameKey: "default"}
		return o
	}
	key := secret(ns, "key", v1alpha1.SigningSecretKey)
	for _, o := range []*corev1.Secret{token(ns), token(systemNamespace), secret(ns, "other", "password"), secret(ns, "more", v1alpha1.SigningSecretKey, "password"), secret(ns, "empty")} {
		until(t, func() error { // the API server takes a moment to enforce a policy
			err := asManager.Create(t.Context(), o.DeepCopy())
			if apierrors.IsInvalid(err) || apierrors.IsForbidden(err) {
				return nil
			}
			return errors.Join(errors.New("it creates "+o.Namespace+"/"+o.Name), err, client.IgnoreNotFound(api.Delete(t.Context(), o.DeepCopy())))
		})
	}
	if err := asManager.Create(t.Context(), key); err != nil {
		t.Errorf("it cannot create a signing key: %v", err)
	}
	key.StringData = map[string]string{v1alpha1.SigningSecretKey: "y"}
	for what, err := range map[string]error{
		"update": asManager.Update(t.Context(), key), "delete": asManager.Delete(t.Context(), key),
		"create a ConfigMap": asManager.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "c"}}),
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("it may %s: %v", what, err)
		}
	}
}

func TestWhereTheManagerMayCreateNoKeysThePolicySaysWhatToDo(t *testing.T) {
	const role = "postrider-manager-signing-keys"
	var everywhere rbacv1.ClusterRoleBinding
	if err := api.Get(t.Context(), client.ObjectKey{Name: role}, &everywhere); err != nil {
		t.Fatal(err)
	}
	if err := api.Delete(t.Context(), everywhere.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	restore := everywhere.DeepCopy()
	restore.ResourceVersion, restore.UID = "", ""
	t.Cleanup(func() {
		if err := api.Create(context.WithoutCancel(t.Context()), restore); err != nil {
			t.Error(err)
		}
	})

	ns := namespace(t)
	until(t, func() error { // and so does taking a right away
		err := asManager.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "probe"}})
		if apierrors.IsForbidden(err) && strings.Contains(err.Error(), "cannot create resource") {
			return nil
		}
		return errors.Join(errors.New("it may still create Secrets"), err)
	})
	apply(t, ns, `
kind: WebhookPolicy
metadata: {name: p}
spec: {signing: {type: StandardWebhooks, secretRef: {name: signing}, generate: true}}`)
	until(t, func() error {
		p := policyBecomes(t, ns, "p", "Accepted=True/Accepted ResolvedRefs=False/SecretNotFound Ready=False/SecretNotFound")
		if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionResolvedRefs); !strings.Contains(c.Message, "bind the ClusterRole "+role) {
			return errors.New(c.Message)
		}
		return nil
	})
	here := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: role}, RoleRef: everywhere.RoleRef, Subjects: everywhere.Subjects}
	if err := api.Create(t.Context(), here); err != nil {
		t.Fatal(err)
	}
	policyBecomes(t, ns, "p", ready)
}
