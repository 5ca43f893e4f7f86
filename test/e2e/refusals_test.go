//go:build e2e

package e2e_test

import (
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func (s *trial) refuse(t *testing.T) {
	const event = `{"type": "stream.refused", "data": {}}`
	before := s.counts(t, "/hooks/first")
	for _, tt := range []struct {
		name                      string
		account, namespace, token string
		status                    int
		says                      []string
	}{
		{"no token", "producer", "shop", "", 401, []string{"problems/unauthenticated"}},
		{"a token for another audience", "producer", "shop", "elsewhere", 401, []string{"problems/unauthenticated"}},
		{"an account without a role", "stranger", "shop", "postrider", 403,
			[]string{"problems/forbidden", "system:serviceaccount:shop:stranger", "create events.postrider.dev", `\"shop\"`}},
		{"the account of another namespace", "producer", "kube-system", "postrider", 403,
			[]string{"problems/forbidden", "system:serviceaccount:shop:producer", `\"kube-system\"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.post(t, tt.account, tt.namespace, tt.token, event)
			if got.Status != tt.status {
				t.Errorf("the status is %d, not %d: %s", got.Status, tt.status, got.Body)
			}
			for _, want := range tt.says {
				if !strings.Contains(got.Body, want) {
					t.Errorf("the answer does not say %s: %s", want, got.Body)
				}
			}
		})
	}
	if after := s.counts(t, "/hooks/first"); len(after) != len(before) {
		t.Errorf("of what was refused, %d events were delivered", len(after)-len(before))
	}
}

// restrict checks what the API server keeps. Whether traffic is held up is a
// matter of the cluster's network, which here lets everything through.
func (s *trial) restrict(t *testing.T) {
	ctx := t.Context()
	pods, err := s.client.CoreV1().Pods(system).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=postrider"})
	if err != nil {
		t.Fatal(err)
	}
	policies, err := s.client.NetworkingV1().NetworkPolicies(system).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != 2 {
		t.Errorf("there are %d pods, not the manager and the dispatcher", len(pods.Items))
	}
	for _, pod := range pods.Items {
		chosen := slices.Collect(func(yield func(networkingv1.NetworkPolicy) bool) {
			for _, p := range policies.Items {
				selector, err := metav1.LabelSelectorAsSelector(&p.Spec.PodSelector)
				if err != nil {
					t.Fatal(err)
				}
				if selector.Matches(labels.Set(pod.Labels)) && !yield(p) {
					return
				}
			}
		})
		if len(chosen) != 1 {
			t.Errorf("%d NetworkPolicies select the pod %s, not one", len(chosen), pod.Name)
			continue
		}
		if types := chosen[0].Spec.PolicyTypes; !slices.Contains(types, networkingv1.PolicyTypeIngress) || !slices.Contains(types, networkingv1.PolicyTypeEgress) {
			t.Errorf("the NetworkPolicy %s is for %v alone", chosen[0].Name, types)
		}
		ports := map[string]bool{}
		for _, port := range pod.Spec.Containers[0].Ports {
			ports[port.Name] = true
		}
		for _, rule := range chosen[0].Spec.Ingress {
			for _, port := range rule.Ports {
				if name := port.Port.StrVal; name != "" && !ports[name] {
					t.Errorf("the NetworkPolicy %s opens the port %s, which the pod does not have", chosen[0].Name, name)
				}
			}
		}
	}
}
