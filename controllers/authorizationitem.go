package controllers

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/postrider/postrider/api/v1alpha1"
)

// itemReconciler is the sole writer of the status of AuthorizationItems.
type itemReconciler struct {
	judgedWriter
	ledger *ledger
}

// Reconcile writes the verdict, if it is news.
func (r *itemReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var o v1alpha1.AuthorizationItem
	if err := r.client.Get(ctx, req.NamespacedName, &o); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	return ctrl.Result{}, r.write(ctx, &o, &o.Status, r.ledger.read().items[req.NamespacedName])
}

func (r *itemReconciler) setup(mgr manager.Manager, asked *asks) error {
	return builder.ControllerManagedBy(mgr).Named("authorizationitem").
		For(&v1alpha1.AuthorizationItem{}). // whatever changed: what others do to a status is undone
		WatchesRawSource(asked.source()).
		WithOptions(controllerOptions(1)).
		Complete(r)
}
