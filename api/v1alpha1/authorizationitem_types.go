package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AuthorizationItem is how Postrider proves itself to a receiver. One item
// serves many Webhooks of its namespace.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=authz,categories=postrider
// +kubebuilder:metadata:annotations="kustomize.toolkit.fluxcd.io/substitute=disabled"
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type AuthorizationItem struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what the author wants.
	//
	// +required
	Spec AuthorizationItemSpec `json:"spec,omitzero"`

	// status is what Postrider has found out.
	//
	// +optional
	// +kubebuilder:default={conditions: {{type: "Accepted", status: "Unknown", reason: "Pending", message: "Waiting for the controller", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: "ResolvedRefs", status: "Unknown", reason: "Pending", message: "Waiting for the controller", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: "Ready", status: "Unknown", reason: "Pending", message: "Waiting for the controller", lastTransitionTime: "1970-01-01T00:00:00Z"}}}
	Status JudgedStatus `json:"status,omitzero"`
}

// AuthorizationItemList is a list of AuthorizationItems.
//
// +kubebuilder:object:root=true
type AuthorizationItemList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []AuthorizationItem `json:"items"`
}

// AuthorizationType names a way to prove who is calling.
//
// +kubebuilder:validation:Enum=Basic;Bearer;APIKey
type AuthorizationType string

// The ways.
const (
	AuthorizationBasic  AuthorizationType = "Basic"
	AuthorizationBearer AuthorizationType = "Bearer"
	AuthorizationAPIKey AuthorizationType = "APIKey"
)

// AuthorizationItemSpec names a way to prove who is calling, and the Secret
// that it takes. Credentials are never written into the spec itself.
//
// +kubebuilder:validation:XValidation:rule="self.type == 'Basic' ? has(self.basic) : !has(self.basic)",message="spec.basic must be set when spec.type is Basic, and only then: set or remove it, or change spec.type"
// +kubebuilder:validation:XValidation:rule="self.type == 'Bearer' ? has(self.bearer) : !has(self.bearer)",message="spec.bearer must be set when spec.type is Bearer, and only then: set or remove it, or change spec.type"
// +kubebuilder:validation:XValidation:rule="self.type == 'APIKey' ? has(self.apiKey) : !has(self.apiKey)",message="spec.apiKey must be set when spec.type is APIKey, and only then: set or remove it, or change spec.type"
type AuthorizationItemSpec struct {
	// type says which of the members below is set.
	//
	// +required
	// +unionDiscriminator
	Type AuthorizationType `json:"type,omitempty"`

	// basic is HTTP Basic authentication (RFC 7617).
	//
	// +optional
	// +unionMember
	Basic *BasicAuthorization `json:"basic,omitempty"`

	// bearer is a static bearer token (RFC 6750).
	//
	// +optional
	// +unionMember
	Bearer *BearerAuthorization `json:"bearer,omitempty"`

	// apiKey is a key in a header or in the query.
	//
	// +optional
	// +unionMember
	APIKey *APIKeyAuthorization `json:"apiKey,omitempty"`
}

// BasicAuthorization is HTTP Basic authentication.
type BasicAuthorization struct {
	// secretRef names a Secret with the keys "username" and "password", such as
	// one of type kubernetes.io/basic-auth. One of the two may be empty.
	//
	// +required
	SecretRef LocalReference `json:"secretRef,omitzero"`
}

// BearerAuthorization is a static bearer token.
type BearerAuthorization struct {
	// secretKeyRef names the Secret that holds the token. An absent key means "token".
	//
	// +required
	SecretKeyRef SecretKeyReference `json:"secretKeyRef,omitzero"`
}

// APIKeyPlace is where an API key is sent.
//
// +kubebuilder:validation:Enum=Header;Query
type APIKeyPlace string

// The places.
const (
	APIKeyInHeader APIKeyPlace = "Header"
	APIKeyInQuery  APIKeyPlace = "Query"
)

// APIKeyAuthorization is a key in a header or in the query.
//
// +kubebuilder:validation:XValidation:rule="(has(self.__in__) && self.__in__ == 'Query') || self.name.matches('^[-!#$%&*+.^_|~0-9A-Za-z]+$')",message="spec.apiKey.name must be an HTTP header name of letters, digits and '-', such as X-API-Key"
// +kubebuilder:validation:XValidation:rule="(has(self.__in__) && self.__in__ == 'Query') || !(self.name.lowerAscii().startsWith('webhook-') || self.name.lowerAscii() in ['content-type', 'content-length', 'content-encoding', 'host', 'user-agent', 'accept-encoding', 'connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'expect', 'date'])",message="spec.apiKey.name must not be a header that Postrider sets itself, such as content-type or webhook-id: use the name that the receiver documents for its key, such as X-API-Key"
type APIKeyAuthorization struct {
	// name of the header or of the query parameter.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Name string `json:"name,omitempty"`

	// in is where the key is sent. In the query it ends up in the access logs
	// of the receiver and of every proxy on the way, so prefer the header.
	// Default Header.
	//
	// +optional
	In APIKeyPlace `json:"in,omitempty"`

	// secretKeyRef names the Secret that holds the key. An absent key means "key".
	//
	// +required
	SecretKeyRef SecretKeyReference `json:"secretKeyRef,omitzero"`
}
