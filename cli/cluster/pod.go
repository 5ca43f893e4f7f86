package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	// securePort is the port of the Service when dispatchers speak TLS.
	securePort = 443
	// adminPort is the name of the port with health and metrics.
	adminPort        = "admin"
	defaultAdminPort = 8081
)

// ErrNoPod says that no pod of the dispatcher is ready, which may pass.
var ErrNoPod = errors.New("no pod is ready")

// An Endpoint is a pod of a dispatcher, and where it listens.
type Endpoint struct {
	Pod           string
	Events, Admin int32 // ports
	TLS           bool
}

// service returns the Service of the dispatchers in a namespace.
func (c *Cluster) service(ctx context.Context, namespace string) (*corev1.Service, error) {
	s, err := c.core.Services(namespace).Get(ctx, EventsService, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, &Lack{
			Problem: fmt.Sprintf("there is no Service %q in namespace %q", EventsService, namespace),
			Or:      "Say with --postrider-namespace where Postrider is installed, or with --server where its dispatcher listens.", cause: err,
		}
	case apierrors.IsForbidden(err):
		return nil, c.noWay(ctx, namespace, "read the Service and the pods of the dispatcher", err)
	case err != nil:
		return nil, fmt.Errorf("looking for the dispatcher: %w", err)
	}
	return s, nil
}

// endpoint finds a pod that is ready for calls.
func (c *Cluster) endpoint(ctx context.Context, namespace string) (Endpoint, error) {
	s, err := c.service(ctx, namespace)
	if err != nil {
		return Endpoint{}, err
	}
	pods, err := c.core.Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(s.Spec.Selector).String()})
	switch {
	case apierrors.IsForbidden(err):
		return Endpoint{}, c.noWay(ctx, namespace, "list the pods of the dispatcher", err)
	case err != nil:
		return Endpoint{}, fmt.Errorf("looking for a pod of the dispatcher: %w", err)
	}
	pod := choose(pods.Items)
	if pod == nil {
		return Endpoint{}, &Lack{
			Problem: fmt.Sprintf("none of the %d pods of the dispatcher in namespace %q is ready", len(pods.Items), namespace),
			Or:      fmt.Sprintf("See why: kubectl describe deployment %s -n %s", DispatcherDeployment, namespace), cause: ErrNoPod,
		}
	}
	return locate(s, pod)
}

// choose returns the ready pod that has been there longest, nil when none is ready:
// during a rollout that is the one with the caches, and any of them will do.
func choose(pods []corev1.Pod) *corev1.Pod {
	ready := slices.DeleteFunc(slices.Clone(pods), func(p corev1.Pod) bool { return !isReady(&p) })
	if len(ready) == 0 {
		return nil
	}
	oldest := slices.MinFunc(ready, func(a, b corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return &oldest
}

func isReady(p *corev1.Pod) bool {
	return p.DeletionTimestamp == nil && p.Status.Phase == corev1.PodRunning &&
		slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
}

// locate says where a pod of s listens. It speaks TLS when the Service has the port
// for it: what is to be encrypted is never sent otherwise.
func locate(s *corev1.Service, pod *corev1.Pod) (Endpoint, error) {
	port := slices.IndexFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == securePort })
	e := Endpoint{Pod: pod.Name, TLS: port >= 0, Admin: cmp.Or(containerPort(pod, adminPort), defaultAdminPort)}
	if port < 0 {
		port = 0
	}
	if len(s.Spec.Ports) == 0 {
		return e, fmt.Errorf("the Service %s/%s has no port; restore it as it was installed", s.Namespace, s.Name)
	}
	switch target := s.Spec.Ports[port].TargetPort; {
	case target.Type == intstr.String:
		e.Events = containerPort(pod, target.StrVal)
	case target.IntVal != 0:
		e.Events = target.IntVal
	default:
		e.Events = s.Spec.Ports[port].Port
	}
	if e.Events == 0 {
		return e, fmt.Errorf("pod %s/%s has no port %q, which the Service %s names; restore both as they were installed",
			pod.Namespace, pod.Name, s.Spec.Ports[port].TargetPort.StrVal, s.Name)
	}
	return e, nil
}

// containerPort returns the port of a name, 0 when there is none.
func containerPort(pod *corev1.Pod, name string) int32 {
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.Name == name {
				return p.ContainerPort
			}
		}
	}
	return 0
}

// noWay is that the user may not do what leads to a dispatcher.
func (c *Cluster) noWay(ctx context.Context, namespace, what string, err error) error {
	user := c.user(ctx)
	bind := func(role string) string {
		return fmt.Sprintf("kubectl create rolebinding %s-%s -n %s --role=%s --user=%s", role, label(user), namespace, role, Quote(user))
	}
	const see, forward = "postrider-cli-see", "postrider-cli-forward"
	return &Lack{
		Problem: fmt.Sprintf("you may not %s in namespace %q", what, namespace),
		Commands: []string{
			fmt.Sprintf("kubectl create role %s -n %s --verb=get,list --resource=services,pods,deployments.apps", see, namespace), bind(see),
			fmt.Sprintf("kubectl create role %s -n %s --verb=create --resource=pods/portforward", forward, namespace), bind(forward),
		},
		Or: "Or say with --server where the dispatcher can be reached without the API server.", cause: err,
	}
}
