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
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-touched:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(settle):
		}
		k.offer(shards(informer.GetStore().List()))
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
