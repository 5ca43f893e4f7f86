package controllers

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"

	discoveryv1 "k8s.io/api/discovery/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/postrider/postrider/controllers/rollout"
)

// endpointReconciler tells the poller which dispatchers stand behind the Service.
type endpointReconciler struct {
	cached  client.Reader
	poller  *rollout.Poller
	options Options
}

// +kubebuilder:rbac:urls=/report,verbs=get
// +kubebuilder:rbac:groups=discovery.k8s.io,namespace=postrider-system,resources=endpointslices,verbs=get;list;watch

// Reconcile looks at all slices of the Service, whichever changed.
func (r *endpointReconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	var list discoveryv1.EndpointSliceList
	if err := r.cached.List(ctx, &list, client.InNamespace(r.options.DispatcherService.Namespace)); err != nil {
		return ctrl.Result{}, fmt.Errorf("listing the endpoints of the dispatchers: %w", err)
	}
	urls := slices.Concat(r.options.DispatcherURLs, adminURLs(list.Items, r.options.AdminPortName, r.options.secure()))
	r.poller.Follow(urls)
	return ctrl.Result{}, nil
}

// adminURLs are the admin addresses of the endpoints that are ready.
func adminURLs(list []discoveryv1.EndpointSlice, portName string, secure bool) []string {
	scheme := "http://"
	if secure {
		scheme = "https://"
	}
	var urls []string
	for i := range list {
		for _, port := range list[i].Ports {
			if port.Name == nil || *port.Name != portName || port.Port == nil {
				continue
			}
			for _, e := range list[i].Endpoints {
				if ready := e.Conditions.Ready; ready != nil && !*ready || len(e.Addresses) == 0 {
					continue
				}
				urls = append(urls, scheme+net.JoinHostPort(e.Addresses[0], strconv.Itoa(int(*port.Port))))
			}
		}
	}
	slices.Sort(urls)
	return slices.Compact(urls)
}

func (r *endpointReconciler) setup(mgr manager.Manager) error {
	return builder.ControllerManagedBy(mgr).Named("dispatchers").
		For(&discoveryv1.EndpointSlice{}).
		WithOptions(controllerOptions(1)).
		Complete(r)
}
