package authorize

import (
	"net/http"
	"net/url"
	"strings"
)

// inQuery appends a parameter and leaves the query before it as it is, byte for
// byte.
func inQuery(name, value string) func(*http.Request) error {
	parameter := escape(name) + "=" + escape(value)
	return func(req *http.Request) error {
		u := *req.URL // the URL of the route serves many requests
		if u.RawQuery == "" {
			u.RawQuery = parameter
		} else {
			u.RawQuery += "&" + parameter
		}
		req.URL = &u
		return nil
	}
}

// escape encodes s for a query. A blank becomes %20, which every server
// understands; "+" is one only to those that parse forms.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
