package authorize

import (
	"encoding/base64"
	"net/http"

	"github.com/postrider/postrider/dispatcher/route"
)

// inHeader sets a header, whatever it was before.
func inHeader(name, value string) func(*http.Request) error {
	return func(req *http.Request) error {
		req.Header.Set(name, value)
		return nil
	}
}

// basic is RFC 7617, in UTF-8.
func basic(b *route.Basic) func(*http.Request) error {
	pair := base64.StdEncoding.EncodeToString([]byte(b.Username + ":" + b.Password.Reveal()))
	return inHeader("Authorization", "Basic "+pair)
}

// bearer is RFC 6750, section 2.1.
func bearer(b *route.Bearer) func(*http.Request) error {
	return inHeader("Authorization", "Bearer "+b.Token.Reveal())
}

func apiKey(k *route.APIKey) func(*http.Request) error {
	if k.Query {
		return inQuery(k.Name, k.Value.Reveal())
	}
	return inHeader(k.Name, k.Value.Reveal())
}
