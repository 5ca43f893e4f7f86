package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/controllers/rollout"
	"github.com/postrider/postrider/controllers/status"
)

// webhookReconciler is the sole writer of the status of Webhooks.
//
// It patches: the difference to the status that is there, which by the
// client's read-your-writes is at least as new as its own last one, so nothing
// has to be sent, owned or conflicted over that has not changed.
type webhookReconciler struct {
	client   client.Client
	ledger   *ledger
	tracker  *rollout.Tracker
	interval time.Duration
	now      func() time.Time

	written sync.Map // types.NamespacedName to time.Time: when the status was last written
	carried sync.Map // types.NamespacedName to carried
}

// carried are the failures in a row of a Webhook that are older than the
// dispatchers that started at a time.
type carried struct {
	uid      types.UID
	started  time.Time
	failures int32
}

// +kubebuilder:rbac:groups=postrider.dev,resources=webhooks/status;authorizationitems/status;webhookpolicies/status,verbs=patch

// Reconcile writes what became of the Webhook, if that is news.
func (r *webhookReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var w v1alpha1.Webhook
	if err := r.client.Get(ctx, req.NamespacedName, &w); err != nil {
		r.written.Delete(req.NamespacedName)
		r.carried.Delete(req.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	verdict, ok := r.ledger.read().webhooks[req.NamespacedName]
	if !ok || !verdict.About(&w) {
		return ctrl.Result{}, nil // the table controller is at it and will ask again
	}
	facts := r.tracker.Facts(req.String(), rollout.Version{UID: string(w.UID), Generation: w.Generation})

	now := r.now()
	next := status.ForWebhook(&w, verdict, facts, r.carry(&w, facts.Started), now)
	wait, changed := status.Patience(w.Status, next, r.interval)
	if !changed {
		return ctrl.Result{}, nil
	}
	if rest := wait - now.Sub(r.lastWrite(req.NamespacedName)); rest > 0 {
		return ctrl.Result{RequeueAfter: rest}, nil
	}
	old := w.DeepCopy()
	w.Status = next
	if err := r.client.Status().Patch(ctx, &w, client.MergeFrom(old)); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("writing the status: %w", err))
	}
	r.written.Store(req.NamespacedName, now)
	return ctrl.Result{}, nil
}

// carry returns what [status.Carried] said when the dispatchers that started at
// that time were first heard of: later, the status counts what they know too.
func (r *webhookReconciler) carry(w *v1alpha1.Webhook, started time.Time) int32 {
	name := client.ObjectKeyFromObject(w)
	known, _ := r.carried.Load(name)
	c, ok := known.(carried)
	if !ok || c.uid != w.UID || !c.started.Equal(started) {
		c = carried{w.UID, started, status.Carried(w.Status, started)}
		r.carried.Store(name, c)
	}
	return c.failures
}

// lastWrite returns the zero time when there was none since the start.
func (r *webhookReconciler) lastWrite(name types.NamespacedName) time.Time {
	t, _ := r.written.Load(name)
	at, _ := t.(time.Time) // zero when absent
	return at
}

func (r *webhookReconciler) setup(mgr manager.Manager, asked *asks) error {
	return builder.ControllerManagedBy(mgr).Named("webhook").
		For(&v1alpha1.Webhook{}). // whatever changed: what others do to a status is undone
		WatchesRawSource(asked.source()).
		WithOptions(controllerOptions(statusWorkers)).
		Complete(r)
}
