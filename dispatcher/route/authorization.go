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
func (a *Authorization) Check() error {
	kinds := 0
	var err error
	if a.Basic != nil {
		kinds++
		err = errors.Join(err, a.Basic.check())
	}
	if a.Bearer != nil {
		kinds++
		err = errors.Join(err, a.Bearer.check())
	}
	if a.APIKey != nil {
		kinds++
		err = errors.Join(err, a.APIKey.check())
	}
	if kinds != 1 {
		return errors.New("the authorization must have exactly one of basic, bearer and apiKey")
	}
	return err
}

func (b *Basic) check() error {
	password := b.Password.Reveal()
	switch {
	case b.Username == "" && password == "":
		return errors.New("user name and password are both empty")
	case strings.Contains(b.Username, ":"):
		return errors.New("the user name has a colon, which HTTP Basic cannot carry; remove it")
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
