package egress

import (
	"net"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// An origin is whom a connection is to: connections are shared by what has the
// same origin.
type origin struct {
	secure   bool
	address  string // host and port
	identity string // as whom the client proves itself with a certificate, see identityOf; empty = nobody
}

// originOf returns the origin of u, unless that is something only net/http
// knows to handle: another scheme, no host, a name that is not ASCII, a zone.
func originOf(u *url.URL) (origin, bool) {
	o := origin{secure: u.Scheme == "https"}
	host, port := u.Hostname(), u.Port()
	if !o.secure && u.Scheme != "http" || host == "" || !usualHost(host) {
		return origin{}, false
	}
	switch {
	case port != "":
	case o.secure:
		port = "443"
	default:
		port = "80"
	}
	o.address = net.JoinHostPort(host, port)
	return o, true
}

// usualHost reports whether host can be sent as it is.
func usualHost(host string) bool {
	for i := range len(host) {
		if host[i] <= ' ' || host[i] >= 0x7f {
			return false
		}
	}
	return !strings.Contains(host, "%") && httpguts.ValidHostHeader(host)
}
