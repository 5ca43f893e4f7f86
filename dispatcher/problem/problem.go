// Package problem writes the errors of the HTTP face: RFC 9457 problem
// documents that say what to do next.
package problem

import (
	"encoding/json"
	"net/http"
)

// Name is the stable name of a kind of problem. Producers may act on it, so it
// is never renamed; the closed list is in this package.
type Name string

// The problems.
const (
	// Of a request that carries events.
	InvalidNamespace       Name = "invalid-namespace"
	UnsupportedContentType Name = "unsupported-content-type"
	UnreadableBody         Name = "unreadable-body"
	BodyTooLarge           Name = "body-too-large"
	InvalidJSON            Name = "invalid-json"
	InvalidEvent           Name = "invalid-event"
	AttributeTooLong       Name = "attribute-too-long"
	EmptyBatch             Name = "empty-batch"
	BatchTooLarge          Name = "batch-too-large"
	InvalidSitecoreEvent   Name = "invalid-sitecore-event"
	ReservedType           Name = "reserved-type"

	// Of the store.
	StoreFull        Name = "store-full"
	StoreUnavailable Name = "store-unavailable"

	// Of the caller's rights.
	Unauthenticated          Name = "unauthenticated"
	Forbidden                Name = "forbidden"
	AuthorizationUnavailable Name = "authorization-unavailable"

	// Of a call that asks or orders something about webhooks.
	InvalidName        Name = "invalid-name"
	InvalidRequest     Name = "invalid-request"
	WebhookNotFound    Name = "webhook-not-found"
	WebhookIncomplete  Name = "webhook-incomplete"
	WebhookDisabled    Name = "webhook-disabled"
	DeliveryNotFound   Name = "delivery-not-found"
	DeadLetterNotFound Name = "dead-letter-not-found"
	TooManyCalls       Name = "too-many-calls"
	TableUnavailable   Name = "table-unavailable"
	Unavailable        Name = "unavailable"

	// Of any request.
	InvalidQuery     Name = "invalid-query"
	NotFound         Name = "not-found"
	MethodNotAllowed Name = "method-not-allowed"
)

// kinds holds what never differs between two problems of one name.
var kinds = map[Name]struct {
	status int
	title  string
}{
	InvalidNamespace:       {http.StatusBadRequest, "The namespace is not a namespace name"},
	UnsupportedContentType: {http.StatusUnsupportedMediaType, "The content type is not supported"},
	UnreadableBody:         {http.StatusBadRequest, "The body could not be read"},
	BodyTooLarge:           {http.StatusRequestEntityTooLarge, "The body is too large"},
	InvalidJSON:            {http.StatusBadRequest, "The JSON is not valid"},
	InvalidEvent:           {http.StatusBadRequest, "The event is not valid"},
	AttributeTooLong:       {http.StatusBadRequest, "An attribute is too long"},
	EmptyBatch:             {http.StatusBadRequest, "The batch is empty"},
	BatchTooLarge:          {http.StatusRequestEntityTooLarge, "The batch has too many events"},
	InvalidSitecoreEvent:   {http.StatusBadRequest, "The data is not what Sitecore sends with such an event"},
	ReservedType:           {http.StatusBadRequest, "The type is not for producers"},

	StoreFull:        {http.StatusTooManyRequests, "The store is full"},
	StoreUnavailable: {http.StatusServiceUnavailable, "The store is unavailable"},

	Unauthenticated:          {http.StatusUnauthorized, "The caller is not known"},
	Forbidden:                {http.StatusForbidden, "The caller lacks the right"},
	AuthorizationUnavailable: {http.StatusServiceUnavailable, "The caller's rights cannot be checked"},

	InvalidName:        {http.StatusBadRequest, "The name is not the name of an object"},
	InvalidRequest:     {http.StatusBadRequest, "The request is not valid"},
	WebhookNotFound:    {http.StatusNotFound, "There is no such webhook"},
	WebhookIncomplete:  {http.StatusConflict, "The webhook is incomplete"},
	WebhookDisabled:    {http.StatusConflict, "The webhook is disabled"},
	DeliveryNotFound:   {http.StatusNotFound, "The delivery is not kept"},
	DeadLetterNotFound: {http.StatusNotFound, "There is no such dead letter"},
	TooManyCalls:       {http.StatusTooManyRequests, "There are too many such calls at once"},
	TableUnavailable:   {http.StatusServiceUnavailable, "The webhooks are not known yet"},
	Unavailable:        {http.StatusServiceUnavailable, "The dispatcher cannot do it now"},

	InvalidQuery:     {http.StatusBadRequest, "The query is not valid"},
	NotFound:         {http.StatusNotFound, "There is nothing at this path"},
	MethodNotAllowed: {http.StatusMethodNotAllowed, "The method is not allowed"},
}

// Status is the HTTP status of every problem of this name.
func (n Name) Status() int { return kinds[n].status }

// URI is the "type" of a problem document: stable, and where it is explained.
func (n Name) URI() string { return "https://postrider.dev/problems/" + string(n) }

// A Problem is one refusal. It is shown to the caller: no secret, no internals.
type Problem struct {
	Name   Name
	Detail string // what is wrong with this request and what to do next
	Limit  int    // the limit that was passed, in its own unit; 0 when none was
	Index  *int   // of the refused event in its batch, from 0; nil outside a batch
}

// Write answers with p, which makes the answer final: headers such as
// Retry-After are set before.
func Write(w http.ResponseWriter, p Problem) {
	kind := kinds[p.Name]
	document, err := json.Marshal(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
		Limit  int    `json:"limit,omitzero"`
		Index  *int   `json:"index,omitempty"`
	}{p.Name.URI(), kind.title, kind.status, p.Detail, p.Limit, p.Index})
	if err != nil {
		panic("problem: strings and numbers always marshal: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(kind.status)
	_, _ = w.Write(document) // a caller that has gone misses its problem, nothing else
}
