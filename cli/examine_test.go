package cli_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/internal/eventually"
)

// examines has nothing forwarded: no kubelet runs here.
func (w *world) examines(t *testing.T) {
	ns := w.tenant(t, true)
	w.webhook(t, ns, "healthy", "/healthy", ", events: [a]")
	look := func() result {
		r := w.runRaw(t, "doctor", "-n", ns, "--kubeconfig", w.kubeconfig, "--admin-server", w.dispatcher.Admin())
		r.out = volatile.ReplaceAllString(r.out, "~")
		return r
	}
	expect := func(code int, want string) {
		t.Helper()
		if diff := cmp.Diff(strings.TrimSpace(strings.ReplaceAll(want, "NS", ns)), strings.TrimSpace(look().ended(t, code).out)); diff != "" {
			t.Errorf("the findings (-want +got)\n%s", diff)
		}
	}

	// As the user has it at first: nothing is deployed as pods, and rights lack.
	user := "system:serviceaccount:people:ada"
	w.runRaw(t, "doctor", "-n", ns, "--kubeconfig", w.kubeconfig, "--admin-server", w.dispatcher.Admin()).ended(t, 1, "UNKNOWN manager", user, "you may not get services")

	w.kubectl(t, "", "create", "clusterrole", "looks", "--verb=get,list", "--resource=services,pods,deployments.apps")
	w.kubectl(t, "", "create", "clusterrolebinding", "ada-looks", "--clusterrole=looks", "--serviceaccount=people:ada")
	w.kubectl(t, "", "create", "clusterrole", "forwards", "--verb=create", "--resource=pods/portforward")
	w.kubectl(t, "", "create", "clusterrolebinding", "ada-forwards", "--clusterrole=forwards", "--serviceaccount=people:ada")
	eventually.True(t, "the rights to be seen", func() bool { return strings.Contains(look().out, "OK      your rights") })
	expect(1, `
OK      API server     it answers, its version is ~
OK      CRDs           AuthorizationItem, Webhook, WebhookPolicy of postrider.dev/v1alpha1 are there
WRONG   manager        there is no Deployment "postrider-manager" in namespace "postrider-system"
                       → Say with --postrider-namespace where Postrider is installed, or install it.
WRONG   dispatcher     there is no Deployment "postrider-dispatcher" in namespace "postrider-system"
                       → Say with --postrider-namespace where Postrider is installed, or install it.
OK      store          events can be stored
OK      table          in force: ~
OK      certificate    the dispatcher speaks no TLS here
OK      your rights    you may list webhooks, reach the dispatcher and make a token for it
OK      ServiceAccount NS:postrider-cli may test, replay and read deliveries
OK      table          every dispatcher has confirmed all 1 webhooks
OK      webhooks       none of 1 is in trouble`)

	w.deploy(t, "manager", "v0.1.0", 1)
	w.deploy(t, "dispatcher", "v0.2.0", 0)
	w.apply(t, ns, "lacking", "/lacking", ", events: [a], policyRef: {name: none}")
	w.kubectl(t, "", "delete", "rolebinding", "postrider-cli-operator", "-n", ns)
	eventually.True(t, "the findings", func() bool {
		out := look().out
		return strings.Contains(out, "RefNotFound") && strings.Contains(out, "may not create") && strings.Contains(out, "has confirmed all 2")
	})
	expect(1, `
OK      API server     it answers, its version is ~
OK      CRDs           AuthorizationItem, Webhook, WebhookPolicy of postrider.dev/v1alpha1 are there
OK      manager        1 of 1 replicas are ready
WRONG   dispatcher     0 of 1 replicas are ready
                       → kubectl describe deployment postrider-dispatcher -n postrider-system
                       → kubectl logs deployment/postrider-dispatcher -n postrider-system --tail=50
WRONG   version        manager v0.1.0, dispatcher v0.2.0, plugin v0.1.0
                       → Run both programs in one version: helm upgrade, or kubectl apply of config/default.
OK      store          events can be stored
OK      table          in force: ~
OK      certificate    the dispatcher speaks no TLS here
OK      your rights    you may list webhooks, reach the dispatcher and make a token for it
WRONG   ServiceAccount NS:postrider-cli may not create webhooks/test, create webhooks/replay, get webhooks/deliveries, get webhooks/deadletters
                       → kubectl create rolebinding postrider-cli-operator -n NS --clusterrole=postrider-operator --serviceaccount=NS:postrider-cli
OK      table          every dispatcher has confirmed all 2 webhooks
WRONG   webhook        NS/lacking: NotReady (RefNotFound)
                       → Provide what it refers to (spec.policyRef: WebhookPolicy "none" does not exist; create it, or remove the reference). What it is owed waits until then.`)
	everywhere := w.runRaw(t, "doctor", "-A", "--kubeconfig", w.kubeconfig, "--admin-server", w.dispatcher.Admin())
	if strings.Contains(everywhere.out, "ServiceAccount") {
		t.Errorf("of all namespaces it says\n%s", everywhere.out)
	}
	w.run(t, "", "version").ok(t, "plugin:     v0.1.0", "manager:    v0.1.0", "dispatcher: v0.2.0")
	w.run(t, ns, "doctor", "--admin-server", w.dispatcher.Admin(), "-o", "json").ended(t, 1, `"level": "WRONG"`)
	w.run(t, ns, "doctor", "--admin-server", "http://127.0.0.1:1").ended(t, 1, "the dispatcher cannot be reached")
	w.run(t, ns, "doctor", "--admin-server", w.receiver.URL("")).ended(t, 1, "what listens there is no dispatcher")
}

// volatile is what differs from run to run.
var volatile = regexp.MustCompile(`v1\.[0-9]+\.[0-9]+\S*|[0-9a-f]{32,}`)

// deploy makes one of the Deployments, of which so many replicas are ready.
func (w *world) deploy(t *testing.T, name, version string, ready int) {
	t.Helper()
	full := "postrider-" + name
	w.kubectl(t, "", "create", "deployment", full, "-n", system, "--image=registry.example.com:5000/postrider/"+name+":"+version)
	status := `{"status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1}}`
	if ready > 0 {
		status = `{"status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}}`
	}
	w.kubectl(t, "", "patch", "deployment", full, "-n", system, "--subresource=status", "--type=merge", "-p", status)
}
