package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Names in config/samples.
const (
	samplesNamespace  = "cms"
	sampleSigningKeys = "pages-signing" // the Secret with the key that the manager generates
	sampleToken       = "pages-token"   // the Secret with the receiver's bearer token
	sampleProducer    = "producer"      // the ServiceAccount that may post events
	sampleOperator    = "operator"      // the ServiceAccount that may test, and send again
	sampleFailing     = "search-index"  // the Webhook whose address is wrong
)

// sampleWebhooks are the Webhooks there; a cluster that was played with has others too.
var sampleWebhooks = []string{"page-created", sampleFailing}

// applySamples applies config/samples, waits until each Webhook of theirs is
// in force, and tells the receiver what to expect of a sender.
func (l *local) applySamples(ctx context.Context) error {
	samples, err := l.kubectl(ctx, "kustomize", "config/samples")
	if err != nil {
		return err
	}
	samples = strings.ReplaceAll(samples, "127.0.0.1:"+strconv.Itoa(firstPort), l.ports.address(portReceiver))
	if _, err := l.kubectlWith(ctx, samples, "apply", "--server-side", "--force-conflicts", "-f", "-"); err != nil {
		return err
	}
	wait := append([]string{"wait", "webhooks", "--for=condition=Programmed", "--timeout=30s"}, sampleWebhooks...)
	if _, err := l.kubectl(ctx, wait...); err != nil {
		return l.inLog("manager", err)
	}

	// A receiver's owner would be given these two by whoever made the Webhook.
	keys, err := l.secret(ctx, sampleSigningKeys, "secret")
	if err != nil {
		return err
	}
	token, err := l.secret(ctx, sampleToken, "token")
	if err != nil {
		return err
	}
	return l.receiver.Trust(strings.Fields(keys)[0], strings.TrimSpace(token))
}

// secret reads one key of a Secret of the samples.
func (l *local) secret(ctx context.Context, name, key string) (string, error) {
	value, err := l.kubectl(ctx, "get", "secret", name, "-o", fmt.Sprintf(`go-template={{index .data %q | base64decode}}`, key))
	if err == nil && strings.TrimSpace(value) == "" {
		err = fmt.Errorf("the key %q of Secret %s/%s is empty", key, samplesNamespace, name)
	}
	return value, err
}
