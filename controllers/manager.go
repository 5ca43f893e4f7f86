package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/controllers/rollout"
)

const (
	// leaderElectionID names the Lease of the leader.
	leaderElectionID = "manager.postrider.dev"
	// eventSource is who reports Events of Kubernetes.
	eventSource = "postrider-manager"
)

// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=postrider-system,resources=leases,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=postrider-system,resources=leases,resourceNames=manager.postrider.dev,verbs=get;update
// +kubebuilder:rbac:groups="",namespace=postrider-system,resources=events,verbs=create;patch

// New makes a manager with every controller in it, ready to start. When it
// stops, nothing is undone: dispatchers go on with the table that they have.
func New(cfg *rest.Config, o Options) (manager.Manager, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1 // the API server's own priority and fairness is the limit
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: scheme,
		Logger: logr.FromSlogHandler(o.Log.Handler()),
		Cache:  cacheOptions(o),
		Client: client.Options{Cache: &client.CacheOptions{
			// A status is computed from the one that is there. Without this it
			// might be computed from the one before our own last write.
			EnableReadYourWritesConsistency: new(true),
		}},
		// A process may run one manager after the other, as tests do; the
		// metrics of their controllers go on.
		Controller:                    config.Controller{SkipNameValidation: new(true)},
		LeaderElection:                o.LeaderElect,
		LeaderElectionID:              leaderElectionID,
		LeaderElectionNamespace:       o.Namespace,
		LeaderElectionReleaseOnCancel: true, // the process ends with the manager
		Metrics:                       metricsserver.Options{BindAddress: o.MetricsAddress},
		HealthProbeBindAddress:        o.ProbeAddress,
	})
	if err != nil {
		return nil, fmt.Errorf("setting up the manager: %w", err)
	}
	if err := errors.Join(
		mgr.AddHealthzCheck("ping", healthz.Ping),
		mgr.AddReadyzCheck("ping", healthz.Ping),
	); err != nil {
		return nil, fmt.Errorf("setting up the health probes: %w", err)
	}
	if err := setup(mgr, o); err != nil {
		return nil, err
	}
	return mgr, nil
}

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(authenticationv1.AddToScheme(scheme), coordinationv1.AddToScheme(scheme), corev1.AddToScheme(scheme), discoveryv1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("registering the kinds: %w", err)
	}
	return scheme, nil
}

// cacheOptions keep the caches small, and what is in Secrets out of them.
func cacheOptions(o Options) cache.Options {
	byObject := map[client.Object]cache.ByObject{&corev1.Secret{}: {Transform: stripSecretMetadata}}
	if service := o.DispatcherService; service.Name != "" {
		byObject[&discoveryv1.EndpointSlice{}] = cache.ByObject{Namespaces: map[string]cache.Config{service.Namespace: {
			LabelSelector: labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: service.Name}),
		}}}
	}
	if o.TLSSecret != "" {
		byObject[&corev1.ConfigMap{}] = cache.ByObject{Namespaces: map[string]cache.Config{o.Namespace: {
			FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, CAName), // no other may be seen
		}}}
	}
	return cache.Options{
		ReaderFailOnMissingInformer: true, // no informer by accident
		DefaultTransform:            cache.TransformStripManagedFields(),
		ByObject:                    byObject,
	}
}

// stripSecretMetadata keeps what identifies a Secret. Annotations go, because
// kubectl keeps a copy of the content in one of them.
func stripSecretMetadata(in any) (any, error) {
	if o, ok := in.(metav1.Object); ok {
		o.SetAnnotations(nil)
		o.SetManagedFields(nil)
		o.SetOwnerReferences(nil)
		o.SetFinalizers(nil)
	}
	return in, nil
}

// setup makes the parts and tells them of each other.
func setup(mgr manager.Manager, o Options) error {
	live, err := client.New(mgr.GetConfig(), client.Options{Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient()})
	if err != nil {
		return fmt.Errorf("making a client for Secrets: %w", err)
	}
	if err := addIndexes(mgr.GetFieldIndexer()); err != nil {
		return err
	}

	webhooks, items, policies := &asks{}, &asks{}, &asks{}
	tracker := rollout.NewTracker(o.Grace, time.Now, webhooks.addRoutes)
	owner := &owner{live: live, namespace: o.Namespace}
	if o.LeaderElect {
		if err := mgr.Add(manager.RunnableFunc(owner.claimLease)); err != nil {
			return fmt.Errorf("adding the owner of the Lease: %w", err)
		}
	}
	certificates := &certificateReconciler{
		live: live, events: mgr.GetEventRecorder(eventSource), namespace: o.Namespace, owner: owner, serving: o.TLSSecret,
		names: servingNames(o.ClusterDomain, o.EventsService, o.DispatcherService), trusted: newTrusted(), now: time.Now,
	}
	trust, err := newTrust(o, certificates.trusted)
	if err != nil {
		return err
	}
	poller := rollout.NewPoller(tracker, o.TokenFile, trust, o.Log)
	poller.Follow(o.DispatcherURLs)
	if err := mgr.Add(poller); err != nil {
		return fmt.Errorf("adding the rollout poller: %w", err)
	}

	ledger := &ledger{webhooks: webhooks, items: items, policies: policies}
	table := &tableReconciler{
		cached:    mgr.GetCache(),
		secrets:   newSecrets(mgr.GetCache(), live),
		publisher: newPublisher(live, o.Namespace, owner),
		tracker:   tracker,
		ledger:    ledger,
	}
	writer := judgedWriter{client: mgr.GetClient(), now: time.Now}
	errs := []error{
		table.setup(mgr),
		(&webhookReconciler{
			client: mgr.GetClient(), events: mgr.GetEventRecorder(eventSource),
			ledger: ledger, tracker: tracker, interval: o.ActivityInterval, now: time.Now,
		}).setup(mgr, webhooks),
		(&itemReconciler{judgedWriter: writer, ledger: ledger}).setup(mgr, items),
		(&policyReconciler{judgedWriter: writer, ledger: ledger, cached: mgr.GetCache(), live: live}).setup(mgr, policies),
	}
	if o.DispatcherService.Name != "" {
		errs = append(errs, (&endpointReconciler{cached: mgr.GetCache(), poller: poller, options: o}).setup(mgr))
	}
	if o.TLSSecret != "" {
		errs = append(errs, certificates.setup(mgr))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("setting up the controllers: %w", err)
	}
	return nil
}

// newTrust is how the manager knows the dispatchers.
func newTrust(o Options, own *trusted) (rollout.Trust, error) {
	var trust rollout.Trust
	if s := o.DispatcherService; s.Name != "" {
		trust.ServerName = s.Name + "." + s.Namespace + ".svc"
	}
	switch {
	case o.TLSSecret != "":
		trust.Roots = own.roots
	case o.CAFile != "":
		trust.Roots = rollout.RootsIn(o.CAFile)
		if _, err := trust.Roots(context.Background()); err != nil {
			return trust, err
		}
	}
	return trust, nil
}
