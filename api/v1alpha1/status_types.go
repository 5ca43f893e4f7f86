package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// EnableAnnotation enables a Webhook that Postrider has disabled: any value that
// it did not have when that happened does (the first 256 bytes count), such as
// the time:
//
//	kubectl annotate webhook NAME postrider.dev/enable="$(date +%s)" --overwrite
const EnableAnnotation = "postrider.dev/enable"

// WebhookState says whether a Webhook sends.
//
// +kubebuilder:validation:Enum=Enabled;Disabled
type WebhookState string

// The states.
const (
	StateEnabled  WebhookState = "Enabled"
	StateDisabled WebhookState = "Disabled"
)

// WebhookStatus is what Postrider has found out about a Webhook. Times and
// counters of deliveries are written at intervals; a change of what they mean
// is written at once.
type WebhookStatus struct {
	// conditions are Accepted, ResolvedRefs, Programmed, Ready and Delivering, and
	// Stalled while Accepted is False, and EventsKnown while it is False.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation that this status is about.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// state says whether the Webhook sends. Disabled has one meaning, whoever
	// disabled it: no new event is selected, and what is already owed waits
	// until the Webhook is enabled again or grows too old. It can be tested.
	//
	// +optional
	State WebhookState `json:"state,omitempty"`

	// stateReason is why it does not: SpecDisabled, ConsecutiveFailures or
	// ReceiverGone.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=128
	StateReason string `json:"stateReason,omitempty"`

	// lastDelivery is the newest attempt.
	//
	// +optional
	LastDelivery *Delivery `json:"lastDelivery,omitempty"`

	// lastSuccessTime is when the receiver last took a delivery.
	//
	// +optional
	LastSuccessTime *metav1.Time `json:"lastSuccessTime,omitempty"`

	// lastError is how the last failed attempt ended, such as "404 Not Found".
	// It stays after a success, for lastErrorTime says how old it is.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	LastError string `json:"lastError,omitempty"`

	// lastErrorTime is when that was.
	//
	// +optional
	LastErrorTime *metav1.Time `json:"lastErrorTime,omitempty"`

	// consecutiveFailures counts the attempts that failed since the last
	// success, the last edit of the spec, or since the Webhook was enabled anew.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	ConsecutiveFailures int32 `json:"consecutiveFailures,omitempty"`

	// failingSince is when the first of them ended.
	//
	// +optional
	FailingSince *metav1.Time `json:"failingSince,omitempty"`

	// automaticDisabling is the last time that Postrider itself disabled the
	// Webhook. Absent: it never has.
	//
	// +optional
	AutomaticDisabling *AutomaticDisabling `json:"automaticDisabling,omitempty"`

	// pending counts the deliveries that are owed and not settled: in the
	// memory of dispatchers, and in their store.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Pending int32 `json:"pending,omitempty"`

	// deadLetters counts the deliveries that were given up and are kept.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	DeadLetters int32 `json:"deadLetters,omitempty"`
}

// AutomaticDisabling tells that Postrider disabled a Webhook, why, and what it
// looked like then: what is different later enables it anew.
type AutomaticDisabling struct {
	// number counts the automatic disablings of this Webhook, from 1.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	Number int64 `json:"number,omitempty"`

	// reason is why: ConsecutiveFailures, as the policy's autoDisable has it, or
	// ReceiverGone, when the receiver answered 410.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`

	// time is when the attempt ended that led to it. A test delivery that
	// succeeds later enables the Webhook.
	//
	// +required
	Time metav1.Time `json:"time,omitzero"`

	// generation is that of the Webhook then. An edit of the spec enables it.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	Generation int64 `json:"generation,omitempty"`

	// enableAnnotation is what the annotation postrider.dev/enable held then, up
	// to 256 bytes of it. Another value enables the Webhook; to remove it does not.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	EnableAnnotation string `json:"enableAnnotation,omitempty"`

	// enabledTime is when the Webhook was enabled anew. Absent: it is still
	// disabled.
	//
	// +optional
	EnabledTime *metav1.Time `json:"enabledTime,omitempty"`
}

// Delivery is one attempt to deliver one event.
type Delivery struct {
	// time is when the attempt ended.
	//
	// +required
	Time metav1.Time `json:"time,omitzero"`

	// eventID is the id of the event.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	EventID string `json:"eventID,omitempty"`

	// eventType is the type of the event.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=255
	EventType string `json:"eventType,omitempty"`

	// outcome is how the attempt ended, such as Delivered or Rejected.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Outcome string `json:"outcome,omitempty"`

	// statusCode is the HTTP status, absent when there was no answer.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=999
	StatusCode int32 `json:"statusCode,omitempty"`

	// attempt is 1 for the first try.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Attempt int32 `json:"attempt,omitempty"`

	// duration of the attempt.
	//
	// +optional
	Duration *metav1.Duration `json:"duration,omitempty"`
}

// JudgedStatus is the status of the kinds that Webhooks refer to.
type JudgedStatus struct {
	// conditions are Accepted, ResolvedRefs and Ready, and Stalled while Accepted is
	// False.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation that this status is about.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
}
