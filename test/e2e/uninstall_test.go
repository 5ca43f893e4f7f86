//go:build e2e

package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
)

// crds are what an uninstallation leaves, and with them what users have made of them.
var crds = []string{"authorizationitems.postrider.dev", "webhookpolicies.postrider.dev", "webhooks.postrider.dev"}

func (s *trial) uninstall(t *testing.T) {
	said := s.helm(t, 0, "uninstall", release, "--namespace", system, "--wait", "--timeout", "2m")
	for _, crd := range crds {
		if !strings.Contains(said, crd) {
			t.Errorf("helm uninstall does not say that it leaves the CRD %s:\n%s", crd, said)
		}
	}
	within(t, time.Minute, "nothing else to be left", func() error {
		left := s.left(t)
		for _, crd := range crds {
			i := slices.Index(left, "customresourcedefinitions "+crd)
			if i < 0 {
				t.Fatalf("the CRD %s is gone, and with it all that users have made of it", crd)
			}
			left = slices.Delete(left, i, i+1)
		}
		if len(left) > 0 {
			return fmt.Errorf("there are:\n  %s", strings.Join(left, "\n  "))
		}
		return nil
	})
	s.run(t, "get", "webhook", "-n", "shop", "first")
}

// left lists all objects of Postrider in the cluster: what is in its
// namespace, has its label or is called after it. What Kubernetes puts into
// every namespace, what it derives from the CRDs, events and the users' own
// custom resources do not count.
func (s *trial) left(tb testing.TB) (left []string) {
	tb.Helper()
	client, err := metadata.NewForConfig(s.config)
	if err != nil {
		tb.Fatal(err)
	}
	lists, err := s.client.Discovery().ServerPreferredResources()
	if err != nil {
		tb.Fatal(err)
	}
	for _, list := range discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list", "delete"}}, lists) {
		for _, kind := range list.APIResources {
			resource := groupVersion(tb, list.GroupVersion).WithResource(kind.Name)
			if resource.Group == "postrider.dev" || resource.Resource == "events" || resource.Resource == "apiservices" {
				continue
			}
			objects, err := client.Resource(resource).List(tb.Context(), metav1.ListOptions{})
			if err != nil {
				tb.Fatalf("listing %s: %v", resource.Resource, err)
			}
			for _, o := range objects.Items {
				if ours(o) {
					left = append(left, strings.TrimSpace(resource.Resource+" "+strings.TrimPrefix(o.Namespace+"/"+o.Name, "/")))
				}
			}
		}
	}
	return left
}

func groupVersion(tb testing.TB, text string) schema.GroupVersion {
	tb.Helper()
	gv, err := schema.ParseGroupVersion(text)
	if err != nil {
		tb.Fatal(err)
	}
	return gv
}

func ours(o metav1.PartialObjectMetadata) bool {
	switch {
	case o.Namespace == system:
		return o.Name != "kube-root-ca.crt" && o.Name != "default"
	case o.Namespace == "" && o.Name == system: // the namespace itself, which was there before
		return false
	}
	return o.Labels["app.kubernetes.io/name"] == "postrider" || strings.HasPrefix(o.Name, "postrider") && o.Name != "postrider-node" ||
		strings.HasSuffix(o.Name, ".postrider.dev")
}
