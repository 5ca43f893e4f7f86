package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Webhook sends the events of its namespace that it selects to one receiver.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=wh,categories=postrider
// +kubebuilder:metadata:annotations="kustomize.toolkit.fluxcd.io/substitute=disabled"
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Last Delivery",type=date,JSONPath=`.status.lastDelivery.time`
// +kubebuilder:printcolumn:name="Last Error",type=string,JSONPath=`.status.lastError`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="State Reason",type=string,priority=1,JSONPath=`.status.stateReason`
// +kubebuilder:printcolumn:name="URL",type=string,priority=1,JSONPath=`.spec.endpoint.url`
type Webhook struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what the author wants.
	//
	// +required
	Spec WebhookSpec `json:"spec,omitzero"`

	// status is what Postrider has found out.
	//
	// +optional
	// +kubebuilder:default={conditions: {{type: "Accepted", status: "Unknown", reason: "Pending", message: "Waiting for the controller", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: "ResolvedRefs", status: "Unknown", reason: "Pending", message: "Waiting for the controller", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: "Programmed", status: "Unknown", reason: "Pending", message: "Waiting for the controller", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: "Ready", status: "Unknown", reason: "Pending", message: "Waiting for the controller", lastTransitionTime: "1970-01-01T00:00:00Z"}}}
	Status WebhookStatus `json:"status,omitzero"`
}

// WebhookList is a list of Webhooks.
//
// +kubebuilder:object:root=true
type WebhookList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []Webhook `json:"items"`
}

// WebhookType names what a Webhook is for.
//
// +kubebuilder:validation:Enum=EventHandler;SubmitAction;ValidationAction
type WebhookType string

// What Webhooks are for.
const (
	// WebhookEventHandler is told about events after they happened.
	WebhookEventHandler WebhookType = "EventHandler"
	// WebhookSubmitAction is told about workflow commands that were carried out,
	// or about workflow states that were entered.
	WebhookSubmitAction WebhookType = "SubmitAction"
	// WebhookValidationAction is asked whether a workflow command may be carried out.
	WebhookValidationAction WebhookType = "ValidationAction"
)

// WebhookSpec describes a Webhook.
//
// +kubebuilder:validation:XValidation:rule="(self.type == 'EventHandler') != has(self.workflow)",message="spec.workflow must be set when spec.type is SubmitAction or ValidationAction, and only then: say there which commands or states the Webhook is for"
// +kubebuilder:validation:XValidation:rule="self.type == 'EventHandler' || !(has(self.events) || has(self.itemCondition))",message="spec.events and spec.itemCondition are for the type EventHandler: remove them, and select by spec.workflow and spec.condition"
// +kubebuilder:validation:XValidation:rule="self.type == 'ValidationAction' || !has(self.validation)",message="spec.validation is for the type ValidationAction: remove it"
// +kubebuilder:validation:XValidation:rule="self.type != 'ValidationAction' || !has(self.ordering)",message="spec.ordering is not for the type ValidationAction, which is asked at once: remove it"
// +kubebuilder:validation:XValidation:rule="self.type != 'ValidationAction' || !has(self.workflow) || !has(self.workflow.states)",message="spec.workflow.states is for the type SubmitAction: name with commands, fromStates and toStates which commands are to be validated"
// +kubebuilder:validation:XValidation:rule="!has(self.payload) || !has(self.payload.serialization) || self.payload.serialization == 'JSON' || (has(self.payload.format) ? self.payload.format == 'Sitecore' : self.type != 'EventHandler')",message="spec.payload.serialization XML is for the format Sitecore: use JSON, or set spec.payload.format to Sitecore"
// +kubebuilder:validation:XValidation:rule="!has(self.payload) || !has(self.payload.sitecore) || (has(self.payload.format) ? self.payload.format == 'Sitecore' : self.type != 'EventHandler')",message="spec.payload.sitecore is for the format Sitecore: remove it, or set spec.payload.format to Sitecore"
type WebhookSpec struct {
	// type is what the Webhook is for. EventHandler: it is told about events
	// after they happened. SubmitAction: it is told about workflow commands that
	// were carried out, or workflow states that were entered. ValidationAction:
	// it is asked whether a workflow command may be carried out, and without its
	// consent it is not. Immutable.
	//
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.type is immutable: delete the Webhook and create one of the other type"
	Type WebhookType `json:"type,omitempty"`

	// description is free text for people. At most 65,536 characters.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65536
	Description string `json:"description,omitempty"`

	// disabled stops the Webhook: no new event is selected, and what it is
	// already owed waits until it is enabled again or grows too old. It can be
	// tested meanwhile. Postrider never writes this field: when it disables a
	// Webhook itself, status.state says so. Default false.
	//
	// +optional
	Disabled bool `json:"disabled,omitempty"`

	// events selects event types, by exact name such as "item:added" or by glob
	// in which "*" stands for any run of characters, such as "item:*". Absent or
	// empty: the Webhook never sends. At most 64, each at most 255 bytes.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="self.all(e, e.matches('^[^\\\\s\\\\pC]+$'))",message="spec.events must hold event types or globs without white space, such as \"item:added\" or \"item:*\": remove the spaces"
	Events []string `json:"events,omitempty"`

	// condition is a CEL expression over the variable "event" that an event of a
	// selected type must fulfil, such as
	// event.data.Item.TemplateName == "Page". An event that lacks what the
	// expression looks at does not fulfil it. Absent: every event qualifies. At
	// most 4,096 bytes; the cost of one evaluation is bounded.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Condition string `json:"condition,omitempty"`

	// itemCondition is a CEL expression like condition, which only events that
	// carry an item have to fulfil: the rule of a Sitecore event handler. An event
	// carries an item when its data has an object named Item or, for item:copied,
	// Source. Absent: every event qualifies. At most 4,096 bytes.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	ItemCondition string `json:"itemCondition,omitempty"`

	// workflow says which workflow commands or states the Webhook is for. For
	// SubmitAction and ValidationAction only, which must have it.
	//
	// +optional
	Workflow *WorkflowSelector `json:"workflow,omitempty"`

	// validation says how the receiver of a ValidationAction is asked.
	//
	// +optional
	Validation *Validation `json:"validation,omitempty"`

	// ordering makes deliveries that belong together go one after the other.
	// Absent: deliveries go in no particular order.
	//
	// +optional
	Ordering *Ordering `json:"ordering,omitempty"`

	// endpoint is where the receiver listens.
	//
	// +required
	Endpoint Endpoint `json:"endpoint,omitzero"`

	// authorizationRef names the AuthorizationItem by which Postrider proves
	// itself to the receiver. Absent: it does not. When it cannot be resolved,
	// nothing is sent: a Webhook never delivers without its credentials.
	//
	// +optional
	AuthorizationRef *LocalReference `json:"authorizationRef,omitempty"`

	// policyRef names the WebhookPolicy with the terms of delivery. Absent: the
	// defaults of a WebhookPolicy, which do not sign.
	//
	// +optional
	PolicyRef *LocalReference `json:"policyRef,omitempty"`

	// payload is how the body is written.
	//
	// +optional
	Payload *Payload `json:"payload,omitempty"`
}

// Ordering makes deliveries that belong together go one after the other.
//
// An event is attempted for the first time only after all earlier events with
// its key are delivered or given up. One that fails keeps those with its key
// waiting until then, and no others: a policy with fewer and shorter pauses
// shortens that. Different keys go at once, up to the concurrency of the policy.
//
// Order is that in which events were accepted: of two that a producer posts one
// after the other, waiting for the answer, the first goes first. Dispatchers that
// share a NATS cluster have one of them deliver all events of the namespace, from
// when Programmed is True. After a crash a receiver may see some events of a key
// again, with the webhook-id that they had. What is sent again on demand (redelivery,
// replay, dead letters) goes in no order.
type Ordering struct {
	// key is a CEL expression over the variable "event" that says which events
	// belong together, such as event.data.item.id: those for which it yields the
	// same. It names what it looks at: members by name, elements of lists by number.
	// It yields a string, a number or a bool, which are compared as text:
	// 5 and "5" are one key; a text of the data has up to 4 KiB. Events for which it yields null, the empty string or
	// nothing, because they lack what it looks at, share one key, so that none
	// loses its order by a mistake; so do those for which it fails, and then
	// status.lastError says OrderingFailed and why. At most 1,024 bytes; the cost
	// of one evaluation is bounded, and matches() is not available.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Key string `json:"key,omitempty"`
}

// Endpoint is where a receiver listens.
type Endpoint struct {
	// url of the receiver: http or https, without user name and fragment, at
	// most 2,048 characters. Everyone who may read the Webhook can read it, so
	// it must not hold a credential. With http, everyone on the way can read
	// and change what is sent: use it only for receivers on a network that you
	// trust. Which addresses may be called at all is the platform's decision.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != ''",message="spec.endpoint.url must be an absolute address that begins with https:// or http://, such as https://receiver.example.com/hooks"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[^/?#]*//[^/?#]*:0*(0|6553[6-9]|655[4-9][0-9]|65[6-9][0-9]{2}|6[6-9][0-9]{3}|[7-9][0-9]{4}|[1-9][0-9]{5,})([/?#]|$)')",message="spec.endpoint.url must have a port from 1 to 65535, or none"
	// +kubebuilder:validation:XValidation:rule="!self.matches('[\\\\s]')",message="spec.endpoint.url must not hold white space: remove it, or write %20"
	// +kubebuilder:validation:XValidation:rule="!self.contains('#')",message="spec.endpoint.url must not have a fragment, which is never sent: remove what follows '#'"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[^/?#]*//[^/?#]*@')",message="spec.endpoint.url must not hold a user name or password: put them into an AuthorizationItem and name it in spec.authorizationRef"
	URL string `json:"url,omitempty"`

	// headers are sent with every attempt. At most 32.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, b.name.lowerAscii() == a.name.lowerAscii()))",message="spec.endpoint.headers must name each header once, upper and lower case being the same: remove one of them"
	Headers []Header `json:"headers,omitempty"`
}

// Header is one HTTP header of every attempt, with its value or the place where
// the value is found.
//
// +kubebuilder:validation:XValidation:rule="has(self.value) != has(self.valueFrom)",message="each of spec.endpoint.headers must have either value or valueFrom: set one of them"
type Header struct {
	// name of the header. Those that Postrider sets itself are refused.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-!#$%&*+.^_|~0-9A-Za-z]+$')",message="spec.endpoint.headers[].name must be an HTTP header name of letters, digits and '-', such as X-Team"
	// +kubebuilder:validation:XValidation:rule="!(self.lowerAscii() in ['authorization', 'proxy-authorization'])",message="spec.endpoint.headers[].name must not be an authorization header: use an AuthorizationItem and name it in spec.authorizationRef"
	// +kubebuilder:validation:XValidation:rule="!self.lowerAscii().startsWith('webhook-')",message="spec.endpoint.headers[].name must not begin with webhook-, which Postrider sets itself: use spec.policyRef for signing, or another name"
	// +kubebuilder:validation:XValidation:rule="!(self.lowerAscii() in ['content-type', 'content-length', 'content-encoding', 'host', 'user-agent', 'accept-encoding', 'connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'expect', 'date'])",message="spec.endpoint.headers[].name must not be one that Postrider sets itself (content-type, content-length, content-encoding, host, user-agent, accept-encoding, connection, keep-alive, proxy-connection, te, trailer, transfer-encoding, upgrade, expect, date): remove it"
	Name string `json:"name,omitempty"`

	// value is sent as it stands. Everyone who may read the Webhook can read
	// it: for a credential use valueFrom. At most 4,096 characters.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^\\\\x00-\\\\x08\\\\x0a-\\\\x1f\\\\x7f]*$')",message="spec.endpoint.headers[].value must be one line without control characters: remove line breaks"
	Value string `json:"value,omitempty"`

	// valueFrom says where the value is found.
	//
	// +optional
	ValueFrom *HeaderValueSource `json:"valueFrom,omitempty"`
}

// HeaderValueSource is where the value of a header is found.
type HeaderValueSource struct {
	// secretKeyRef names the Secret that holds the value. An absent key means "value".
	//
	// +required
	SecretKeyRef SecretKeyReference `json:"secretKeyRef,omitzero"`
}

// WorkflowSelector says which workflow commands or states a Webhook is for. Each
// list holds names, upper and lower case being the same, or ids, with or without
// braces; "*" is all of them. A command is selected when each list that is there
// has what it is about.
//
// +kubebuilder:validation:XValidation:rule="has(self.states) != (has(self.commands) || has(self.fromStates) || has(self.toStates))",message="spec.workflow must have either states (to be told when an item enters one), or commands, fromStates or toStates (to be told or asked about commands): commands: [\"*\"] is every command"
type WorkflowSelector struct {
	// workflows by name or id. Absent: every workflow.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=255
	Workflows []string `json:"workflows,omitempty"`

	// commands by name or id. Absent: every command between the states.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=255
	Commands []string `json:"commands,omitempty"`

	// fromStates are the states, by name or id, that a command leads out of.
	// Absent: out of any.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=255
	FromStates []string `json:"fromStates,omitempty"`

	// toStates are the states, by name or id, that a command leads into.
	// Absent: into any.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=255
	ToStates []string `json:"toStates,omitempty"`

	// states are those, by name or id, that an item enters: a SubmitAction of a state, whose
	// payload has no next state. For SubmitAction only.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=255
	States []string `json:"states,omitempty"`
}

// FailurePolicy names what follows when a receiver gives no verdict.
//
// +kubebuilder:validation:Enum=Fail;Ignore
type FailurePolicy string

// What follows when a receiver gives no verdict.
const (
	// FailurePolicyFail takes it for a refusal.
	FailurePolicyFail FailurePolicy = "Fail"
	// FailurePolicyIgnore takes it for consent.
	FailurePolicyIgnore FailurePolicy = "Ignore"
)

// Validation says how the receiver of a ValidationAction is asked.
//
// +kubebuilder:validation:MinProperties=1
type Validation struct {
	// timeout of the call, the answer included: 100ms to 10s. All calls about one
	// command share 10 s besides. Default 3s; the timeout of the policy does not
	// count here.
	//
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s))+$') && duration(self) >= duration('100ms') && duration(self) <= duration('10s')",message="spec.validation.timeout must be from 100ms to 10s, such as 3s"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// failurePolicy is what follows when the receiver cannot be reached, answers
	// late, or answers something else than a verdict. Fail: the command is
	// refused. Ignore: the receiver counts as if it had consented. Default Fail.
	//
	// +optional
	FailurePolicy FailurePolicy `json:"failurePolicy,omitempty"`
}

// PayloadFormat names how an event is laid out.
//
// +kubebuilder:validation:Enum=Standard;CloudEvents;Sitecore
type PayloadFormat string

// The payload formats.
const (
	// PayloadStandard is {"type", "timestamp", "data"}, as Standard Webhooks recommends.
	PayloadStandard PayloadFormat = "Standard"
	// PayloadCloudEvents is CloudEvents 1.0 in structured mode.
	PayloadCloudEvents PayloadFormat = "CloudEvents"
	// PayloadSitecore is what the webhooks of Sitecore XM and XM Cloud send.
	PayloadSitecore PayloadFormat = "Sitecore"
)

// PayloadSerialization names how a payload becomes bytes.
//
// +kubebuilder:validation:Enum=JSON;XML
type PayloadSerialization string

// The serializations.
const (
	// SerializationJSON writes JSON (RFC 8259).
	SerializationJSON PayloadSerialization = "JSON"
	// SerializationXML writes XML 1.0.
	SerializationXML PayloadSerialization = "XML"
)

// Payload is how the body is written.
//
// +kubebuilder:validation:MinProperties=1
type Payload struct {
	// format is how the event is laid out. Standard: {"type", "timestamp",
	// "data"}. CloudEvents: CloudEvents 1.0, structured mode. Sitecore: as the
	// webhooks of Sitecore XM and XM Cloud have it. Default Standard for the type
	// EventHandler, and Sitecore for the others.
	//
	// +optional
	Format PayloadFormat `json:"format,omitempty"`

	// serialization is how that becomes bytes. XML is for the format Sitecore.
	// Default JSON.
	//
	// +optional
	Serialization PayloadSerialization `json:"serialization,omitempty"`

	// sitecore is for the format Sitecore.
	//
	// +optional
	Sitecore *SitecorePayload `json:"sitecore,omitempty"`
}

// SitecorePayload is by what a Webhook is known to receivers that were made for Sitecore.
//
// +kubebuilder:validation:MinProperties=1
type SitecorePayload struct {
	// itemID is sent as WebhookItemId, and as ActionID: a GUID, with or without
	// braces, sent in lower case without. Default: a GUID made of the namespace
	// and name of the Webhook (RFC 9562, version 5), which is the same wherever and
	// whenever a Webhook of this name exists.
	//
	// +optional
	// +kubebuilder:validation:MinLength=36
	// +kubebuilder:validation:MaxLength=38
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[{][0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}[}])$')",message="spec.payload.sitecore.itemID must be a GUID, such as 95398c44-f232-41a8-b947-8aefec4ce6eb"
	ItemID string `json:"itemID,omitempty"`

	// itemName is sent as WebhookItemName, and as ActionName. Default: the name of
	// the Webhook.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	ItemName string `json:"itemName,omitempty"`
}
