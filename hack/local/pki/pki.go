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

// Write fills dir with what a Kubernetes without nodes needs: the files above.
func Write(dir string) error {
	authority, err := NewAuthority(dir, "postrider-local")
	if err != nil {
		return err
	}
	for file, identity := range map[string]Identity{
		"server": {Name: "postrider-local-server", Hosts: []string{"localhost", "127.0.0.1"}},
		"admin":  {Name: "admin", Groups: []string{"system:masters"}},
	} {
		if err := authority.Issue(file, identity); err != nil {
			return err
		}
	}
	return WriteServiceAccountKey(dir)
}

// An Authority signs certificates. Its key is nowhere but in memory.
type Authority struct {
	dir         string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority makes a certificate authority called name and writes its
// certificate to [CA] in dir.
func NewAuthority(dir, name string) (*Authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	ca := certificate(pkix.Name{CommonName: name})
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("signing the certificate authority: %w", err)
	}
	return &Authority{dir: dir, certificate: ca, key: key}, write(dir, CA, "CERTIFICATE", der)
}

// An Identity is who a certificate speaks for.
type Identity struct {
	Name   string   // of the user, for Kubernetes
	Groups []string // that the user is in
	Hosts  []string // DNS names and IP addresses that it serves
}

// Issue writes a new key and the certificate of id to file.key and file.crt.
func (a *Authority) Issue(file string, id Identity) error {
	template := certificate(pkix.Name{CommonName: id.Name, Organization: id.Groups})
	for _, host := range id.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return fmt.Errorf("signing %s.crt: %w", file, err)
	}
	if err := write(a.dir, file+".crt", "CERTIFICATE", der); err != nil {
		return err
	}
	return writeKey(a.dir, file+".key", key)
}

// WriteServiceAccountKey writes a new [ServiceAccountKey] to dir.
func WriteServiceAccountKey(dir string) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	return writeKey(dir, ServiceAccountKey, key)
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
