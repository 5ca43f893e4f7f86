package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http/httptrace"
	"time"
)

// What a connection may speak, in the order of preference (RFC 7301).
const (
	protocolHTTP2 = "h2"
	protocolHTTP1 = "http/1.1"
)

// A dialer opens connections for both roads. The guard is its net.Dialer's.
type dialer struct {
	net        net.Dialer
	rootCAs    *x509.CertPool
	tlsTimeout time.Duration
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.net.DialContext(ctx, network, address)
	if err != nil {
		return nil, &failure{connecting, err}
	}
	return conn, nil
}

// secure does the handshake with the host of address over conn, which it closes
// when that fails. A host that asks for a certificate is shown the one that is
// given, whatever authorities it names; nil = none.
func (d *dialer) secure(ctx context.Context, conn net.Conn, address string, certificate *tls.Certificate, protocols ...string) (*tls.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, errors.Join(&failure{sending, err}, conn.Close())
	}
	ctx, cancel := context.WithTimeout(ctx, d.tlsTimeout)
	defer cancel()
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	config := &tls.Config{RootCAs: d.rootCAs, ServerName: host, NextProtos: protocols}
	if certificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	secured := tls.Client(conn, config)
	err = secured.HandshakeContext(ctx)
	if trace != nil && trace.TLSHandshakeDone != nil {
		trace.TLSHandshakeDone(secured.ConnectionState(), err)
	}
	if err != nil {
		_ = conn.Close() // the handshake says why
		return nil, &failure{securing, err}
	}
	return secured, nil
}
