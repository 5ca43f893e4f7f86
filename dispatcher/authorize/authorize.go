// Package authorize proves Postrider to receivers: it puts the credentials of a
// route onto its requests. Those that never change are an [Authorizer], made
// once per route; those that do, such as tokens that expire, are [Live] and
// come from a [Keeper], which all routes share. A client certificate is neither:
// it belongs to the connection.
package authorize

import (
	"errors"
	"net/http"

	"github.com/postrider/postrider/dispatcher/route"
)

// An Authorizer puts credentials onto requests. The zero Authorizer puts none.
// It is made once per route and safe for concurrent use.
//
// It keeps the credentials in the variables of a function: that is the one
// place from which neither fmt nor slog nor JSON can take them.
type Authorizer struct {
	apply func(*http.Request) error // nil = nothing to do
}

// Apply puts the credentials onto req before its first use. It writes to the
// Header of req and may replace, but never modifies, its URL, so that requests
// may share one. The context of req bounds what it takes to get credentials.
// After an error req must not be sent.
func (a Authorizer) Apply(req *http.Request) error {
	if a.apply == nil {
		return nil
	}
	return a.apply(req)
}

// New makes the Authorizer of a route; nil asks for no credentials. It fails
// when the credentials cannot be sent, and when they are of a kind that changes
// or belongs to the connection, so that no delivery goes without them. Its
// errors never quote a credential.
func New(a *route.Authorization) (Authorizer, error) {
	if a == nil {
		return Authorizer{}, nil
	}
	if err := a.Check(); err != nil {
		return Authorizer{}, err
	}
	switch {
	case a.Basic != nil:
		return Authorizer{basic(a.Basic)}, nil
	case a.Bearer != nil:
		return Authorizer{bearer(a.Bearer)}, nil
	case a.APIKey != nil:
		return Authorizer{apiKey(a.APIKey)}, nil
	default:
		return Authorizer{}, errors.New("the authorization is of a kind that does not stay the same from request to request")
	}
}
