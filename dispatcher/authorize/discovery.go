package authorize

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/oauth2"
)

const (
	// wellKnown is where an issuer describes itself (OpenID Connect Discovery 1.0,
	// section 4).
	wellKnown = "/.well-known/openid-configuration"
	// maxDescription bounds that description, in bytes.
	maxDescription = 64 << 10
)

// A description is what is of interest of it (section 3).
type description struct {
	Issuer        string   `json:"issuer"`
	TokenEndpoint string   `json:"token_endpoint"`
	Methods       []string `json:"token_endpoint_auth_methods_supported"`
}

// discover finds the token endpoint of an authority. What the authority says of
// itself is believed only as far as it stays below the authority or one of the
// base addresses: else whoever answers for it could have the secret sent to
// anybody.
func discover(ctx context.Context, client *http.Client, authority string, bases []string) (endpoint, error) {
	d, err := describe(ctx, client, strings.TrimRight(authority, "/")+wellKnown)
	if err != nil {
		return endpoint{}, err
	}
	if strings.TrimRight(d.Issuer, "/") != strings.TrimRight(authority, "/") {
		return endpoint{}, &Unavailable{Detail: "discovery: the issuer calls itself otherwise than authorityURL; write it as the issuer does, or use tokenURL"}
	}
	if !isBelowAny(d.TokenEndpoint, authority, bases) {
		return endpoint{}, &Unavailable{Detail: "discovery: the token endpoint is neither below authorityURL nor below additionalEndpointBaseAddresses; add its address there if you trust it"}
	}
	return endpoint{d.TokenEndpoint, d.style()}, nil
}

func describe(ctx context.Context, client *http.Client, address string) (d description, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return d, &Unavailable{Detail: "discovery: authorityURL cannot be asked"}
	}
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return d, astray("discovery", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return d, &Unavailable{Detail: "discovery: authorityURL" + wellKnown + " answered with status " + strconv.Itoa(resp.StatusCode)}
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxDescription+1))
	if err != nil {
		return d, &Unavailable{Detail: "discovery", Cause: err}
	}
	if len(text) > maxDescription || json.Unmarshal(text, &d) != nil || d.TokenEndpoint == "" {
		return d, &Unavailable{Detail: "discovery: the answer is not the JSON that OpenID Connect Discovery describes, or too long"}
	}
	return d, nil
}

// style is how the endpoint wants the secret: as it says, and where it leaves the
// choice, or does not say, the library finds out.
func (d *description) style() oauth2.AuthStyle {
	inHeader, inBody := slices.Contains(d.Methods, "client_secret_basic"), slices.Contains(d.Methods, "client_secret_post")
	switch {
	case inHeader && !inBody:
		return oauth2.AuthStyleInHeader
	case inBody && !inHeader:
		return oauth2.AuthStyleInParams
	default:
		return oauth2.AuthStyleAutoDetect
	}
}

// isBelowAny reports whether an endpoint may be used.
func isBelowAny(address, authority string, bases []string) bool {
	to, err := url.Parse(address)
	if err != nil || to.User != nil || to.Fragment != "" {
		return false
	}
	from, err := url.Parse(authority)
	if err != nil || to.Scheme != "https" && from.Scheme != "http" {
		return false // a secret that was to go over TLS goes nowhere without
	}
	return slices.ContainsFunc(append([]string{authority}, bases...), func(base string) bool { return isBelow(to, base) })
}

// isBelow reports whether to has the origin of base, and its path or one below it.
func isBelow(to *url.URL, base string) bool {
	b, err := url.Parse(base)
	if err != nil || !strings.EqualFold(to.Scheme, b.Scheme) || !strings.EqualFold(to.Hostname(), b.Hostname()) || portOf(to) != portOf(b) {
		return false
	}
	// Escaped, for that is what is sent; dots would lead out of it again.
	path, below := to.EscapedPath(), strings.TrimRight(b.EscapedPath(), "/")
	if strings.Contains(path, "..") || strings.Contains(strings.ToLower(path), "%2e") {
		return false
	}
	return path == below || strings.HasPrefix(path, below+"/")
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	default:
		return "80"
	}
}
