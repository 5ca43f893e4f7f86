package controllers

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/postrider/postrider/controllers/certificate"
)

const (
	// CAName names the Secret of the authority and the ConfigMap that publishes it.
	CAName = "postrider-ca"
	// caKey is where the authorities are that are to be trusted, in each of the three objects.
	caKey = "ca.crt"
	// maxCertificateRest bounds how long nobody looks whether something is due: the
	// clock may be set meanwhile.
	maxCertificateRest = time.Hour
	// reasonNotOurs is of the Event at an object whose place is taken.
	reasonNotOurs = "NotOurs"
)

// certificateReconciler keeps the certificate of the dispatchers and the
// authority that signs it in two Secrets, and publishes the authority in a ConfigMap.
type certificateReconciler struct {
	live      client.Client // the content of Secrets is in no cache
	events    events.EventRecorder
	namespace string
	owner     *owner
	serving   string   // name of the Secret
	names     []string // in the certificate
	trusted   *trusted
	now       func() time.Time
}

// trusted are the authorities that the manager itself trusts.
type trusted struct {
	pool  atomic.Pointer[x509.CertPool]
	known chan struct{} // closed when there is one
	once  sync.Once
}

func newTrusted() *trusted { return &trusted{known: make(chan struct{})} }

func (t *trusted) set(pool *x509.CertPool) {
	t.pool.Store(pool)
	t.once.Do(func() { close(t.known) })
}

// roots waits for the first authority: at the start the Secrets have yet to be read.
func (t *trusted) roots(ctx context.Context) (*x509.CertPool, error) {
	select {
	case <-t.known:
		return t.pool.Load(), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("there is no certificate of the dispatchers yet; see Events and log: %w", ctx.Err())
	}
}

// certificatesKey is the one work item: whatever changed, all three objects are looked at.
var certificatesKey = reconcile.Request{NamespacedName: types.NamespacedName{Name: "certificates"}}

// The Secrets are read by a right that the manager has for all; publisher.go has that to write them.
// +kubebuilder:rbac:groups="",namespace=postrider-system,resources=configmaps,verbs=create
// +kubebuilder:rbac:groups="",namespace=postrider-system,resources=configmaps,resourceNames=postrider-ca,verbs=get;list;watch;update

// Reconcile makes anew what is due, missing or damaged, and tells of an object
// whose place is taken.
func (r *certificateReconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	rest, err := r.renew(ctx)
	if taken, ok := errors.AsType[*takenError](err); ok {
		log.FromContext(ctx).Error(taken, "a place for certificates is taken")
		r.events.Eventf(taken.object, nil, corev1.EventTypeWarning, reasonNotOurs, "Write", takenRemedy)
		err = nil
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: min(max(rest, time.Second), maxCertificateRest)}, nil
}

// renew brings the three objects up to date, and returns when something will be
// due. An authority is published before anything that it signed is shown.
func (r *certificateReconciler) renew(ctx context.Context) (rest time.Duration, err error) {
	ca, serving, public := &corev1.Secret{}, &corev1.Secret{}, &corev1.ConfigMap{}
	if err := errors.Join(r.read(ctx, CAName, ca), r.read(ctx, r.serving, serving)); err != nil {
		return maxCertificateRest, err
	}
	have := certificate.State{
		Authority: pairIn(ca), Serving: pairIn(serving),
		Trusted: slices.Concat(ca.Data[caKey], []byte("\n"), serving.Data[caKey]),
	}
	now := r.now()
	want, expiry, next, err := certificate.Renew(have, r.names, now)
	if err != nil {
		return 0, fmt.Errorf("making certificates: %w", err)
	}
	if err := r.writeSecret(ctx, ca, CAName, want.Authority, want.Trusted); err != nil {
		return 0, err
	}
	published := r.read(ctx, CAName, public)
	if published == nil {
		published = r.publish(ctx, public, want.Trusted)
	}
	if _, taken := errors.AsType[*takenError](published); published != nil && !taken {
		return 0, published
	}
	// Where somebody else has the ConfigMap, the rest still works.
	if err := r.writeSecret(ctx, serving, r.serving, want.Serving, want.Trusted); err != nil {
		return 0, err
	}
	r.trust(want.Trusted, expiry)
	return next.Sub(now), published
}

// takenError is about an object that has a name of ours and is not ours.
type takenError struct {
	object client.Object
	kind   string
}

const takenRemedy = "it was not made by the manager, which leaves it alone and cannot keep certificates there: " +
	"delete or rename it, or label it " + managedByLabel + "=" + managedBy + " to have it overwritten"

func (e *takenError) Error() string {
	return fmt.Sprintf("%s %s/%s: %s", e.kind, e.object.GetNamespace(), e.object.GetName(), takenRemedy)
}

// read reads an object, which stays empty when there is none. It must be ours.
func (r *certificateReconciler) read(ctx context.Context, name string, o client.Object) error {
	err := r.live.Get(ctx, client.ObjectKey{Namespace: r.namespace, Name: name}, o)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("reading %s %s: %w", r.kind(o), name, err)
	case o.GetLabels()[managedByLabel] != managedBy:
		return &takenError{o, r.kind(o)}
	}
	return nil
}

func (r *certificateReconciler) kind(o runtime.Object) string {
	gvk, err := r.live.GroupVersionKindFor(o)
	if err != nil {
		return "object"
	}
	return gvk.Kind
}

func pairIn(o *corev1.Secret) certificate.Pair {
	return certificate.Pair{Cert: o.Data[corev1.TLSCertKey], Key: o.Data[corev1.TLSPrivateKeyKey]}
}

// writeSecret makes the Secret carry the pair; old is what is there.
func (r *certificateReconciler) writeSecret(ctx context.Context, old *corev1.Secret, name string, pair certificate.Pair, authorities []byte) error {
	o := &corev1.Secret{
		ObjectMeta: r.meta(name), Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: pair.Cert, corev1.TLSPrivateKeyKey: pair.Key, caKey: authorities},
	}
	if old.UID != "" && (old.Type != o.Type || old.Immutable != nil && *old.Immutable) { // it cannot be changed
		if err := r.live.Delete(ctx, old, client.Preconditions{UID: &old.UID, ResourceVersion: &old.ResourceVersion}); err != nil {
			return fmt.Errorf("deleting Secret %s: %w", name, err)
		}
		old = &corev1.Secret{}
	}
	err := r.write(ctx, old, o, equality.Semantic.DeepEqual(old.Data, o.Data))
	if err != nil && quotesPart(err, pair.Key) {
		return fmt.Errorf("writing Secret %s: it is refused, with an answer that quotes the key", name)
	}
	return err
}

// quotesPart reports whether the text of err holds a part of the key, as it is
// or as the API server has it: whoever admits objects may answer what it wants.
func quotesPart(err error, key []byte) bool {
	const part = 32
	for _, spelling := range [][]byte{key, []byte(base64.StdEncoding.EncodeToString(key))} {
		for c := range slices.Chunk(spelling, part) {
			if len(c) == part && strings.Contains(err.Error(), string(c)) {
				return true
			}
		}
	}
	return false
}

// publish makes the ConfigMap carry the authorities; old is what is there.
func (r *certificateReconciler) publish(ctx context.Context, old *corev1.ConfigMap, authorities []byte) error {
	o := &corev1.ConfigMap{ObjectMeta: r.meta(CAName), Data: map[string]string{caKey: string(authorities)}}
	return r.write(ctx, old, o, len(old.BinaryData) == 0 && equality.Semantic.DeepEqual(old.Data, o.Data))
}

func (r *certificateReconciler) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: r.namespace, Name: name, Labels: map[string]string{managedByLabel: managedBy}}
}

// write writes o in the place of old, unless that is the same. Whoever has
// written since old was read makes it fail, and everything is looked at again.
func (r *certificateReconciler) write(ctx context.Context, old, o client.Object, same bool) error {
	owners, err := r.owner.references(ctx)
	if err != nil {
		return err
	}
	o.SetOwnerReferences(owners)
	switch {
	case old.GetUID() == "":
		err = r.live.Create(ctx, o)
	case same:
		return nil
	default:
		o.SetLabels(old.GetLabels())
		o.SetAnnotations(old.GetAnnotations())
		o.SetResourceVersion(old.GetResourceVersion())
		err = r.live.Update(ctx, o)
	}
	if err != nil {
		return fmt.Errorf("writing %s %s: %w", r.kind(o), o.GetName(), err)
	}
	return nil
}

// trust has the manager trust the authorities.
func (r *certificateReconciler) trust(authorities []byte, expiry certificate.Expiry) {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authorities)
	r.trusted.set(pool)
	notAfter.WithLabelValues("authority").Set(float64(expiry.Authority.Unix()))
	notAfter.WithLabelValues("serving").Set(float64(expiry.Serving.Unix()))
}

// notAfter is of the process: managers that follow each other in one share it.
var notAfter = prometheus.NewGaugeVec(prometheus.GaugeOpts{
	Name: "postrider_tls_certificate_not_after_seconds", Help: "Unix time at which a certificate expires.",
}, []string{"certificate"})

func (r *certificateReconciler) setup(mgr manager.Manager) error {
	if err := metrics.Registry.Register(notAfter); err != nil {
		if _, again := errors.AsType[prometheus.AlreadyRegisteredError](err); !again {
			return fmt.Errorf("registering the metrics of certificates: %w", err)
		}
	}
	all := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request { return []reconcile.Request{certificatesKey} })
	ours := builder.WithPredicates(predicate.NewPredicateFuncs(func(o client.Object) bool {
		return o.GetNamespace() == r.namespace && (o.GetName() == CAName || o.GetName() == r.serving)
	}))
	return builder.ControllerManagedBy(mgr).Named("certificates").
		WatchesMetadata(&corev1.Secret{}, all, ours).
		WatchesMetadata(&corev1.ConfigMap{}, all, ours).
		WatchesRawSource(source.Func(func(_ context.Context, q queue) error { // there may be nothing to hear of
			q.Add(certificatesKey)
			return nil
		})).
		WithOptions(controllerOptions(1)).
		Complete(r)
}

// servingNames are by which names callers may call the dispatchers: short ones
// from the same namespace, longer ones from anywhere.
func servingNames(clusterDomain string, services ...types.NamespacedName) (names []string) {
	for _, s := range services {
		if s.Name == "" {
			continue
		}
		service := s.Name + "." + s.Namespace + ".svc"
		names = append(names, s.Name, s.Name+"."+s.Namespace, service, service+"."+clusterDomain)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
