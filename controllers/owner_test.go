package controllers_test

import (
	"fmt"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/postrider/postrider/controllers"
	"github.com/postrider/postrider/dispatcher/route"
)

func TestWhatTheManagerMakesInItsNamespaceGoesWithItsServiceAccount(t *testing.T) {
	var account corev1.ServiceAccount
	if err := api.Get(t.Context(), client.ObjectKey{Namespace: systemNamespace, Name: "postrider-manager"}, &account); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]client.Object{
		route.SecretName(0):     &corev1.Secret{},
		"manager.postrider.dev": &coordinationv1.Lease{},
		servingSecret:           &corev1.Secret{},
	} {
		goesWith(t, &account, name, o)
	}
	goesWith(t, &account, controllers.CAName, &corev1.Secret{})
	goesWith(t, &account, controllers.CAName, &corev1.ConfigMap{})
}

func goesWith(t *testing.T, account *corev1.ServiceAccount, name string, o client.Object) {
	t.Helper()
	until(t, func() error {
		if err := api.Get(t.Context(), client.ObjectKey{Namespace: systemNamespace, Name: name}, o); err != nil {
			return err
		}
		if owners := o.GetOwnerReferences(); len(owners) != 1 || owners[0].UID != account.UID || owners[0].Kind != "ServiceAccount" || owners[0].APIVersion != "v1" || owners[0].Name != account.Name {
			return fmt.Errorf("%s belongs to %v", name, owners)
		}
		return nil
	})
}
