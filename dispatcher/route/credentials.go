package route

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

const (
	maxBaseAddresses = 16
	maxScopes        = 64
	maxParameters    = 16
	maxAudience      = 255
)

// setByPostrider are the parameters of a token request that have fields of their own.
var setByPostrider = map[string]bool{
	"grant_type": true, "client_id": true, "client_secret": true, "username": true, "password": true, "scope": true,
}

func (o *OAuth2) check() error {
	if err := o.checkAddresses(); err != nil {
		return err
	}
	switch {
	case o.ClientID == "":
		return errors.New("the client ID is empty")
	case o.Username == "" && o.ClientSecret.Reveal() == "":
		return errors.New("the client secret is empty, and there is no user either")
	case o.Username == "" && o.Password != "":
		return errors.New("the user name is empty")
	case len(o.Scopes) > maxScopes:
		return fmt.Errorf("%d scopes are too many, the limit is %d", len(o.Scopes), maxScopes)
	case len(o.Parameters) > maxParameters:
		return fmt.Errorf("%d parameters are too many, the limit is %d", len(o.Parameters), maxParameters)
	case o.Prefix != "" && !httpguts.ValidHeaderFieldName(o.Prefix): // both are tokens of RFC 9110
		return errors.New("the header prefix is not one word, such as Bearer")
	}
	for _, s := range o.Scopes {
		if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '"' || r == '\\' || r > '~' }) {
			return fmt.Errorf("%q is not one scope; write several as several elements", s) // RFC 6749, appendix A.4
		}
	}
	seen := map[string]bool{}
	for _, p := range o.Parameters {
		if p.Name == "" || setByPostrider[p.Name] || seen[p.Name] {
			return fmt.Errorf("the parameter %q is empty, there already, or one that Postrider sets itself; remove it", p.Name)
		}
		seen[p.Name] = true
	}
	return nil
}

// checkAddresses wants addresses to which a path can be added and compared.
func (o *OAuth2) checkAddresses() error {
	if (o.Authority == "") == (o.TokenURL == "") {
		return errors.New("either an authority or a token URL must be set")
	}
	if o.TokenURL != "" {
		if len(o.BaseAddresses) > 0 {
			return errors.New("base addresses bound a discovery, so they need an authority")
		}
		if err := CheckURL(o.TokenURL); err != nil {
			return fmt.Errorf("token URL: %w", err)
		}
		return nil
	}
	if len(o.BaseAddresses) > maxBaseAddresses {
		return fmt.Errorf("%d base addresses are too many, the limit is %d", len(o.BaseAddresses), maxBaseAddresses)
	}
	for i, address := range append([]string{o.Authority}, o.BaseAddresses...) {
		what := "authority"
		if i > 0 {
			what = fmt.Sprintf("base address %d", i)
		}
		if err := CheckURL(address); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if u, err := url.Parse(address); err != nil || u.RawQuery != "" || u.ForceQuery {
			return fmt.Errorf("%s: the URL has a query; remove it", what)
		}
	}
	return nil
}

// check looks at the form alone: thousands of routes may show the same, and to
// compare keys takes long. [ClientCertificate.Pair] does the rest.
func (c *ClientCertificate) check() error {
	key := []byte(c.Key.Reveal())
	if block, _ := pem.Decode([]byte(c.Chain)); block == nil {
		return errors.New("the certificate is not in PEM, the text form; store it so")
	}
	block, _ := pem.Decode(key)
	switch {
	case block == nil:
		return errors.New("the key is not in PEM, the text form; store it so")
	case strings.Contains(block.Type, "ENCRYPTED") || block.Headers["Proc-Type"] != "":
		return errors.New("the key is encrypted; store it without a passphrase")
	}
	return nil
}

// Pair is the certificate with its key and the parsed leaf. Its errors quote
// neither.
func (c *ClientCertificate) Pair() (*tls.Certificate, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair([]byte(c.Chain), []byte(c.Key.Reveal()))
	if err != nil {
		return nil, errors.New("certificate and key do not belong together, or one of them cannot be read; store the pair, the certificate of the client first and its intermediates after it")
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, errors.New("the certificate cannot be read")
		}
	}
	return &pair, nil
}

// Validity is from when until when the certificate proves anything.
func (c *ClientCertificate) Validity() (from, until time.Time, err error) {
	pair, err := c.Pair()
	if err != nil {
		return from, until, err
	}
	return pair.Leaf.NotBefore, pair.Leaf.NotAfter, nil
}

// ownAudience is the one that tokens for Postrider itself have, unless a flag
// says otherwise.
const ownAudience = "postrider"

func (s *ServiceAccountToken) check() error {
	switch {
	case s.Name == "":
		return errors.New("the name of the ServiceAccount is empty")
	case s.Audience == "":
		return errors.New("the audience is empty")
	case len(s.Audience) > maxAudience:
		return fmt.Errorf("the audience has %d bytes, the limit is %d", len(s.Audience), maxAudience)
	case s.Audience == ownAudience:
		return fmt.Errorf("the audience %q is that of Postrider itself, so the receiver could post events; use the receiver's own", s.Audience)
	case ofAPIServer(s.Audience):
		return fmt.Errorf("the audience %q is that of the API server, so the receiver could use the token there; use the receiver's own", s.Audience)
	}
	return nil
}

// ofAPIServer knows the audiences that API servers usually have. What else one
// takes, only it can tell.
func ofAPIServer(audience string) bool {
	host := strings.ToLower(audience)
	if _, rest, ok := strings.Cut(host, "://"); ok {
		host = rest
	}
	return host == "kubernetes" || strings.HasPrefix(host, "kubernetes.default")
}
