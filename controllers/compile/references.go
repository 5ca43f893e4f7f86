package compile

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/postrider/postrider/api/v1alpha1"
)

// References are the Secrets that the objects of s refer to, whether they
// exist or not. It does not look at s.Secrets.
func References(s Snapshot) map[types.NamespacedName]struct{} {
	refs := map[types.NamespacedName]struct{}{}
	add := func(namespace string, names []string) {
		for _, n := range names {
			refs[types.NamespacedName{Namespace: namespace, Name: n}] = struct{}{}
		}
	}
	for i := range s.Webhooks {
		add(s.Webhooks[i].Namespace, SecretsOfWebhook(&s.Webhooks[i]))
	}
	for i := range s.AuthorizationItems {
		add(s.AuthorizationItems[i].Namespace, SecretsOfItem(&s.AuthorizationItems[i]))
	}
	for i := range s.WebhookPolicies {
		add(s.WebhookPolicies[i].Namespace, SecretsOfPolicy(&s.WebhookPolicies[i]))
	}
	return refs
}

// SecretsOfWebhook names the Secrets that o itself refers to.
func SecretsOfWebhook(o *v1alpha1.Webhook) (names []string) {
	for _, h := range o.Spec.Endpoint.Headers {
		if h.ValueFrom != nil {
			names = append(names, h.ValueFrom.SecretKeyRef.Name)
		}
	}
	return names
}

// SecretsOfItem names the Secrets that o refers to.
func SecretsOfItem(o *v1alpha1.AuthorizationItem) (names []string) {
	if m := o.Spec.Basic; m != nil {
		names = append(names, m.SecretRef.Name)
	}
	if m := o.Spec.Bearer; m != nil {
		names = append(names, m.SecretKeyRef.Name)
	}
	if m := o.Spec.APIKey; m != nil {
		names = append(names, m.SecretKeyRef.Name)
	}
	if m := o.Spec.Digest; m != nil {
		names = append(names, m.SecretRef.Name)
	}
	if m := o.Spec.OAuth2ClientCredentials; m != nil {
		names = append(names, m.ClientSecretRef.Name)
	}
	if m := o.Spec.OAuth2Password; m != nil {
		names = append(names, m.ClientSecretRef.Name, m.UserSecretRef.Name)
	}
	if m := o.Spec.ClientCertificate; m != nil {
		names = append(names, m.SecretRef.Name)
	}
	return names
}

// SecretsOfPolicy names the Secrets that o refers to.
func SecretsOfPolicy(o *v1alpha1.WebhookPolicy) (names []string) {
	if s := o.Spec.Signing; s != nil && s.SecretRef != nil {
		names = append(names, s.SecretRef.Name)
	}
	return names
}
