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
// +kubebuilder:validation:Enum=Basic;Digest;Bearer;APIKey;OAuth2ClientCredentials;OAuth2Password;ClientCertificate;ServiceAccountToken
type AuthorizationType string

// The ways.
const (
	AuthorizationBasic                   AuthorizationType = "Basic"
	AuthorizationDigest                  AuthorizationType = "Digest"
	AuthorizationBearer                  AuthorizationType = "Bearer"
	AuthorizationAPIKey                  AuthorizationType = "APIKey"
	AuthorizationOAuth2ClientCredentials AuthorizationType = "OAuth2ClientCredentials"
	AuthorizationOAuth2Password          AuthorizationType = "OAuth2Password"
	AuthorizationClientCertificate       AuthorizationType = "ClientCertificate"
	AuthorizationServiceAccountToken     AuthorizationType = "ServiceAccountToken"
)

// AuthorizationItemSpec names a way to prove who is calling, and the Secret
// that it takes. Credentials are never written into the spec itself.
//
// +kubebuilder:validation:XValidation:rule="self.type == 'Basic' ? has(self.basic) : !has(self.basic)",message="spec.basic must be set when spec.type is Basic, and only then: set or remove it, or change spec.type"
// +kubebuilder:validation:XValidation:rule="self.type == 'Bearer' ? has(self.bearer) : !has(self.bearer)",message="spec.bearer must be set when spec.type is Bearer, and only then: set or remove it, or change spec.type"
// +kubebuilder:validation:XValidation:rule="self.type == 'APIKey' ? has(self.apiKey) : !has(self.apiKey)",message="spec.apiKey must be set when spec.type is APIKey, and only then: set or remove it, or change spec.type"
// +kubebuilder:validation:XValidation:rule="self.type == 'Digest' ? has(self.digest) : !has(self.digest)",message="spec.digest must be set when spec.type is Digest, and only then: set or remove it, or change spec.type"
// +kubebuilder:validation:XValidation:rule="self.type == 'OAuth2ClientCredentials' ? has(self.oauth2ClientCredentials) : !has(self.oauth2ClientCredentials)",message="spec.oauth2ClientCredentials must be set when spec.type is OAuth2ClientCredentials, and only then: set or remove it, or change spec.type"
// +kubebuilder:validation:XValidation:rule="self.type == 'OAuth2Password' ? has(self.oauth2Password) : !has(self.oauth2Password)",message="spec.oauth2Password must be set when spec.type is OAuth2Password, and only then: set or remove it, or change spec.type"
// +kubebuilder:validation:XValidation:rule="self.type == 'ClientCertificate' ? has(self.clientCertificate) : !has(self.clientCertificate)",message="spec.clientCertificate must be set when spec.type is ClientCertificate, and only then: set or remove it, or change spec.type"
// +kubebuilder:validation:XValidation:rule="self.type == 'ServiceAccountToken' ? has(self.serviceAccountToken) : !has(self.serviceAccountToken)",message="spec.serviceAccountToken must be set when spec.type is ServiceAccountToken, and only then: set or remove it, or change spec.type"
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

	// digest is HTTP Digest authentication (RFC 7616).
	//
	// +optional
	// +unionMember
	Digest *DigestAuthorization `json:"digest,omitempty"`

	// oauth2ClientCredentials is a token of the client credentials grant of OAuth
	// 2.0 (RFC 6749, section 4.4).
	//
	// +optional
	// +unionMember=OAuth2ClientCredentials
	OAuth2ClientCredentials *OAuth2ClientCredentials `json:"oauth2ClientCredentials,omitempty"`

	// oauth2Password is a token of the resource owner password credentials grant
	// of OAuth 2.0 (RFC 6749, section 4.3). Prefer client credentials: RFC 9700
	// advises against this grant.
	//
	// +optional
	// +unionMember=OAuth2Password
	OAuth2Password *OAuth2Password `json:"oauth2Password,omitempty"`

	// clientCertificate is a certificate of TLS that Postrider shows (RFC 8446,
	// section 4.4.2). It is for receivers at https:// addresses.
	//
	// +optional
	// +unionMember
	ClientCertificate *ClientCertificateAuthorization `json:"clientCertificate,omitempty"`

	// serviceAccountToken is a token of a ServiceAccount of the namespace, made
	// by the API server for one audience, sent as a bearer token.
	//
	// +optional
	// +unionMember
	ServiceAccountToken *ServiceAccountTokenAuthorization `json:"serviceAccountToken,omitempty"`
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

// DigestAuthorization is HTTP Digest authentication.
type DigestAuthorization struct {
	// secretRef names a Secret with the keys "username" and "password", such as
	// one of type kubernetes.io/basic-auth.
	//
	// +required
	SecretRef LocalReference `json:"secretRef,omitzero"`
}

// OAuth2 is how a token is had of an authority.
//
// +kubebuilder:validation:XValidation:rule="has(self.authorityURL) != has(self.tokenURL)",message="either authorityURL (its endpoints are discovered) or tokenURL must be set: set one of them"
// +kubebuilder:validation:XValidation:rule="has(self.authorityURL) || !has(self.additionalEndpointBaseAddresses)",message="additionalEndpointBaseAddresses bounds what a discovery may name, so it needs authorityURL: remove it, or use authorityURL"
type OAuth2 struct {
	// authorityURL is the issuer, whose token endpoint is found by OpenID Connect
	// Discovery at authorityURL/.well-known/openid-configuration. What is named
	// there has to be below authorityURL or one of additionalEndpointBaseAddresses.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != '' && !self.matches('[\\\\s#@?]')",message="authorityURL must be an absolute address that begins with https:// or http://, without user name, query and fragment, such as https://login.example.com/tenant"
	AuthorityURL string `json:"authorityURL,omitempty"`

	// tokenURL is the token endpoint, where there is no discovery.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != '' && !self.matches('[\\\\s#@]')",message="tokenURL must be an absolute address that begins with https:// or http://, without user name and fragment, such as https://login.example.com/oauth2/token"
	TokenURL string `json:"tokenURL,omitempty"`

	// additionalEndpointBaseAddresses are addresses below which the endpoints that
	// discovery names may be besides those below authorityURL. At most 16.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=2048
	AdditionalEndpointBaseAddresses []string `json:"additionalEndpointBaseAddresses,omitempty"`

	// clientSecretRef names a Secret with the keys "clientID" and "clientSecret".
	//
	// +required
	ClientSecretRef LocalReference `json:"clientSecretRef,omitzero"`

	// scopes that are asked for. At most 64.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="self.all(s, s.matches('^[\\\\x21\\\\x23-\\\\x5b\\\\x5d-\\\\x7e]+$'))",message="each of scopes must be one scope without blanks: write several as several elements"
	Scopes []string `json:"scopes,omitempty"`

	// headerPrefix is what stands before the token in the Authorization header.
	// Default Bearer.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-!#$%&*+.^_|~0-9A-Za-z]+$')",message="headerPrefix must be one word, such as Bearer"
	HeaderPrefix string `json:"headerPrefix,omitempty"`

	// parameters are sent to the token endpoint besides, such as audience. At most
	// 16. They are no place for credentials.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Parameters []OAuth2Parameter `json:"parameters,omitempty"`
}

// OAuth2Parameter is one parameter of a request to a token endpoint.
type OAuth2Parameter struct {
	// name of the parameter.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="!(self in ['grant_type', 'client_id', 'client_secret', 'username', 'password', 'scope'])",message="parameters must not have one that Postrider sets itself (grant_type, client_id, client_secret, username, password, scope): remove it"
	Name string `json:"name,omitempty"`

	// value of the parameter.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Value string `json:"value,omitempty"`
}

// OAuth2ClientCredentials is the client credentials grant.
type OAuth2ClientCredentials struct {
	OAuth2 `json:",inline"`
}

// OAuth2Password is the resource owner password credentials grant.
type OAuth2Password struct {
	OAuth2 `json:",inline"`

	// userSecretRef names a Secret with the keys "username" and "password", such
	// as one of type kubernetes.io/basic-auth.
	//
	// +required
	UserSecretRef LocalReference `json:"userSecretRef,omitzero"`
}

// ClientCertificateAuthorization is a certificate that Postrider shows.
type ClientCertificateAuthorization struct {
	// secretRef names a Secret with the keys "tls.crt" and "tls.key", such as one
	// of type kubernetes.io/tls.
	//
	// +required
	SecretRef LocalReference `json:"secretRef,omitzero"`
}

// ServiceAccountTokenAuthorization is a token of a ServiceAccount.
type ServiceAccountTokenAuthorization struct {
	// serviceAccountName names the ServiceAccount in this namespace whose token is
	// sent. Whoever may write AuthorizationItems could so speak for any
	// ServiceAccount of the namespace: therefore dispatchers may ask for tokens
	// only of those for which a Role of the namespace lets them create
	// serviceaccounts/token.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="serviceAccountName must be the name of a ServiceAccount in this namespace: lower case letters, digits, '-' and '.', beginning and ending with a letter or digit"
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// audience that the token is for: the receiver, as it knows itself. It must
	// not be that of the API server.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Audience string `json:"audience,omitempty"`
}
