package chart_test

import (
	"strings"
	"testing"
)

func TestValuesThatCannotWorkAreRefused(t *testing.T) {
	refused := []struct{ name, values, where string }{
		{"several dispatchers with one volume", `{dispatcher: {replicas: 2}}`, "/dispatcher/nats/urls"},
		{"more dispatchers as needed, with one volume", `{dispatcher: {autoscaling: {enabled: true}}}`, "/dispatcher/nats/urls"},
		{"credentials for a NATS cluster that there is not", `{dispatcher: {nats: {existingSecret: login}}}`, "/dispatcher/nats/urls"},
		{"a password in the URL", `{dispatcher: {nats: {urls: ["nats://u:p@a:4222"]}}}`, "/dispatcher/nats/urls/0"},
		{"an even number of copies", `{dispatcher: {nats: {urls: ["nats://a:4222"], replicas: 2}}}`, "/dispatcher/nats/replicas"},
		{"a volume that a NATS cluster makes idle", `{dispatcher: {nats: {urls: ["nats://a:4222"]}, store: {existingClaim: ours}}}`, "/dispatcher/store/existingClaim"},
		{"a sync that a NATS cluster decides", `{dispatcher: {nats: {urls: ["nats://a:4222"]}, store: {sync: interval}}}`, "/dispatcher/store/sync"},
		{"a store without room", `{dispatcher: {store: {maxBytes: 1}}}`, "/dispatcher/store/maxBytes"},
		{"a size that is none", `{dispatcher: {store: {size: large}}}`, "/dispatcher/store/size"},
		{"no replicas", `{manager: {replicas: 0}}`, "/manager/replicas"},
		{"a key that there is not", `{manger: {}}`, "manger"},
		{"a key that there is not, deeper", `{dispatcher: {store: {volume: 1Gi}}}`, "volume"},
		{"null for a whole part", `{tls: {mode: null}}`, "/tls"},
		{"the tag latest", `{manager: {image: {tag: latest}}}`, "/manager/image/tag"},
		{"a tag in the name of an image", `{manager: {image: {repository: "ours:latest"}}}`, "/manager/image/repository"},
		{"a StorageClass that has no name", `{dispatcher: {store: {storageClass: "-"}}}`, "/dispatcher/store/storageClass"},
		{"a digest that is none", `{dispatcher: {image: {digest: "sha256:12"}}}`, "/dispatcher/image/digest"},
		{"a mode of TLS that there is not", `{tls: {mode: on}}`, "/tls/mode"},
		{"an existing Secret without a name", `{tls: {mode: existingSecret}}`, "/tls/existingSecret"},
		{"a Secret that the mode does not use", `{tls: {existingSecret: ours}}`, "/tls/existingSecret"},
		{"an issuer without a name", `{tls: {mode: certManager, certManager: {issuerRef: {kind: Issuer}}}}`, "/tls/certManager/issuerRef"},
		{"a range that is none", `{dispatcher: {egressAllowCIDRs: [10.0.0.1]}}`, "/dispatcher/egressAllowCIDRs/0"},
		{"a duration without a unit", `{dispatcher: {validationBudget: "10"}}`, "/dispatcher/validationBudget"},
		{"an address for traces that are not made", `{dispatcher: {tracing: {endpoint: "http://collector:4318"}}}`, "/dispatcher/tracing/enabled"},
		{"a flag that is none", `{manager: {extraArgs: [debug]}}`, "/manager/extraArgs/0"},
		{"another label in the place of what pods are found by", `{dispatcher: {podLabels: {app.kubernetes.io/name: x}}}`, "/dispatcher/podLabels"},
		{"a grant for nobody", `{serviceAccountTokens: {grants: [{namespace: cms, serviceAccounts: []}]}}`, "/serviceAccountTokens/grants/0/serviceAccounts"},
		{"dispatchers that may go nowhere", `{networkPolicy: {enabled: true, dispatcherEgress: []}}`, "/networkPolicy/dispatcherEgress"},
	}
	for name, helm := range helms {
		t.Run(name, func(t *testing.T) {
			for _, r := range refused {
				t.Run(r.name, func(t *testing.T) {
					t.Parallel()
					if _, err := template(helm, systemNamespace, r.values); err == nil || !strings.Contains(err.Error(), r.where) {
						t.Errorf("%s is to be refused at %s: %v", r.values, r.where, err)
					}
				})
			}
		})
	}
}
