package source

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/postrider/postrider/dispatcher/route"
)

// settle is how long to wait for the other shards of a change before the table
// is put together.
const settle = 20 * time.Millisecond

// patience is how long a table may stay incomplete before that is its fault.
const patience = 10 * time.Second

// Secrets follows the table in the labelled Secrets of namespace until ctx is
// done. Without the API server it goes on trying, and the table in force stays.
func (k *Keeper) Secrets(ctx context.Context, client kubernetes.Interface, namespace string) error {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0,
		informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.LabelSelector = route.SecretLabel + "=" + route.SecretLabelValue
		}))
	informer := factory.Core().V1().Secrets().Informer()
	touched := make(chan struct{}, 1)
	touch := func() {
		select {
		case touched <- struct{}{}:
		default: // one round is coming anyway
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { touch() },
		UpdateFunc: func(any, any) { touch() },
		DeleteFunc: func(any) { touch() },
	})
	if err != nil {
		return fmt.Errorf("watching the Secrets of the table: %w", err)
	}
	err = informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		k.log.Warn("the Secrets of the table cannot be watched, trying again; the table in force stays", "err", err)
	})
	if err != nil {
		return fmt.Errorf("watching the Secrets of the table: %w", err)
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil
	}
	overdue := time.NewTimer(patience)
	overdue.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-overdue.C:
			k.reject(fmt.Errorf("%w for more than %s; is the operator running?", route.ErrIncomplete, patience))
			continue
		case <-touched:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(settle):
		}
		overdue.Stop()
		blobs := shards(informer.GetStore().List())
		if k.offer(blobs) && len(blobs) > 0 { // none at all is an operator that was removed, or has yet to start
			overdue.Reset(patience)
		}
	}
}

func shards(objects []any) [][]byte {
	var blobs [][]byte
	for _, o := range objects {
		if s, ok := o.(*corev1.Secret); ok {
			blobs = append(blobs, s.Data[route.SecretKey])
		}
	}
	return blobs
}
