package authorize

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/postrider/postrider/dispatcher/route"
)

// refusals are the codes with which a token endpoint may refuse (RFC 6749,
// section 5.2): no other text of its answer is shown.
var refusals = []string{"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope"}

// endpointTime is how long a discovered endpoint is used before it is looked up
// again.
const endpointTime = time.Hour

// A grant gets tokens of a token endpoint. One fetch at a time uses it. It keeps
// the credentials in the variables of functions.
type grant struct {
	client   *http.Client
	discover func(context.Context) (endpoint, error)  // nil = the endpoint is given
	request  func(endpoint) *clientcredentials.Config // with the credentials

	config *clientcredentials.Config // nil before the first, and after a failure; knows how the endpoint wants the secret
	until  time.Time                 // then it is to be made anew
}

// An endpoint is where tokens are had, and how it wants to be shown the secret.
type endpoint struct {
	url   string
	style oauth2.AuthStyle
}

func newGrant(o *route.OAuth2, client *http.Client) *grant {
	g := &grant{client: client}
	if o.TokenURL == "" {
		authority, bases := o.Authority, slices.Clone(o.BaseAddresses)
		g.discover = func(ctx context.Context) (endpoint, error) { return discover(ctx, client, authority, bases) }
	}
	parameters := url.Values{}
	for _, p := range o.Parameters {
		parameters.Set(p.Name, p.Value)
	}
	if o.Username != "" {
		// The one kind of request that the library lets have parameters of its own.
		parameters.Set("grant_type", "password")
		parameters.Set("username", o.Username)
		parameters.Set("password", o.Password.Reveal())
	}
	id, secret, scopes, tokenURL := o.ClientID, o.ClientSecret.Reveal(), slices.Clone(o.Scopes), o.TokenURL
	g.request = func(at endpoint) *clientcredentials.Config {
		if tokenURL != "" {
			at.url = tokenURL
		}
		return &clientcredentials.Config{
			ClientID: id, ClientSecret: secret, TokenURL: at.url, Scopes: scopes, EndpointParams: parameters, AuthStyle: at.style,
		}
	}
	return g
}

// fetch gets a token.
func (g *grant) fetch(ctx context.Context) (string, time.Duration, error) {
	if err := g.prepare(ctx); err != nil {
		return "", 0, err
	}
	t, err := g.config.Token(context.WithValue(ctx, oauth2.HTTPClient, g.client))
	if err != nil {
		if g.discover != nil {
			g.config = nil // it may be elsewhere by now
		}
		return "", 0, refusal(err)
	}
	if t.Expiry.IsZero() {
		return t.AccessToken, 0, nil
	}
	return t.AccessToken, max(time.Until(t.Expiry), 1), nil
}

// prepare sees to where tokens are had.
func (g *grant) prepare(ctx context.Context) error {
	if g.config != nil && (g.discover == nil || time.Now().Before(g.until)) {
		return nil
	}
	var at endpoint
	if g.discover != nil {
		var err error
		if at, err = g.discover(ctx); err != nil {
			return err
		}
		g.until = time.Now().Add(endpointTime)
	}
	g.config = g.request(at)
	return nil
}

// refusal says why there is no token. The library's error may hold all of an
// answer.
func refusal(err error) error {
	if r, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		if slices.Contains(refusals, r.ErrorCode) {
			return &Unavailable{Detail: "the token endpoint refused with " + r.ErrorCode}
		}
		return &Unavailable{Detail: "the token endpoint answered with status " + strconv.Itoa(r.Response.StatusCode)}
	}
	return astray("the token endpoint", err)
}

// astray says that no usable answer came from what, and why if the client knows.
func astray(what string, err error) error {
	if way, ok := errors.AsType[*url.Error](err); ok {
		return &Unavailable{Detail: what, Cause: way.Err}
	}
	return &Unavailable{Detail: what + " did not answer with a token"}
}
