package egress_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/test/receiver"
)

func TestHTTP2IsSpokenAndItsConnectionShared(t *testing.T) {
	r := receiver.New(t, receiver.Options{TLS: true})
	c := newClient(t, egress.Options{Allow: loopback, RootCAs: r.RootCAs()})
	for range 5 {
		mustSend(t, c, r.URL("/"))
	}
	first := r.Requests()[0]
	if first.Proto != "HTTP/2.0" {
		t.Errorf("spoke %s", first.Proto)
	}
	if v, ok := first.Header["Idempotency-Key"]; ok {
		t.Errorf("Idempotency-Key: %q was sent", v)
	}
	if r.Connections() != 1 {
		t.Errorf("%d connections for 5 requests", r.Connections())
	}
}

func TestAFailedHandshakeSaysWhy(t *testing.T) {
	secure := receiver.New(t, receiver.Options{TLS: true})
	plain := receiver.New(t, receiver.Options{})
	trusting := egress.Options{Allow: loopback, RootCAs: secure.RootCAs(), TLSTimeout: short}
	for _, tt := range []struct {
		name    string
		options egress.Options
		url     string
		detail  string
	}{
		{"an unknown authority", egress.Options{Allow: loopback}, secure.URL("/"), "certificate of an unknown authority"},
		{"another name", trusting, strings.Replace(secure.URL("/"), "127.0.0.1", "localhost", 1), "certificate for another name"},
		{"no TLS", trusting, strings.Replace(plain.URL("/"), "http:", "https:", 1), "the receiver does not speak TLS there"},
		{"silence", trusting, "https://" + raw(t, ""), "handshake not finished in time"},
		{"an alert", trusting, "https://" + raw(t, "\x15\x03\x03\x00\x02\x02\x28"), "handshake refused by the receiver"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := send(t, newClient(t, tt.options), tt.url, long)
			wantFailure(t, err, outcome.TLSFailed, tt.detail)
		})
	}
}

func TestAFailedConnectionSaysWhy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it only binds
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, egress.Options{Allow: loopback})
	_, err = send(t, c, "http://"+l.Addr().String(), long)
	wantFailure(t, err, outcome.ConnectFailed, "connection refused")

	hasty := newClient(t, egress.Options{Allow: loopback, ConnectTimeout: time.Nanosecond})
	_, err = send(t, hasty, "http://"+l.Addr().String(), long)
	wantFailure(t, err, outcome.ConnectFailed, "no connection in time")
}

func TestANameThatDoesNotResolveIsADNSFailure(t *testing.T) {
	for err, detail := range map[*net.DNSError]string{
		{IsNotFound: true}:          "no such host",
		{IsTimeout: true}:           "name not resolved in time",
		{Err: "server misbehaving"}: "name not resolved",
	} {
		wantFailure(t, &net.OpError{Op: "dial", Err: err}, outcome.DNSFailed, detail)
	}
	// A name that no resolver is asked for: the label is too long for one.
	_, err := send(t, newClient(t, egress.Options{}), "http://"+strings.Repeat("a", 64)+".example/", long)
	wantFailure(t, err, outcome.DNSFailed, "no such host")
}
