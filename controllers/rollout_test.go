package controllers_test

import (
	"fmt"
	"strings"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/postrider/postrider/api/v1alpha1"
)

func TestADispatcherThatRefusesOrIsSilentShows(t *testing.T) {
	ns := namespace(t)
	apply(t, ns, fmt.Sprintf(plain, "orders"))
	becomes(t, ns, "orders", "Programmed=True/Programmed")

	peer.set(func(d *dispatcher) { d.fault = "the shard is not gzip" })
	apply(t, ns, fmt.Sprintf(plain, "new"))
	w := becomes(t, ns, "new", "Programmed=False/TableRejected", "Ready=False/TableRejected", "Accepted=True/Accepted")
	if m := meta.FindStatusCondition(w.Status.Conditions, v1alpha1.ConditionProgrammed).Message; !strings.Contains(m, "dispatcher-0") || !strings.Contains(m, "the shard is not gzip") {
		t.Errorf("the message is %q", m)
	}
	becomes(t, ns, "orders", "Programmed=False/TableRejected") // it stays that way
	peer.set(func(d *dispatcher) { d.fault = "" })
	becomes(t, ns, "new", "Ready=True/Ready")
	becomes(t, ns, "orders", "Ready=True/Ready")

	peer.set(func(d *dispatcher) { d.silent = true })
	becomes(t, ns, "orders", "Programmed=Unknown/DispatcherUnreachable", "Ready=Unknown/DispatcherUnreachable")
	peer.set(func(d *dispatcher) { d.silent = false })
	becomes(t, ns, "orders", "Ready=True/Ready")
}

func TestADispatcherThatJoinsTheServiceHasToConfirmToo(t *testing.T) {
	ns := namespace(t)
	apply(t, ns, fmt.Sprintf(plain, "before"))
	becomes(t, ns, "before", "Ready=True/Ready")
	slice := []byte(`
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: dispatcher, namespace: ` + systemNamespace + `, labels: {kubernetes.io/service-name: postrider-dispatcher}}
addressType: IPv4
endpoints: [{addresses: ["192.0.2.1"]}, {addresses: ["192.0.2.2"], conditions: {ready: false}}]
ports: [{name: admin, port: 8081}, {name: events, port: 8080}]`) // TEST-NET-1: nobody is there
	if err := applyYAML(t.Context(), slice); err != nil {
		t.Fatal(err)
	}
	w := becomes(t, ns, "before", "Programmed=Unknown/DispatcherUnreachable")
	if m := meta.FindStatusCondition(w.Status.Conditions, v1alpha1.ConditionProgrammed).Message; !strings.Contains(m, "https://192.0.2.1:8081") {
		t.Errorf("the message is %q", m)
	}
	if err := api.DeleteAllOf(t.Context(), &discoveryv1.EndpointSlice{}, client.InNamespace(systemNamespace)); err != nil {
		t.Fatal(err)
	}
	becomes(t, ns, "before", "Ready=True/Ready")
}
