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

// plausible reports whether a review of the token can succeed: it is a JWT in
// compact form (RFC 7519) for the audience, and has not expired. The signature
// is not checked, so this serves to refuse only: what is plausible is still
// nobody's until the API server has reviewed it. It spares the API server what
// costs no effort to make up.
func plausible(token, audience string, now time.Time) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	var decoded [3][]byte
	for i, part := range parts {
		var err error
		if decoded[i], err = base64.RawURLEncoding.DecodeString(part); err != nil || len(part) == 0 {
			return false
		}
	}
	var claims struct {
		Audience audiences `json:"aud"`
		Expires  *float64  `json:"exp"` // seconds since 1970, fractions are allowed
	}
	if err := json.Unmarshal(decoded[1], &claims); err != nil {
		return false
	}
	expired := claims.Expires != nil && *claims.Expires < float64(now.Add(-clockSkew).Unix())
	return slices.Contains(claims.Audience, audience) && !expired
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
