package cluster

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postrider/postrider/api/v1alpha1"
)

// pageSize is how many objects are asked for at once.
const pageSize = 500

// Webhooks lists those of a namespace, or of all when it is empty, that the label
// and field selectors select, by name.
func (c *Cluster) Webhooks(ctx context.Context, namespace, labels, fields string) (*v1alpha1.WebhookList, error) {
	all := &v1alpha1.WebhookList{}
	all.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("WebhookList"))
	options := metav1.ListOptions{LabelSelector: labels, FieldSelector: fields, Limit: pageSize}
	for {
		var page v1alpha1.WebhookList
		err := c.resources.Get().NamespaceIfScoped(namespace, namespace != "").Resource("webhooks").
			VersionedParams(&options, c.parameters).Do(ctx).Into(&page)
		if err != nil {
			return nil, c.unread(ctx, err, "list", "webhooks", namespace)
		}
		for i := range page.Items {
			present(&page.Items[i])
		}
		all.Items = append(all.Items, page.Items...)
		if options.Continue = page.Continue; options.Continue == "" {
			all.ResourceVersion = page.ResourceVersion
			return all, nil
		}
	}
}

// Webhook returns one.
func (c *Cluster) Webhook(ctx context.Context, namespace, name string) (*v1alpha1.Webhook, error) {
	var w v1alpha1.Webhook
	err := c.resources.Get().Namespace(namespace).Resource("webhooks").Name(name).Do(ctx).Into(&w)
	if apierrors.IsNotFound(err) && c.knowsKinds() == nil {
		return nil, &Lack{
			Problem: fmt.Sprintf("there is no Webhook %q in namespace %q", name, namespace),
			Or:      "See those that there are: kubectl postrider list -n " + namespace, cause: err,
		}
	}
	if err != nil {
		return nil, c.unread(ctx, err, "get", "webhooks", namespace)
	}
	present(&w)
	return &w, nil
}

// present makes w look as kubectl shows objects.
func present(w *v1alpha1.Webhook) {
	w.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Webhook"))
	w.ManagedFields = nil
}

// Policy returns a WebhookPolicy, nil when there is none of that name.
func (c *Cluster) Policy(ctx context.Context, namespace, name string) (*v1alpha1.WebhookPolicy, error) {
	var p v1alpha1.WebhookPolicy
	err := c.resources.Get().Namespace(namespace).Resource("webhookpolicies").Name(name).Do(ctx).Into(&p)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // absence is an answer
	}
	if err != nil {
		return nil, c.unread(ctx, err, "get", "webhookpolicies", namespace)
	}
	return &p, nil
}

// AuthorizationItem returns one, nil when there is none of that name.
func (c *Cluster) AuthorizationItem(ctx context.Context, namespace, name string) (*v1alpha1.AuthorizationItem, error) {
	var item v1alpha1.AuthorizationItem
	err := c.resources.Get().Namespace(namespace).Resource("authorizationitems").Name(name).Do(ctx).Into(&item)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // absence is an answer
	}
	if err != nil {
		return nil, c.unread(ctx, err, "get", "authorizationitems", namespace)
	}
	return &item, nil
}

// unread is why custom resources could not be read.
func (c *Cluster) unread(ctx context.Context, err error, verb, resource, namespace string) error {
	switch {
	case apierrors.IsForbidden(err):
		user := c.user(ctx)
		binding := fmt.Sprintf("kubectl create rolebinding postrider-viewer-%s -n %s --clusterrole=postrider-viewer --user=%s", label(user), namespace, Quote(user))
		if namespace == "" {
			binding = fmt.Sprintf("kubectl create clusterrolebinding postrider-viewer-%s --clusterrole=postrider-viewer --user=%s", label(user), Quote(user))
		}
		return &Lack{Problem: fmt.Sprintf("you may not %s %s%s", verb, resource, in(namespace)), Commands: []string{binding}, cause: err}
	case apierrors.IsNotFound(err):
		if lack := c.knowsKinds(); lack != nil {
			return lack
		}
	}
	return fmt.Errorf("reading %s: %w", resource, err)
}

// knowsKinds fails when the API server does not know the custom resources.
func (c *Cluster) knowsKinds() error {
	_, err := c.discovery.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
	if apierrors.IsNotFound(err) {
		return &Lack{
			Problem:  "the API server knows no " + v1alpha1.GroupVersion.String() + ": Postrider is not installed in this cluster, or your kubeconfig names another one",
			Commands: []string{"helm install postrider charts/postrider --namespace postrider-system --create-namespace"}, cause: err,
		}
	}
	return err
}

func in(namespace string) string {
	if namespace == "" {
		return " in all namespaces"
	}
	return fmt.Sprintf(" in namespace %q", namespace)
}
