package cluster_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/postrider/postrider/cli/cluster"
)

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// pod is a ready one, of so many minutes.
func pod(name string, minutes int, change ...func(*corev1.Pod)) corev1.Pod {
	p := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(noon.Add(-time.Duration(minutes) * time.Minute))},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "proxy"}, {Name: "dispatcher", Ports: []corev1.ContainerPort{{Name: "events", ContainerPort: 8080}, {Name: "admin", ContainerPort: 9081}}}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
	for _, c := range change {
		c(&p)
	}
	return p
}

func TestTheOldestReadyPodIsCalled(t *testing.T) {
	unready := func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse }
	leaving := func(p *corev1.Pod) { p.DeletionTimestamp = new(metav1.NewTime(noon)) }
	pending := func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }
	failed := func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }
	bare := func(p *corev1.Pod) { p.Status.Conditions = nil }
	for _, tt := range []struct {
		name string
		pods []corev1.Pod
		want string
	}{
		{"none", nil, ""},
		{"only one", []corev1.Pod{pod("a", 1)}, "a"},
		{"the oldest", []corev1.Pod{pod("a", 1), pod("b", 3), pod("c", 2)}, "b"},
		{"of one age, by name", []corev1.Pod{pod("b", 1), pod("a", 1)}, "a"},
		{"not one that is not ready", []corev1.Pod{pod("a", 9, unready), pod("b", 1)}, "b"},
		{"not one that leaves, although it is ready", []corev1.Pod{pod("a", 9, leaving), pod("b", 1)}, "b"},
		{"not one that does not run", []corev1.Pod{pod("a", 9, pending), pod("b", 9, failed), pod("c", 9, bare), pod("d", 1)}, "d"},
		{"none is ready", []corev1.Pod{pod("a", 9, unready), pod("b", 9, leaving)}, ""},
	} {
		got := ""
		if p := cluster.Choose(tt.pods); p != nil {
			got = p.Name
		}
		if got != tt.want {
			t.Errorf("%s: it is %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestTheServiceSaysWhereAPodListens(t *testing.T) {
	port := func(number int32, target intstr.IntOrString) corev1.ServicePort {
		return corev1.ServicePort{Port: number, TargetPort: target}
	}
	named, numbered := intstr.FromString("events"), intstr.FromInt32(8443)
	for _, tt := range []struct {
		name  string
		ports []corev1.ServicePort
		want  cluster.Endpoint
	}{
		{"443 is TLS", []corev1.ServicePort{port(443, named)}, cluster.Endpoint{Pod: "a", Events: 8080, Admin: 9081, TLS: true}},
		{"80 is not", []corev1.ServicePort{port(80, named)}, cluster.Endpoint{Pod: "a", Events: 8080, Admin: 9081}},
		{"TLS goes first", []corev1.ServicePort{port(80, named), port(443, numbered)}, cluster.Endpoint{Pod: "a", Events: 8443, Admin: 9081, TLS: true}},
		{"no target is the port itself", []corev1.ServicePort{port(80, intstr.IntOrString{})}, cluster.Endpoint{Pod: "a", Events: 80, Admin: 9081}},
	} {
		got, err := cluster.Locate(&corev1.Service{Spec: corev1.ServiceSpec{Ports: tt.ports}}, new(pod("a", 1)))
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", tt.name, err, diff)
		}
	}
	for name, ports := range map[string][]corev1.ServicePort{
		"no port": nil, "a name that no container has": {port(80, intstr.FromString("absent"))},
	} {
		if got, err := cluster.Locate(&corev1.Service{Spec: corev1.ServiceSpec{Ports: ports}}, new(pod("a", 1))); err == nil {
			t.Errorf("%s: it is %+v", name, got)
		}
	}
	unnamed := pod("a", 1, func(p *corev1.Pod) { p.Spec.Containers[1].Ports = p.Spec.Containers[1].Ports[:1] })
	if got, err := cluster.Locate(&corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{port(80, named)}}}, &unnamed); err != nil || got.Admin != 8081 {
		t.Errorf("without a port of the name, admin is at %d, %v", got.Admin, err)
	}
}

func TestNamesOfUsersBecomePartsOfCommands(t *testing.T) {
	for user, want := range map[string][2]string{
		"ada":                            {"ada", "ada"},
		"ada@example.com":                {"ada@example.com", "ada-example-com"},
		"system:serviceaccount:people:x": {"system:serviceaccount:people:x", "system-serviceaccount-people-x"},
		"Ada Lovelace":                   {"'Ada Lovelace'", "ada-lovelace"},
		"$(reboot)'":                     {`'$(reboot)'\'''`, "reboot"},
	} {
		if got := [2]string{cluster.Quote(user), cluster.Label(user)}; got != want {
			t.Errorf("%s becomes %q, want %q", user, got, want)
		}
	}
}

func TestALackShowsItsCommandsAndKeepsItsCause(t *testing.T) {
	cause := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "a", errors.New("no"))
	lack := error(&cluster.Lack{Problem: "you may not", Commands: []string{"kubectl a", "kubectl b"}, Or: "Or go."})
	if diff := cmp.Diff("you may not. Run, or have run by who may:\n\n  kubectl a\n  kubectl b\n\nOr go.", lack.Error()); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
	if got := cluster.Brief(lack); got != "you may not" {
		t.Errorf("in brief it is %q", got)
	}
	if !cluster.IsUnseen(cause) || cluster.IsUnseen(lack) {
		t.Error("what the user may not see is not told from the rest")
	}
}
