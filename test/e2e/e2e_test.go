//go:build e2e

// Package e2e_test installs Postrider on a real cluster as users do, has events
// delivered between real pods, and breaks what breaks in real clusters.
//
// Its steps build on each other, so the first failure ends it. "make e2e" runs
// it on a cluster of its own, or on the one that KUBECONFIG names.
package e2e_test

import (
	"strings"
	"testing"
	"time"
)

const (
	system  = "postrider-system"
	chart   = "charts/postrider"
	release = "postrider"
	tag     = "v0.1.0-e2e" // of the images under test
)

// trial is what the steps know of each other's work.
type trial struct {
	*cluster
	receiver string // name of the pod
	began    time.Time
}

func TestInstalledAsUsersInstall(t *testing.T) {
	s := &trial{cluster: connect(t), began: time.Now()}
	s.requireEmpty(t)
	t.Cleanup(func() {
		if t.Failed() {
			s.explain(t)
		} else {
			s.tidy(t)
		}
	})
	// Each step needs those before it.
	_ = t.Run("images are made and loaded without a container engine", s.loadImages) &&
		t.Run("the receiver and the producers run", s.startPods) &&
		t.Run("the chart installs, and delivers the first event within a minute", s.installAndDeliver) &&
		t.Run("the samples are delivered, signed and authorised, and their statuses say so", s.deliverSamples) &&
		t.Run("callers without the right are refused and told which rule is missing", s.refuse) &&
		t.Run("the pods run restricted, and NetworkPolicies select each of them", s.restrict) &&
		t.Run("the commands that the chart shows next work as they stand", s.followNotes) &&
		t.Run("nothing is lost when the pods are killed", s.killPods) &&
		t.Run("the pods are small when they rest", s.weigh) &&
		t.Run("uninstalling leaves nothing but the CRDs and what they hold, and says so", s.uninstall) &&
		t.Run("the previous chart installs over the CRDs that were left", s.installPrevious) &&
		t.Run("nothing is lost in an upgrade and in drains of the node", s.upgradeAndDrain) &&
		t.Run("uninstalling after an upgrade leaves as little", s.uninstall) &&
		t.Run("make deploy installs the same, and make undeploy leaves nothing at all", s.deploy)
	t.Logf("all steps took %.0f s", time.Since(s.began).Seconds())
}

// namespaces are those that the test makes.
var namespaces = []string{system, "receivers", "shop", "cms"}

// requireEmpty protects what is somebody else's.
func (s *trial) requireEmpty(tb testing.TB) {
	tb.Helper()
	found := s.run(tb, append([]string{"get", "namespaces", "--ignore-not-found", "-o", "name"}, namespaces...)...)
	found += s.run(tb, append([]string{"get", "crds", "--ignore-not-found", "-o", "name"}, crds...)...)
	if found != "" {
		tb.Fatalf("this cluster has what the test would make, and remove in the end. If it may go, remove it first:\n  kubectl delete %s",
			strings.Join(strings.Fields(found), " "))
	}
}

// tidy removes what a test that passed has left.
func (s *trial) tidy(tb testing.TB) {
	tb.Helper()
	s.run(tb, append([]string{"delete", "namespaces", "--ignore-not-found", "--wait=false"}, namespaces...)...)
}

// explain writes down what may tell why a step failed.
func (s *trial) explain(tb testing.TB) {
	tb.Helper()
	for _, args := range [][]string{
		{"get", "pods,pvc,pv", "-A", "-o", "wide"},
		{"get", "webhooks,webhookpolicies,authorizationitems", "-A", "-o", "wide"},
		{"get", "events", "-A", "--sort-by=.lastTimestamp"},
		{"logs", "-n", system, "-l", "app.kubernetes.io/component=manager", "--tail=40", "--prefix"},
		{"logs", "-n", system, "-l", "app.kubernetes.io/component=dispatcher", "--tail=40", "--prefix"},
	} {
		out, err := try(tb, root, "", s.kubectl, args...)
		tb.Logf("kubectl %v (%v)\n%s", args, err, out)
	}
}
