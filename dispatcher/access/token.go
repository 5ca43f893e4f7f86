package access

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// clockSkew is how far the clocks of this machine and of the API server may be
// apart; the API server grants a token as much.
const clockSkew = time.Minute

// claims are what a token says about itself.
type claims struct {
	Audience audiences `json:"aud"`
	Expires  *float64  `json:"exp"` // seconds since 1970, fractions are allowed
}

// readClaims reads a JWT in compact form (RFC 7519). The signature is not
// checked, so what it returns serves to refuse only: what is plausible is still
// nobody's until the API server has reviewed it. It spares the API server what
// costs no effort to make up.
func readClaims(token string) (c claims, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return claims{}, false
	}
	var decoded [3][]byte
	for i, part := range parts {
		var err error
		if decoded[i], err = base64.RawURLEncoding.DecodeString(part); err != nil || len(part) == 0 {
			return claims{}, false
		}
	}
	if err := json.Unmarshal(decoded[1], &c); err != nil {
		return claims{}, false
	}
	return c, true
}

// plausible reports whether a review of the token can succeed: it is for the
// audience, and has not expired.
func (c claims) plausible(audience string, now time.Time) bool {
	return slices.Contains(c.Audience, audience) && !c.expired(now)
}

func (c claims) expired(now time.Time) bool {
	return c.Expires != nil && *c.Expires < float64(now.Add(-clockSkew).Unix())
}

// audiences is an array of strings or one string (RFC 7519, 4.1.3).
type audiences []string

// UnmarshalJSON implements [json.Unmarshaler].
func (a *audiences) UnmarshalJSON(text []byte) error {
	if text[0] != '"' {
		return json.Unmarshal(text, (*[]string)(a))
	}
	*a = make(audiences, 1)
	return json.Unmarshal(text, &(*a)[0])
}
