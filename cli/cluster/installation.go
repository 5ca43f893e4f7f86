package cluster

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postrider/postrider/api/v1alpha1"
)

// Version is that of the API server, such as v1.37.0.
func (c *Cluster) Version() (string, error) {
	v, err := c.discovery.ServerVersion()
	if err != nil {
		return "", fmt.Errorf("asking the API server for its version: %w", err)
	}
	return v.GitVersion, nil
}

// Kinds returns the custom resources of Postrider that the API server knows.
func (c *Cluster) Kinds() ([]string, error) {
	if err := c.knowsKinds(); err != nil {
		return nil, err
	}
	list, err := c.discovery.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
	if err != nil {
		return nil, err
	}
	var kinds []string
	for _, r := range list.APIResources {
		if !slices.Contains(kinds, r.Kind) {
			kinds = append(kinds, r.Kind)
		}
	}
	slices.Sort(kinds)
	return kinds, nil
}

// Deployment returns one of the two programs, nil when it is not there.
func (c *Cluster) Deployment(ctx context.Context, namespace, name string) (*appsv1.Deployment, error) {
	d, err := c.apps.Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // absence is an answer
	}
	return d, err
}

// Authority returns the certificates that those of dispatchers are verified by, in PEM.
func (c *Cluster) Authority(ctx context.Context, namespace string) ([]byte, error) {
	const or = "Give a file with the certificates of its authority with --ca-file."
	m, err := c.core.ConfigMaps(namespace).Get(ctx, AuthorityConfigMap, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, &Lack{Problem: fmt.Sprintf("the dispatcher speaks TLS, and there is no ConfigMap %q in namespace %q to verify its certificate by", AuthorityConfigMap, namespace), Or: or, cause: err}
	case apierrors.IsForbidden(err):
		return nil, &Lack{Problem: fmt.Sprintf("you may not read ConfigMap %q in namespace %q, by which the certificate of the dispatcher is verified", AuthorityConfigMap, namespace), Or: or, cause: err}
	case err != nil:
		return nil, fmt.Errorf("reading ConfigMap %s/%s: %w", namespace, AuthorityConfigMap, err)
	case m.Data[authorityKey] == "":
		return nil, &Lack{Problem: fmt.Sprintf("ConfigMap %q in namespace %q has no %s", AuthorityConfigMap, namespace, authorityKey), Or: or}
	case !x509.NewCertPool().AppendCertsFromPEM([]byte(m.Data[authorityKey])):
		return nil, &Lack{Problem: fmt.Sprintf("%s of ConfigMap %q in namespace %q holds no certificate in PEM; a manager that keeps it writes it anew", authorityKey, AuthorityConfigMap, namespace), Or: or}
	}
	return []byte(m.Data[authorityKey]), nil
}

// Namespaces names all of them.
func (c *Cluster) Namespaces(ctx context.Context) ([]string, error) {
	list, err := c.core.Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	names := make([]string, len(list.Items))
	for i := range list.Items {
		names[i] = list.Items[i].Name
	}
	return names, nil
}
