package route

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Authorization is how Postrider proves itself to a receiver: exactly one
// member is set.
type Authorization struct {
	Basic  *Basic  `json:"basic,omitempty"`
	Bearer *Bearer `json:"bearer,omitempty"`
	APIKey *APIKey `json:"apiKey,omitempty"`
	Digest *Basic  `json:"digest,omitempty"` // RFC 7616

	OAuth2              *OAuth2              `json:"oauth2,omitempty"`
	ClientCertificate   *ClientCertificate   `json:"clientCertificate,omitempty"`
	ServiceAccountToken *ServiceAccountToken `json:"serviceAccountToken,omitempty"`
}

// OAuth2 is a token of the client credentials grant (RFC 6749, section 4.4), or,
// with a Username, of the password grant (section 4.3).
type OAuth2 struct {
	Authority     string      `json:"authority,omitempty"`     // whose token endpoint is discovered
	BaseAddresses []string    `json:"baseAddresses,omitempty"` // below which, or below Authority, that has to be
	TokenURL      string      `json:"tokenURL,omitempty"`      // instead of Authority
	ClientID      string      `json:"clientID"`
	ClientSecret  Secret      `json:"clientSecret"`
	Username      string      `json:"username,omitempty"`
	Password      Secret      `json:"password,omitempty"`
	Scopes        []string    `json:"scopes,omitempty"`
	Prefix        string      `json:"prefix,omitempty"` // in the header; empty = Bearer
	Parameters    []Parameter `json:"parameters,omitempty"`
}

// A Parameter is sent to a token endpoint besides.
type Parameter struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// ClientCertificate is what TLS proves the client with.
type ClientCertificate struct {
	Chain string `json:"chain"` // PEM
	Key   Secret `json:"key"`   // PEM
}

// ServiceAccountToken is a token that the API server makes of a ServiceAccount in
// the namespace of the route.
type ServiceAccountToken struct {
	Name     string `json:"name"`
	Audience string `json:"audience"`
}

// Basic is HTTP Basic authentication (RFC 7617).
type Basic struct {
	Username string `json:"username"`
	Password Secret `json:"password"`
}

// Bearer is a static bearer token (RFC 6750).
type Bearer struct {
	Token Secret `json:"token"`
}

// APIKey is a key sent in a header or in the query.
type APIKey struct {
	Name  string `json:"name"`
	Query bool   `json:"query,omitempty"` // in the query instead of a header
	Value Secret `json:"value"`
}

// Check reports why the credentials cannot be sent. Its errors never quote one.
// It does not look at the clock: a certificate may have expired.
func (a *Authorization) Check() error {
	checks := make([]func() error, 0, 1)
	if a.Basic != nil {
		checks = append(checks, a.Basic.check)
	}
	if a.Bearer != nil {
		checks = append(checks, a.Bearer.check)
	}
	if a.APIKey != nil {
		checks = append(checks, a.APIKey.check)
	}
	if a.Digest != nil {
		checks = append(checks, a.Digest.check)
	}
	if a.OAuth2 != nil {
		checks = append(checks, a.OAuth2.check)
	}
	if a.ClientCertificate != nil {
		checks = append(checks, a.ClientCertificate.check)
	}
	if a.ServiceAccountToken != nil {
		checks = append(checks, a.ServiceAccountToken.check)
	}
	if len(checks) != 1 {
		return errors.New("the authorization must have exactly one member")
	}
	return checks[0]()
}

// Fits reports why the credentials cannot go to a receiver at u.
func (a *Authorization) Fits(u string) error {
	if a.ClientCertificate != nil && !strings.HasPrefix(strings.ToLower(u), "https://") {
		return errors.New("a client certificate can be shown only over TLS; use an https:// URL, or another authorization")
	}
	return nil
}

// Size is how much text there is in the credentials and what belongs to them, in bytes.
func (a *Authorization) Size() int {
	size := 0
	if a.Basic != nil {
		size += a.Basic.size()
	}
	if a.Bearer != nil {
		size += len(a.Bearer.Token.Reveal())
	}
	if a.APIKey != nil {
		size += len(a.APIKey.Value.Reveal())
	}
	if a.Digest != nil {
		size += a.Digest.size()
	}
	if a.OAuth2 != nil {
		size += len(a.OAuth2.ClientID) + len(a.OAuth2.ClientSecret.Reveal()) + len(a.OAuth2.Username) + len(a.OAuth2.Password.Reveal())
	}
	if a.ClientCertificate != nil {
		size += len(a.ClientCertificate.Chain) + len(a.ClientCertificate.Key.Reveal())
	}
	return size
}

func (b *Basic) size() int { return len(b.Username) + len(b.Password.Reveal()) }

func (b *Basic) check() error {
	password := b.Password.Reveal()
	switch {
	case b.Username == "" && password == "":
		return errors.New("user name and password are both empty")
	case strings.Contains(b.Username, ":"):
		return errors.New("the user name has a colon, which HTTP authentication cannot carry; remove it")
	case !httpguts.ValidHeaderFieldValue(b.Username):
		return errors.New("the user name has a line break or control character; remove it")
	case !httpguts.ValidHeaderFieldValue(password):
		return errors.New("the password has a line break or control character; remove it")
	}
	return nil
}

func (b *Bearer) check() error {
	token := b.Token.Reveal()
	switch {
	case token == "":
		return errors.New("the token is empty")
	case strings.ContainsAny(token, " \t"):
		return errors.New(`the token has a blank; store it alone, without "Bearer"`)
	case !httpguts.ValidHeaderFieldValue(token):
		return errors.New("the token has a line break or control character; remove it")
	}
	return nil
}

func (k *APIKey) check() error {
	value := k.Value.Reveal()
	switch {
	case k.Name == "":
		return errors.New("the name is empty")
	case value == "":
		return errors.New("the key is empty")
	case k.Query:
		return nil // any text can be escaped
	case !httpguts.ValidHeaderFieldName(k.Name):
		return fmt.Errorf("%q is not the name of a header; use one such as X-API-Key", k.Name)
	case taken[http.CanonicalHeaderKey(k.Name)]:
		return fmt.Errorf("the header %s is set by Postrider itself; use another", k.Name)
	case !httpguts.ValidHeaderFieldValue(value):
		return errors.New("the key has a line break or control character, which no header can carry; remove it")
	}
	return nil
}

// taken are the headers that frame the request or that are set after the
// credentials: a key in one of them would not arrive.
var taken = map[string]bool{
	"Connection":        true,
	"Content-Length":    true,
	"Content-Type":      true,
	"Host":              true,
	"Te":                true,
	"Trailer":           true,
	"Transfer-Encoding": true,
	"Upgrade":           true,
	"Webhook-Id":        true,
	"Webhook-Signature": true,
	"Webhook-Timestamp": true,
}
