package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/controllers/compile"
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
	events   events.EventRecorder
	ledger   *ledger
	tracker  *rollout.Tracker
	interval time.Duration
	now      func() time.Time

	written sync.Map // types.NamespacedName to time.Time: when the status was last written
	pasts   sync.Map // types.NamespacedName to past
}

// past is what only the status knew of an epoch when the manager began.
type past struct {
	status.Past
	epoch string
}

// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=postrider.dev,resources=webhooks/status;authorizationitems/status;webhookpolicies/status,verbs=patch

// Reconcile writes what became of the Webhook, if that is news.
func (r *webhookReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var w v1alpha1.Webhook
	if err := r.client.Get(ctx, req.NamespacedName, &w); err != nil {
		r.written.Delete(req.NamespacedName)
		r.pasts.Delete(req.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	verdict, ok := r.ledger.read().webhooks[req.NamespacedName]
	if !ok || !verdict.About(&w) {
		return ctrl.Result{}, nil // the table controller is at it and will ask again
	}
	epoch := compile.Epoch(&w)
	facts := r.tracker.Facts(req.String(), rollout.Version{UID: string(w.UID), Generation: w.Generation}, epoch)

	now := r.now()
	next := status.ForWebhook(&w, verdict, facts, r.past(&w, epoch, facts), now)
	wait, changed := status.Patience(w.Status, next, r.interval)
	if !changed {
		return ctrl.Result{}, nil
	}
	if rest := wait - now.Sub(r.lastWrite(req.NamespacedName)); rest > 0 {
		return ctrl.Result{RequeueAfter: rest}, nil
	}
	old, happened := w.DeepCopy(), status.Transition(&w, next, facts)
	w.Status = next
	if err := r.client.Status().Patch(ctx, &w, client.MergeFrom(old)); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("writing the status: %w", err))
	}
	r.written.Store(req.NamespacedName, now)
	r.announce(&w, happened)
	return ctrl.Result{}, nil
}

// announce makes an Event of what happened to w, if anything did.
func (r *webhookReconciler) announce(w *v1alpha1.Webhook, e *status.Event) {
	if e == nil {
		return
	}
	kind, action := corev1.EventTypeNormal, "Enable"
	if e.Reason == v1alpha1.EventDisabled {
		kind, action = corev1.EventTypeWarning, "Disable"
	}
	r.events.Eventf(w, nil, kind, e.Reason, action, "%s", e.Note)
}

// past returns what [status.PastOf] said when all dispatchers had first reported
// about the epoch: later, the status counts what they know too.
func (r *webhookReconciler) past(w *v1alpha1.Webhook, epoch string, f rollout.Facts) status.Past {
	name := client.ObjectKeyFromObject(w)
	known, _ := r.pasts.Load(name)
	if p, ok := known.(past); ok && p.epoch == epoch {
		return p.Past
	}
	p := past{status.PastOf(w, f), epoch}
	if f.Complete {
		r.pasts.Store(name, p)
	}
	return p.Past
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
