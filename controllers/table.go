package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/controllers/compile"
	"github.com/postrider/postrider/controllers/rollout"
	"github.com/postrider/postrider/dispatcher/route"
)

// tableKey is the one work item of the table controller: whatever changed, the
// answer is to compile everything again. The work queue coalesces bursts.
var tableKey = reconcile.Request{NamespacedName: client.ObjectKey{Name: "routes"}}

// tableReconciler compiles everything and publishes the table.
type tableReconciler struct {
	cached    client.Reader
	secrets   *secrets
	publisher *publisher
	tracker   *rollout.Tracker
	ledger    *ledger
}

// +kubebuilder:rbac:groups=postrider.dev,resources=webhooks;authorizationitems;webhookpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch

// Reconcile loads, compiles and publishes. A mistake of a user is a verdict,
// and never an error of this.
func (r *tableReconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	snapshot, err := r.load(ctx)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("loading what the table is made of: %w", err)
	}
	result := compile.Compile(snapshot)
	r.ledger.enter(result) // first: what is wrong with an object is told whatever becomes of the table
	held := versions(result.Webhooks)
	shards, router, err := pack(result.Table)
	if err != nil {
		r.tracker.PublishFailed(held, err)
		return ctrl.Result{}, reconcile.TerminalError(err) // trying again will not help before something changes
	}
	// Before it is published, so that no dispatcher can confirm a table that
	// nobody knows of.
	r.tracker.Published(router.Digest(), held)
	written, err := r.publisher.publish(ctx, shards)
	if err != nil {
		r.tracker.PublishFailed(held, err)
		return ctrl.Result{}, fmt.Errorf("publishing the table: %w", err)
	}
	r.tracker.PublishSucceeded()
	if written > 0 {
		log.FromContext(ctx).Info("the table is published", "digest", router.Digest(), "routes", router.Len(), "shards", written)
	}
	return ctrl.Result{RequeueAfter: left(result.Until, snapshot.Now)}, nil
}

// left is how long it is from now until then; 0 = then is never.
func left(then, now time.Time) time.Duration {
	if then.IsZero() {
		return 0
	}
	return max(then.Sub(now), time.Second)
}

// pack makes of t what is published, and of that, as a dispatcher will, the
// router: so a table that was published is a table that loads.
func pack(t route.Table) ([]route.Shard, *route.Router, error) {
	shards, err := route.Encode(t)
	if err != nil {
		return nil, nil, err // says what to do
	}
	blobs := make([][]byte, len(shards))
	for i, s := range shards {
		blobs[i] = s.Data
	}
	read, err := route.Decode(blobs)
	if err != nil {
		return nil, nil, fmt.Errorf("the compiled table cannot be read again: %w", err)
	}
	router, err := route.Build(read)
	if err != nil {
		return nil, nil, fmt.Errorf("the compiled table does not build: %w", err)
	}
	return shards, router, nil
}

// load takes a snapshot. The objects are those of the cache: compiling only reads them.
func (r *tableReconciler) load(ctx context.Context) (compile.Snapshot, error) {
	var webhooks v1alpha1.WebhookList
	var items v1alpha1.AuthorizationItemList
	var policies v1alpha1.WebhookPolicyList
	for _, list := range []client.ObjectList{&webhooks, &items, &policies} {
		if err := r.cached.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return compile.Snapshot{}, err
		}
	}
	s := compile.Snapshot{Webhooks: webhooks.Items, AuthorizationItems: items.Items, WebhookPolicies: policies.Items, Now: time.Now()}
	var err error
	s.Secrets, err = r.secrets.load(ctx, compile.References(s))
	return s, err
}

func versions(all compile.Verdicts) map[string]rollout.Version {
	versions := make(map[string]rollout.Version, len(all))
	for name, v := range all {
		versions[name.String()] = rollout.Version{UID: string(v.UID), Generation: v.Generation}
	}
	return versions
}

func (r *tableReconciler) setup(mgr manager.Manager) error {
	return builder.ControllerManagedBy(mgr).Named("table").
		Watches(&v1alpha1.Webhook{}, compileSoon, builder.WithPredicates(webhookChanged)).
		Watches(&v1alpha1.AuthorizationItem{}, compileSoon, builder.WithPredicates(specChanged)).
		Watches(&v1alpha1.WebhookPolicy{}, compileSoon, builder.WithPredicates(specChanged)).
		WatchesMetadata(&corev1.Secret{}, compileSoon, builder.WithPredicates(predicate.Funcs{
			CreateFunc: func(e event.CreateEvent) bool { return r.concerns(e.Object) },
			UpdateFunc: func(e event.UpdateEvent) bool {
				return e.ObjectOld.GetResourceVersion() != e.ObjectNew.GetResourceVersion() && r.concerns(e.ObjectNew)
			},
			DeleteFunc: func(e event.DeleteEvent) bool { return r.concerns(e.Object) },
		})).
		WithOptions(controllerOptions(1)).
		Complete(r)
}

// specChanged drops updates that touch neither the spec nor, after a deletion
// that the watch missed, the identity of an object.
var specChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	return e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() || e.ObjectOld.GetUID() != e.ObjectNew.GetUID()
}}

// webhookChanged passes on, beside a changed spec, the one part of a status that
// the table depends on. That changes when a Webhook is disabled or enabled, and
// never because a table was compiled.
var webhookChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	old, ok := e.ObjectOld.(*v1alpha1.Webhook)
	next, ok2 := e.ObjectNew.(*v1alpha1.Webhook)
	return specChanged.Update(e) ||
		ok && ok2 && !equality.Semantic.DeepEqual(old.Status.AutomaticDisabling, next.Status.AutomaticDisabling)
}}

// compileSoon answers every event with the one work item, once the burst that
// the event may belong to is over.
var compileSoon = handler.Funcs{
	CreateFunc:  func(_ context.Context, _ event.CreateEvent, q queue) { q.AddAfter(tableKey, debounce) },
	UpdateFunc:  func(_ context.Context, _ event.UpdateEvent, q queue) { q.AddAfter(tableKey, debounce) },
	DeleteFunc:  func(_ context.Context, _ event.DeleteEvent, q queue) { q.AddAfter(tableKey, debounce) },
	GenericFunc: func(_ context.Context, _ event.GenericEvent, q queue) { q.AddAfter(tableKey, debounce) },
}

// concerns reports whether a change of the Secret may change the table: it is
// referred to, or it carries the table and somebody else changed it.
func (r *tableReconciler) concerns(secret client.Object) bool {
	if r.publisher.carries(secret) {
		return !r.publisher.wrote(secret)
	}
	ctx := context.Background() // reading the cache takes no time that a context could end
	for _, list := range []client.ObjectList{&v1alpha1.WebhookList{}, &v1alpha1.AuthorizationItemList{}, &v1alpha1.WebhookPolicyList{}} {
		err := r.cached.List(ctx, list, append(refersTo(secret), client.Limit(1))...)
		if err != nil || meta.LenList(list) > 0 {
			return true // when in doubt, compile
		}
	}
	return false
}
