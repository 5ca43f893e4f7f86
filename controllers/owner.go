package controllers

import (
	"context"
	"fmt"
	"strings"
	"sync"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// owner knows what the objects belong to that the manager makes in its own
// namespace: its ServiceAccount. When that is removed, as an uninstallation
// does, Kubernetes removes them too, and with them all credentials in them.
type owner struct {
	live      client.Client
	namespace string

	mu    sync.Mutex
	asked bool
	refs  []metav1.OwnerReference
}

// references are for the metadata of an object. They are empty for a manager
// that is no ServiceAccount of the namespace.
func (o *owner) references(ctx context.Context) ([]metav1.OwnerReference, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.asked {
		return o.refs, nil
	}
	var review authenticationv1.SelfSubjectReview
	if err := o.live.Create(ctx, &review); err != nil && !apierrors.IsForbidden(err) {
		return nil, fmt.Errorf("asking the API server who the manager is: %w", err)
	}
	o.asked = true
	account, isAccount := strings.CutPrefix(review.Status.UserInfo.Username, "system:serviceaccount:"+o.namespace+":")
	if uid := review.Status.UserInfo.UID; isAccount && uid != "" {
		o.refs = []metav1.OwnerReference{{APIVersion: corev1.SchemeGroupVersion.String(), Kind: "ServiceAccount", Name: account, UID: types.UID(uid)}}
	}
	return o.refs, nil
}

// claimLease makes the Lease of the leader, which is made by a library, an
// object of the owner too. Its holder calls this, and renews it meanwhile.
func (o *owner) claimLease(ctx context.Context) error {
	return wait.PollUntilContextCancel(ctx, maxRetry, true, func(ctx context.Context) (done bool, err error) {
		refs, err := o.references(ctx)
		if err != nil {
			return false, nil //nolint:nilerr // the API server is away: later
		}
		var lease coordinationv1.Lease
		if err := o.live.Get(ctx, client.ObjectKey{Namespace: o.namespace, Name: leaderElectionID}, &lease); err != nil {
			return false, nil //nolint:nilerr // likewise
		}
		if equality.Semantic.DeepEqual(lease.OwnerReferences, refs) {
			return true, nil
		}
		lease.OwnerReferences = refs
		return o.live.Update(ctx, &lease) == nil, nil
	})
}
