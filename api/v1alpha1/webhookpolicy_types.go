package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// WebhookPolicy is the terms of delivery. One policy serves many Webhooks of
// its namespace.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=webhookpolicies,shortName=whp,categories=postrider
// +kubebuilder:metadata:annotations="kustomize.toolkit.fluxcd.io/substitute=disabled"
// +kubebuilder:printcolumn:name="Signing",type=string,JSONPath=`.spec.signing.type`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type WebhookPolicy struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what the author wants. An empty one is the defaults.
	//
	// +optional
	Spec WebhookPolicySpec `json:"spec,omitzero"`

	// status is what Postrider has found out.
	//
	// +optional
	// +kubebuilder:default={conditions: {{type: "Accepted", status: "Unknown", reason: "Pending", message: "Waiting for the controller", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: "ResolvedRefs", status: "Unknown", reason: "Pending", message: "Waiting for the controller", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: "Ready", status: "Unknown", reason: "Pending", message: "Waiting for the controller", lastTransitionTime: "1970-01-01T00:00:00Z"}}}
	Status JudgedStatus `json:"status,omitzero"`
}

// WebhookPolicyList is a list of WebhookPolicies.
//
// +kubebuilder:object:root=true
type WebhookPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []WebhookPolicy `json:"items"`
}

// WebhookPolicySpec describes the terms of delivery. Every member has a
// default that is applied when the table is compiled.
type WebhookPolicySpec struct {
	// signing is how receivers verify who sent. Default: not signed.
	//
	// +optional
	Signing *Signing `json:"signing,omitempty"`

	// timeout of one attempt, the answer's body included: 100ms to 60s. Default 10s.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}([.][0-9]{1,6})?(ms|s|m|h))+$') && duration(self) >= duration('100ms') && duration(self) <= duration('60s')",message="spec.timeout must be a duration from 100ms to 60s, such as 10s"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// retry is when a failed delivery is attempted again.
	//
	// +optional
	Retry *Retry `json:"retry,omitempty"`

	// concurrency is how many attempts to one receiver may be under way at
	// once: 1 to 100. Default 10.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Concurrency *int32 `json:"concurrency,omitempty"`

	// rateLimit is how many attempts may begin in a span of time, at each
	// dispatcher. What is above it waits. Default: no limit.
	//
	// +optional
	RateLimit *RateLimit `json:"rateLimit,omitempty"`

	// circuitBreaker keeps attempts from a receiver that fails, for a while
	// each time. What it is owed waits. Default: 10 failures, 1m.
	//
	// +optional
	CircuitBreaker *CircuitBreaker `json:"circuitBreaker,omitempty"`

	// autoDisable is when Postrider disables a Webhook whose receiver fails for
	// long. Default: 20 failures over 168h.
	//
	// +optional
	AutoDisable *AutoDisable `json:"autoDisable,omitempty"`

	// attemptLog is what is remembered of attempts.
	//
	// +optional
	AttemptLog *AttemptLog `json:"attemptLog,omitempty"`
}

// SigningType names a way of signing.
//
// +kubebuilder:validation:Enum=None;StandardWebhooks
type SigningType string

// The ways of signing.
const (
	SigningNone             SigningType = "None"
	SigningStandardWebhooks SigningType = "StandardWebhooks"
)

// SigningSecretKey is the key, in the Secret that signing.secretRef names,
// under which the signing keys lie.
const SigningSecretKey = "secret"

// Signing is how receivers verify who sent.
//
// +kubebuilder:validation:XValidation:rule="self.type != 'StandardWebhooks' || has(self.secretRef)",message="spec.signing.secretRef must name the Secret with the signing key when spec.signing.type is StandardWebhooks: set it, and generate: true to have it created"
// +kubebuilder:validation:XValidation:rule="self.type != 'None' || (!has(self.secretRef) && !(has(self.generate) && self.generate))",message="spec.signing.secretRef and spec.signing.generate must be absent when spec.signing.type is None: remove them, or set spec.signing.type to StandardWebhooks"
type Signing struct {
	// type of the signature. StandardWebhooks: HMAC-SHA256 in the header
	// webhook-signature (standardwebhooks.com). None: receivers cannot tell who
	// sent.
	//
	// +required
	Type SigningType `json:"type,omitempty"`

	// secretRef names the Secret whose key "secret" holds the signing key:
	// "whsec_" followed by base64 of 24 to 64 bytes. During a rotation it may
	// hold up to 4, separated by white space, the newest first: every delivery
	// is then signed with each, and receivers move over in their own time.
	//
	// +optional
	SecretRef *LocalReference `json:"secretRef,omitempty"`

	// generate creates the Secret with a fresh key when it does not exist. The
	// Secret outlives the policy, because receivers rely on the key. Default
	// false.
	//
	// +optional
	Generate bool `json:"generate,omitempty"`
}

// Retry is when a failed delivery is attempted again, and when it is given up.
//
// +kubebuilder:validation:MinProperties=1
type Retry struct {
	// backoff are the pauses between attempts, each 100ms to 24h; after the
	// last one the delivery is given up. At most 20; an empty list means a
	// single attempt. Default 5s, 5m, 30m, 2h, 5h, 10h, 10h.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	// +kubebuilder:validation:items:Type=string
	// +kubebuilder:validation:items:MaxLength=20
	// +kubebuilder:validation:XValidation:rule="self.all(d, d.matches('^([0-9]{1,6}([.][0-9]{1,6})?(ms|s|m|h))+$') && duration(d) >= duration('100ms') && duration(d) <= duration('24h'))",message="spec.retry.backoff must hold durations from 100ms to 24h, such as [5s, 5m, 2h]"
	Backoff []metav1.Duration `json:"backoff,omitzero"`

	// jitterPercent is by how much each pause varies at random, either way, so
	// that receivers which failed together are not called together: 0 to 100.
	// Default 20.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	JitterPercent *int32 `json:"jitterPercent,omitempty"`

	// maxAge is how old an event may grow before its delivery is given up,
	// counted from when it was accepted: 1s to 168h. Default 72h.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}([.][0-9]{1,6})?(ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('168h')",message="spec.retry.maxAge must be a duration from 1s to 168h, such as 72h"
	MaxAge *metav1.Duration `json:"maxAge,omitempty"`
}

// RateLimit is so many attempts in so much time.
type RateLimit struct {
	// requests is how many attempts may begin: 1 to 10,000.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Requests int32 `json:"requests,omitempty"`

	// per is in how much time: 1s to 1h. Default 1s.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}([.][0-9]{1,6})?(ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('1h')",message="spec.rateLimit.per must be a duration from 1s to 1h, such as 1s"
	Per *metav1.Duration `json:"per,omitempty"`
}

// CircuitBreaker keeps attempts from a receiver that fails.
//
// +kubebuilder:validation:MinProperties=1
type CircuitBreaker struct {
	// failures is how many attempts in a row must fail to open the circuit
	// breaker: 1 to 1,000, or 0 for a circuit breaker that never opens. Default 10.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Failures *int32 `json:"failures,omitempty"`

	// openFor is how long nothing is attempted before one attempt probes
	// whether the receiver is back: 1s to 1h. It grows while probes fail.
	// Default 1m.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}([.][0-9]{1,6})?(ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('1h')",message="spec.circuitBreaker.openFor must be a duration from 1s to 1h, such as 1m"
	OpenFor *metav1.Duration `json:"openFor,omitempty"`
}

// AutoDisable is when Postrider disables a Webhook: when so many attempts in a
// row have failed, and the last of them ended so long after the first. A
// success between them, and an edit of the Webhook's spec, begin the row anew.
// A receiver that answers 410 Gone disables its Webhook at once, whatever is
// said here.
//
// +kubebuilder:validation:MinProperties=1
type AutoDisable struct {
	// consecutiveFailures is how many attempts in a row must have failed: 1 to
	// 10,000, or 0 to never disable because of failures. Default 20.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	ConsecutiveFailures *int32 `json:"consecutiveFailures,omitempty"`

	// over is how much time must lie between the first of them and the last: 1m
	// to 720h. Default 168h.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}([.][0-9]{1,6})?(ms|s|m|h))+$') && duration(self) >= duration('1m') && duration(self) <= duration('720h')",message="spec.autoDisable.over must be a duration from 1m to 720h, such as 168h"
	Over *metav1.Duration `json:"over,omitempty"`
}

// AttemptLog is what is remembered of attempts.
//
// +kubebuilder:validation:MinProperties=1
type AttemptLog struct {
	// responseBodies keeps the beginning of what the receiver answers, at most
	// 1 KiB of each answer. Everyone who may read the deliveries of a Webhook
	// can then read it, so leave it off where answers hold what they should not
	// see. Default false.
	//
	// +optional
	ResponseBodies *bool `json:"responseBodies,omitempty"`
}
