//go:build e2e

package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/postrider/postrider/test/e2e/seen"
)

// firstEventWithin bounds the time from the beginning of the installation to
// the first delivery.
const firstEventWithin = time.Minute

func (s *trial) loadImages(t *testing.T) {
	s.load(t, root, tag, "./cmd/manager", "./cmd/dispatcher")
	s.load(t, root, tag, "--name", "e2e", "./test/e2e/pod")
}

func (s *trial) startPods(t *testing.T) {
	s.fill(t, "pods.yaml", "IMAGE_TAG", tag)
	for _, account := range []string{"producer", "stranger"} {
		s.startProducer(t, "shop", account)
	}
	s.run(t, "rollout", "status", "-n", "receivers", "deployment/receiver", "--timeout=60s")
	s.receiver = s.run(t, "get", "pods", "-n", "receivers", "-o", "jsonpath={.items[0].metadata.name}")
	// The strictest of the standards that Kubernetes has for pods.
	s.apply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+system+", labels: {pod-security.kubernetes.io/enforce: restricted}}\n")
}

func (s *trial) startProducer(tb testing.TB, namespace, account string) {
	tb.Helper()
	s.fill(tb, "producer.yaml", "IMAGE_TAG", tag, "NAMESPACE", namespace, "ACCOUNT", account)
	s.run(tb, "wait", "-n", namespace, "pod/"+account, "--for=condition=Ready", "--timeout=60s")
}

// values are what an administrator of this cluster has to say about it.
func (s *trial) values(tb testing.TB, imageTag string, more ...string) []string {
	tb.Helper()
	receiver := s.run(tb, "get", "service", "-n", "receivers", "receiver", "-o", "jsonpath={.spec.clusterIP}")
	args := []string{
		"--namespace", system,
		"--set", "manager.image.tag=" + imageTag, "--set", "dispatcher.image.tag=" + imageTag, "--set", "image.pullPolicy=Never",
		"--set", "dispatcher.egressAllowCIDRs={" + receiver + "/32}", // receivers have public addresses otherwise
		"--set", "networkPolicy.enabled=true",
	}
	for _, m := range more {
		args = append(args, "--set", m)
	}
	return args
}

func (s *trial) installAndDeliver(t *testing.T) {
	began := time.Now()
	s.helm(t, 0, append([]string{"install", release, chart}, s.values(t, tag)...)...)
	s.fill(t, "webhook.yaml", "NAME", "first")
	within(t, firstEventWithin, "the first event to be accepted", func() error {
		got, err := s.tryPost(t, "producer", "shop", "postrider", `{"type": "stream.first", "data": {}}`)
		if err == nil && got.Status != http.StatusAccepted {
			err = fmt.Errorf("the dispatcher answers %d %s", got.Status, got.Body)
		}
		return err
	})
	within(t, firstEventWithin, "the first event to be delivered", func() error {
		if len(s.counts(t, "/hooks/first")) == 0 {
			return errors.New("the receiver has nothing")
		}
		return nil
	})
	took := time.Since(began)
	t.Logf("FIGURE from the beginning of helm install to the first delivery: %.1f s (target: at most %.0f s)", took.Seconds(), firstEventWithin.Seconds())
	if took > firstEventWithin {
		t.Error("that is too long")
	}
	s.run(t, "wait", "-n", "shop", "webhook/first", "--for=condition=Ready", "--timeout=30s")
}

// post has the pod of an account post an event.
func (s *trial) post(tb testing.TB, account, namespace, token, event string) seen.Answer {
	tb.Helper()
	got, err := s.tryPost(tb, account, namespace, token, event)
	if err != nil {
		tb.Fatal(err)
	}
	return got
}

// tryPost is post for a dispatcher that may not be there.
func (s *trial) tryPost(tb testing.TB, account, namespace, token, event string) (got seen.Answer, err error) {
	tb.Helper()
	home := namespace
	if account != "producer" || namespace == "kube-system" {
		home = "shop"
	}
	raw, err := s.client.CoreV1().RESTClient().Post().Namespace(home).Resource("pods").Name(account+":8080").SubResource("proxy").Suffix("post").
		Param("namespace", namespace).Param("token", token).Body([]byte(event)).DoRaw(tb.Context())
	if err != nil {
		return got, fmt.Errorf("%w: %s", err, raw)
	}
	return got, json.Unmarshal(raw, &got)
}

// counts are how often the receiver got each webhook-id at a path.
func (s *trial) counts(tb testing.TB, path string) map[string]int {
	tb.Helper()
	var counts map[string]int
	s.call(tb, http.MethodGet, "receivers", s.receiver, "counts", map[string]string{"path": path}, &counts)
	return counts
}

func (s *trial) deliverSamples(t *testing.T) {
	samples := s.run(t, "kustomize", "config/samples")
	s.apply(t, strings.ReplaceAll(samples, "127.0.0.1:9400", "receiver.receivers.svc"))
	s.startProducer(t, "cms", "producer")
	s.run(t, "wait", "-n", "cms", "webhooks", "--all", "--for=condition=Ready", "--timeout=60s")

	event := run(t, root, "", "cat", "hack/local/event.json")
	if got := s.post(t, "producer", "cms", "postrider", event); got.Status != http.StatusAccepted {
		t.Fatalf("the sample event was answered with %d %s", got.Status, got.Body)
	}
	delivery := s.awaitRequest(t, "/hooks/pages")
	if got, want := delivery.Header.Get("Authorization"), "Bearer sample-token-not-a-secret"; got != want {
		t.Errorf("Authorization was %q, not %q", got, want)
	}
	s.verify(t, delivery)

	for name, conditions := range map[string]map[string]string{
		"page-created": {"Accepted": "True", "ResolvedRefs": "True", "Programmed": "True", "Ready": "True", "Delivering": "True"},
		"search-index": {"Ready": "True", "Delivering": "False"}, // its path is not one that the receiver has
	} {
		for condition, want := range conditions {
			s.run(t, "wait", "-n", "cms", "webhook/"+name, "--for=condition="+condition+"="+want, "--timeout=60s")
		}
	}
	if got := s.field(t, "cms", "search-index", "{.status.lastError}"); !strings.Contains(got, "404") {
		t.Errorf("the last error of search-index is %q", got)
	}
	last := s.field(t, "cms", "page-created", "{.status.lastDelivery.time}")
	if at, err := time.Parse(time.RFC3339, last); err != nil || at.Before(delivery.Time.Truncate(time.Second).Add(-time.Minute)) {
		t.Errorf("the last delivery of page-created was at %q (%v)", last, err)
	}
}

func (s *trial) field(tb testing.TB, namespace, webhook, path string) string {
	tb.Helper()
	return s.run(tb, "get", "webhook", "-n", namespace, webhook, "-o", "jsonpath="+path)
}

// awaitRequest returns the first request that the receiver got at a path.
func (s *trial) awaitRequest(tb testing.TB, path string) (found seen.Request) {
	tb.Helper()
	within(tb, 30*time.Second, "a delivery to "+path, func() error {
		var requests []seen.Request
		s.call(tb, http.MethodGet, "receivers", s.receiver, "requests", nil, &requests)
		for _, found = range requests {
			if found.Path == path {
				return nil
			}
		}
		return fmt.Errorf("the receiver got %d other requests", len(requests))
	})
	return found
}

// verify checks the signature of a sample's delivery with the key that the manager has made.
func (s *trial) verify(tb testing.TB, delivery seen.Request) {
	tb.Helper()
	secret, err := s.client.CoreV1().Secrets("cms").Get(tb.Context(), "pages-signing", metav1.GetOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	keys := strings.Fields(string(secret.Data["secret"]))
	if len(keys) == 0 {
		tb.Fatal("the manager has made no signing key")
	}
	verifier, err := standardwebhooks.NewWebhook(keys[0])
	if err != nil {
		tb.Fatal("the manager's signing key is not one of Standard Webhooks")
	}
	if err := verifier.Verify(delivery.Body, delivery.Header); err != nil {
		tb.Errorf("the signature is not valid: %v", err)
	}
}
