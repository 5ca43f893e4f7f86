package v1alpha1

// The condition types. Accepted, ResolvedRefs and Ready are set on every kind, and
// so is Stalled; the others are set on Webhooks.
const (
	// ConditionAccepted says whether the spec makes sense by itself.
	ConditionAccepted = "Accepted"
	// ConditionResolvedRefs says whether everything that the spec refers to
	// exists and is usable. Without it a Webhook delivers nothing; the events
	// that it is owed wait.
	ConditionResolvedRefs = "ResolvedRefs"
	// ConditionProgrammed says whether every dispatcher has confirmed a table
	// that holds this generation, and keeps the order that it asks for. Silence
	// is Unknown.
	ConditionProgrammed = "Programmed"
	// ConditionReady sums up the conditions above: True when all are, False
	// when one is, Unknown otherwise. A Webhook that is disabled can be
	// Ready: whether it sends is told by status.state.
	ConditionReady = "Ready"
	// ConditionDelivering is about the receiver: whether the newest attempt
	// was taken, or why none is made. It stays out of Ready, for a receiver that
	// fails is not a Webhook that is wrong.
	ConditionDelivering = "Delivering"
	// ConditionEventsKnown is there while events holds a name that is probably
	// misspelt: it is False then. Otherwise it is absent, for nobody but their
	// producers knows all events. It stays out of Ready.
	ConditionEventsKnown = "EventsKnown"
	// ConditionStalled is there, and True, while Accepted is False: nothing but an
	// edit of the object helps. Tools that wait for a deployment read it as failed,
	// and an object that is not Ready and not Stalled as still in progress
	// (kstatus of sigs.k8s.io/cli-utils).
	ConditionStalled = "Stalled"
)

// Reasons are API: they are never renamed silently. These are given by the
// compiler, to Accepted and ResolvedRefs.
const (
	// ReasonAccepted is why Accepted is True.
	ReasonAccepted = "Accepted"
	// ReasonInvalidType says that the type is unknown to this version, or that
	// the member which belongs to it is missing.
	ReasonInvalidType = "InvalidType"
	// ReasonInvalidURL says that endpoint.url is not an address that can be called.
	ReasonInvalidURL = "InvalidURL"
	// ReasonInvalidEvents says that events holds a malformed pattern.
	ReasonInvalidEvents = "InvalidEvents"
	// ReasonInvalidCondition says that condition is not a CEL expression that
	// yields a bool.
	ReasonInvalidCondition = "InvalidCondition"
	// ReasonInvalidWorkflow says that workflow selects nothing, or names more than
	// one Webhook can.
	ReasonInvalidWorkflow = "InvalidWorkflow"
	// ReasonInvalidOrdering says that ordering.key is not a CEL expression that
	// yields a string, a number or a bool.
	ReasonInvalidOrdering = "InvalidOrdering"
	// ReasonUnknownEvent is why EventsKnown is False: a name in events is no event
	// of Sitecore, but nearly one.
	ReasonUnknownEvent = "UnknownEvent"
	// ReasonInvalidHeader says that a header cannot be sent.
	ReasonInvalidHeader = "InvalidHeader"
	// ReasonInvalidPayload says that the payload format is unknown to this version,
	// or lacks what it needs, or has what another one has.
	ReasonInvalidPayload = "InvalidPayload"
	// ReasonInvalidTerms says that a term of delivery is out of its bounds.
	ReasonInvalidTerms = "InvalidTerms"
	// ReasonInvalidAuthorization says that an address, a parameter or an audience of
	// an AuthorizationItem cannot be used.
	ReasonInvalidAuthorization = "InvalidAuthorization"

	// ReasonResolvedRefs is why ResolvedRefs is True.
	ReasonResolvedRefs = "ResolvedRefs"
	// ReasonRefNotFound says that a referenced object does not exist.
	ReasonRefNotFound = "RefNotFound"
	// ReasonRefInvalid says that a referenced object is not accepted itself.
	ReasonRefInvalid = "RefInvalid"
	// ReasonSecretNotFound says that a referenced Secret does not exist.
	ReasonSecretNotFound = "SecretNotFound"
	// ReasonSecretKeyMissing says that a Secret lacks the key that is asked for.
	ReasonSecretKeyMissing = "SecretKeyMissing"
	// ReasonSecretInvalid says that a value in a Secret is unusable, such as a
	// malformed signing key or a header value with a line break.
	ReasonSecretInvalid = "SecretInvalid"
)

// These reasons come from the rollout and from deliveries.
const (
	// ReasonPending says that the controller, or a dispatcher, has yet to answer.
	ReasonPending = "Pending"
	// ReasonProgrammed is why Programmed is True.
	ReasonProgrammed = "Programmed"
	// ReasonPublishFailed says that the manager could not publish the table, so
	// that no dispatcher has this generation. The message says why.
	ReasonPublishFailed = "PublishFailed"
	// ReasonTableRejected says that a dispatcher refused the newest table.
	ReasonTableRejected = "TableRejected"
	// ReasonDispatcherUnreachable says that a dispatcher has been silent, or
	// that none is known.
	ReasonDispatcherUnreachable = "DispatcherUnreachable"

	// ReasonReady is why Ready is True. Otherwise Ready has the reason of the
	// condition that keeps it from being so.
	ReasonReady = "Ready"

	// ReasonDelivered is why Delivering is True.
	ReasonDelivered = "Delivered"
	// ReasonReceiverFailing says that the newest attempt failed.
	ReasonReceiverFailing = "ReceiverFailing"
	// ReasonNothingSent says that there has been no attempt yet.
	ReasonNothingSent = "NothingSent"
	// ReasonCircuitBreakerOpen says that so many attempts in a row failed that
	// there is none for a while.
	ReasonCircuitBreakerOpen = "CircuitBreakerOpen"

	// ReasonSpecDisabled is the stateReason of a Webhook whose spec disables it.
	ReasonSpecDisabled = "SpecDisabled"
	// ReasonConsecutiveFailures is the stateReason, and the reason of
	// Delivering, of a Webhook that Postrider disabled because its receiver
	// failed for long.
	ReasonConsecutiveFailures = "ConsecutiveFailures"
	// ReasonReceiverGone is the same when the receiver answered 410 Gone.
	ReasonReceiverGone = "ReceiverGone"
)

// Events of Kubernetes about a Webhook have these reasons.
const (
	// EventDisabled says that Postrider disabled the Webhook.
	EventDisabled = "Disabled"
	// EventEnabled says that a Webhook which Postrider had disabled is enabled anew.
	EventEnabled = "Enabled"
)
