package controllers

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/controllers/compile"
)

// The label of everything that the manager creates.
const (
	managedByLabel = "app.kubernetes.io/managed-by"
	managedBy      = "postrider"
)

// signingKeyBytes is the size of a generated key: that of an HMAC-SHA256
// output, and within the 24 to 64 that Standard Webhooks asks for.
const signingKeyBytes = 32

// policyReconciler is the sole writer of the status of WebhookPolicies, and
// creates the signing Secrets that they ask for.
type policyReconciler struct {
	judgedWriter
	ledger *ledger
	cached client.Reader
	live   client.Writer
}

// A role of its own: who wants no keys generated, or in some namespaces only,
// binds it otherwise.
// +kubebuilder:rbac:roleName=postrider-manager-signing-keys,groups="",resources=secrets,verbs=create

// Reconcile creates what is missing and writes the verdict, if it is news.
func (r *policyReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var o v1alpha1.WebhookPolicy
	if err := r.client.Get(ctx, req.NamespacedName, &o); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	verdict := r.ledger.read().policies[req.NamespacedName]
	err := r.ensureKey(ctx, &o)
	if err != nil {
		verdict = withoutKey(verdict, err)
		err = fmt.Errorf("creating the signing Secret: %w", err)
	}
	return ctrl.Result{}, errors.Join(err, r.write(ctx, &o, &o.Status, verdict))
}

// maxCause bounds what is repeated of an error in a status, in bytes.
const maxCause = 512

// withoutKey is v with the reason why the Secret that it misses is not there.
func withoutKey(v compile.Verdict, cause error) compile.Verdict {
	text := cause.Error()
	text = text[:min(len(text), maxCause)]
	if apierrors.IsForbidden(cause) && !apierrors.HasStatusCause(cause, corev1.NamespaceTerminatingCause) {
		text += "; create it yourself, or bind the ClusterRole postrider-manager-signing-keys to the manager in this namespace"
	}
	v.Faults = slices.Clone(v.Faults)
	for i := range v.Faults {
		if f := &v.Faults[i]; f.Reason == v1alpha1.ReasonSecretNotFound {
			f.Detail = "the manager cannot create the Secret, and tries again: " + text
		}
	}
	return v
}

// ensureKey creates the signing Secret with a fresh key if the policy asks for
// that and there is none. It has no owner: receivers rely on the key, so
// deleting the policy must not destroy it. A Secret that exists is left alone.
func (r *policyReconciler) ensureKey(ctx context.Context, o *v1alpha1.WebhookPolicy) error {
	s := o.Spec.Signing
	if s == nil || !s.Generate || s.SecretRef == nil || !o.DeletionTimestamp.IsZero() {
		return nil
	}
	name := client.ObjectKey{Namespace: o.Namespace, Name: s.SecretRef.Name}
	if err := r.cached.Get(ctx, name, secretHead()); !apierrors.IsNotFound(err) {
		return err // nil when it is there
	}
	key := make([]byte, signingKeyBytes)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	text := "whsec_" + base64.StdEncoding.EncodeToString(key)
	err := r.live.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name, Labels: map[string]string{managedByLabel: managedBy}},
		StringData: map[string]string{v1alpha1.SigningSecretKey: text},
	})
	switch {
	case err == nil, apierrors.IsAlreadyExists(err): // the cache has yet to hear of it
		return nil
	case quotes(err, text):
		return errors.New("it is refused, with an answer that quotes the key")
	}
	return err
}

// quotes reports whether the text of err holds the key, as it is or as the API
// server has it: whoever admits objects may answer what it wants.
func quotes(err error, key string) bool {
	return strings.Contains(err.Error(), strings.TrimPrefix(key, "whsec_")) ||
		strings.Contains(err.Error(), base64.StdEncoding.EncodeToString([]byte(key)))
}

func (r *policyReconciler) setup(mgr manager.Manager, asked *asks) error {
	return builder.ControllerManagedBy(mgr).Named("webhookpolicy").
		For(&v1alpha1.WebhookPolicy{}). // whatever changed: what others do to a status is undone
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.policiesOf)).
		WatchesRawSource(asked.source()).
		WithOptions(controllerOptions(1)).
		Complete(r)
}

// policiesOf names the policies that refer to the Secret.
func (r *policyReconciler) policiesOf(ctx context.Context, secret client.Object) []reconcile.Request {
	var list v1alpha1.WebhookPolicyList
	if err := r.cached.List(ctx, &list, refersTo(secret)...); err != nil {
		log.FromContext(ctx).Error(err, "policies of a Secret cannot be listed", "object", client.ObjectKeyFromObject(secret))
		return nil
	}
	requests := make([]reconcile.Request, len(list.Items))
	for i := range list.Items {
		requests[i].NamespacedName = client.ObjectKeyFromObject(&list.Items[i])
	}
	return requests
}
