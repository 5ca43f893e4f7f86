package controllers

import (
	"context"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// asks lets other parts of the manager ask a controller to look at an object
// again. It goes straight into the controller's queue, which takes each object
// once, so it never blocks and needs no bound of its own.
type asks struct {
	mu    sync.Mutex
	queue queue // nil before the controller starts, which looks at everything then
}

// source is what the controller watches.
func (a *asks) source() source.Source {
	return source.Func(func(_ context.Context, q queue) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.queue = q
		return nil
	})
}

func (a *asks) add(name types.NamespacedName) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.queue != nil {
		a.queue.Add(reconcile.Request{NamespacedName: name})
	}
}

// addRoutes asks for the Webhooks with these route ids.
func (a *asks) addRoutes(ids []string) {
	for _, id := range ids {
		if namespace, name, ok := strings.Cut(id, "/"); ok {
			a.add(types.NamespacedName{Namespace: namespace, Name: name})
		}
	}
}
