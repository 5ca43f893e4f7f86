//go:build e2e

package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postrider/postrider/test/e2e/seen"
)

// maxDuplicates bounds what may come twice in one test, of some thousand
// events: what was under way when a dispatcher ended.
const maxDuplicates = 300

// stream has a producer post without a pause while f goes on, and checks that
// every event which was accepted is delivered.
func (s *trial) stream(t *testing.T, webhook string, f func()) {
	t.Helper()
	s.fill(t, "webhook.yaml", "NAME", webhook)
	s.run(t, "wait", "-n", "shop", "webhook/"+webhook, "--for=condition=Ready", "--timeout=60s")
	s.call(t, http.MethodPost, "shop", "producer", "stream", map[string]string{"namespace": "shop", "token": "postrider"}, nil)
	f()
	var sent seen.Stream
	s.call(t, http.MethodDelete, "shop", "producer", "stream", nil, &sent)

	path := "/hooks/" + webhook
	var got map[string]int
	within(t, 2*time.Minute, "all that was accepted to be delivered", func() error {
		got = s.counts(t, path)
		var lost []string
		for _, id := range sent.Accepted {
			if got[id] == 0 {
				lost = append(lost, id)
			}
		}
		if len(lost) > 0 {
			return fmt.Errorf("%d of %d are missing, such as %s", len(lost), len(sent.Accepted), lost[0])
		}
		return nil
	})
	duplicates := 0
	for _, n := range got {
		duplicates += n - 1
	}
	if len(got) != len(sent.Accepted) {
		t.Errorf("%d events were delivered, %d were accepted", len(got), len(sent.Accepted))
	}
	t.Logf("FIGURE %d events accepted, 0 lost, %d duplicates, %d posts repeated, at most %.1f s without a 202",
		len(sent.Accepted), duplicates, sent.Refused, sent.LongestWait.Seconds())
	if duplicates > maxDuplicates {
		t.Errorf("these are more duplicates than %d", maxDuplicates)
	}
	within(t, time.Minute, "the status to tell that nothing is pending", func() error {
		if pending := s.field(t, "shop", webhook, "{.status.pending}"); pending != "" && pending != "0" {
			return fmt.Errorf("%s deliveries are", pending)
		}
		return nil
	})
}

func (s *trial) killPods(t *testing.T) {
	s.stream(t, "kills", func() {
		s.kill(t, "dispatcher")
		s.awaitProgress(t, "/hooks/kills")
		s.kill(t, "manager")
		s.awaitProgress(t, "/hooks/kills")
	})
}

// kill ends the program of a component without a warning and waits until the
// kubelet has started it again.
func (s *trial) kill(tb testing.TB, component string) {
	tb.Helper()
	victim, _ := s.neighbour(tb, "kill", component)
	within(tb, 2*time.Minute, "the "+component+" to run again", func() error {
		pod, err := s.client.CoreV1().Pods(system).Get(tb.Context(), victim.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range pod.Status.ContainerStatuses {
			if ended := c.LastTerminationState.Terminated; c.RestartCount != 1 || !c.Ready || ended == nil || ended.ExitCode != 137 {
				return fmt.Errorf("its container: %d restarts, ready %t, ended before: %v", c.RestartCount, c.Ready, ended)
			}
		}
		return nil
	})
}

// neighbour has a pod on the same node do something to the one pod of a
// component, and returns that and what the first wrote.
func (s *trial) neighbour(tb testing.TB, verb, component string) (of corev1.Pod, wrote string) {
	tb.Helper()
	pods, err := s.client.CoreV1().Pods(system).List(tb.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=" + component})
	if err != nil || len(pods.Items) != 1 {
		tb.Fatalf("there are %d pods of the %s, not one (%v)", len(pods.Items), component, err)
	}
	of = pods.Items[0]
	name := verb + "-" + component
	s.fill(tb, "neighbour.yaml", "IMAGE_TAG", tag, "VERB", verb, "NODE", of.Spec.NodeName, "POD_UID", string(of.UID), "PROGRAM", component)
	s.run(tb, "wait", "-n", "receivers", "pod/"+name, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
	wrote = s.run(tb, "logs", "-n", "receivers", name)
	s.run(tb, "delete", "pod", "-n", "receivers", name)
	return of, wrote
}

// awaitProgress returns once further events are delivered at a path.
func (s *trial) awaitProgress(tb testing.TB, path string) {
	tb.Helper()
	const more = 50
	before := len(s.counts(tb, path))
	within(tb, time.Minute, "further deliveries", func() error {
		if n := len(s.counts(tb, path)); n < before+more {
			return fmt.Errorf("%d since then", n-before)
		}
		return nil
	})
}

func (s *trial) installPrevious(t *testing.T) {
	dir := s.previous(t)
	s.helm(t, 1, append([]string{"install", release, dir, "--wait", "--timeout", "2m"}, s.values(t, previousTag)...)...)
	// The webhooks have outlived the uninstallation, and are in force again.
	s.run(t, "wait", "-n", "shop", "webhook/kills", "--for=condition=Ready", "--timeout=60s")
}

func (s *trial) upgradeAndDrain(t *testing.T) {
	s.stream(t, "upgrade", func() {
		s.awaitProgress(t, "/hooks/upgrade")
		began := time.Now()
		s.helm(t, 1, append([]string{"upgrade", release, chart, "--wait", "--timeout", "3m"}, s.values(t, tag, "manager.replicas=2")...)...)
		t.Logf("FIGURE helm upgrade --wait took %.1f s", time.Since(began).Seconds())
		for _, component := range []string{"manager", "dispatcher"} {
			if image := s.run(t, "get", "deployment", "-n", system, "postrider-"+component, "-o", "jsonpath={.spec.template.spec.containers[0].image}"); !strings.HasSuffix(image, ":"+tag) {
				t.Errorf("after the upgrade the %s is %s", component, image)
			}
		}
		s.awaitProgress(t, "/hooks/upgrade")
		s.drain(t)
		s.awaitProgress(t, "/hooks/upgrade")
	})
}

// drain evicts Postrider from the node. With one node, the second manager may
// not go before the first has a successor, which has no place to run: the
// PodDisruptionBudget has to hold up the drain.
func (s *trial) drain(t *testing.T) {
	t.Helper()
	node := s.run(t, "get", "pods", "-n", system, "-l", "app.kubernetes.io/component=dispatcher", "-o", "jsonpath={.items[0].spec.nodeName}")
	evict := func(component, timeout string) error {
		_, err := try(t, root, "", s.kubectl, "drain", node, "--pod-selector=app.kubernetes.io/name=postrider,app.kubernetes.io/component="+component,
			"--delete-emptydir-data", "--timeout="+timeout)
		return err
	}
	defer s.run(t, "uncordon", node)
	if err := evict("dispatcher", "120s"); err != nil {
		t.Errorf("the dispatcher does not leave the node: %v", err)
	}
	nodes, err := s.client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(nodes.Items) > 1 {
		t.Log("there are other nodes to go to: the PodDisruptionBudget of the managers is not tried")
	} else if err := evict("manager", "8s"); err == nil || !strings.Contains(err.Error(), "disruption budget") {
		t.Errorf("the PodDisruptionBudget does not hold up the drain of both managers: %v", err)
	}
	s.run(t, "uncordon", node)
	for _, component := range []string{"manager", "dispatcher"} {
		s.run(t, "rollout", "status", "-n", system, "deployment/postrider-"+component, "--timeout=120s")
	}
}
