// Package v1alpha1 is the promise to users: the kinds Webhook,
// AuthorizationItem and WebhookPolicy, their validation, condition types and
// reasons. It has no behaviour.
//
// What a field defaults to is said in its comment and applied when the routing
// table is compiled, never written into the object: a spec stays byte for byte
// what its author applied, so GitOps tools see no difference.
//
// +kubebuilder:object:generate=true
// +groupName=postrider.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is postrider.dev/v1alpha1.
var GroupVersion = schema.GroupVersion{Group: "postrider.dev", Version: "v1alpha1"}

// AddToScheme makes a scheme know the kinds of this package.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&Webhook{}, &WebhookList{},
		&AuthorizationItem{}, &AuthorizationItemList{},
		&WebhookPolicy{}, &WebhookPolicyList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
