// Package pki makes the keys and certificates of a Kubernetes that lives on
// one machine: for its servers, its administrator and its ServiceAccounts.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// life is how long a certificate is good for. They are made anew at each start.
const life = 365 * 24 * time.Hour

// Files of a folder that [Write] has filled, all in PEM.
const (
	CA                = "ca.crt"
	ServerCert        = "server.crt" // of etcd and the API server, also to identify one to the other
	ServerKey         = "server.key"
	AdminCert         = "admin.crt" // of a user in the group system:masters
	AdminKey          = "admin.key"
	ServiceAccountKey = "service-account.key" // signs the tokens of ServiceAccounts
)

// Write fills dir with a fresh certificate authority and what it has signed.
// The key of the authority is not kept.
func Write(dir string) error {
	caKey, err := newKey()
	if err != nil {
		return err
	}
	ca := certificate(pkix.Name{CommonName: "postrider-local"})
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return fmt.Errorf("signing the certificate authority: %w", err)
	}
	if err := write(dir, CA, "CERTIFICATE", caDER); err != nil {
		return err
	}

	server := certificate(pkix.Name{CommonName: "postrider-local-server"})
	server.DNSNames = []string{"localhost"}
	server.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	admin := certificate(pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}})
	for _, leaf := range []struct {
		template          *x509.Certificate
		certFile, keyFile string
	}{{server, ServerCert, ServerKey}, {admin, AdminCert, AdminKey}} {
		key, err := newKey()
		if err != nil {
			return err
		}
		der, err := x509.CreateCertificate(rand.Reader, leaf.template, ca, key.Public(), caKey)
		if err != nil {
			return fmt.Errorf("signing %s: %w", leaf.certFile, err)
		}
		if err := write(dir, leaf.certFile, "CERTIFICATE", der); err != nil {
			return err
		}
		if err := writeKey(dir, leaf.keyFile, key); err != nil {
			return err
		}
	}

	tokens, err := newKey()
	if err != nil {
		return err
	}
	return writeKey(dir, ServiceAccountKey, tokens)
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func certificate(subject pkix.Name) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      subject,
		NotBefore:    now.Add(-time.Minute), // clocks that were set back a little
		NotAfter:     now.Add(life),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func writeKey(dir, name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return write(dir, name, "EC PRIVATE KEY", der)
}

func write(dir, name, kind string, der []byte) error {
	return os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
