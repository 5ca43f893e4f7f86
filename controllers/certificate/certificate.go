// Package certificate decides when the certificates of the dispatchers, and the
// authority that signs them, are made anew, and makes them. It is pure: what
// there is and the time go in, what there is to be comes out.
package certificate

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

const (
	// AuthorityLife is how long an authority is good for: a copy of it that nobody
	// renews works for long.
	AuthorityLife = 10 * 365 * day
	// AuthorityRest is what is left of that when another takes over, so that no
	// certificate outlives the authority that has signed it.
	AuthorityRest = 365 * day
	// ServingLife is how long a certificate of the dispatchers is good for.
	ServingLife = 90 * day
	// ServingAge is when it is renewed: there is a month to repair what keeps it from that.
	ServingAge = 60 * day
	// Overlap is how long a new authority has been published before anything is
	// signed by it that is shown: whoever reads what is published so often is never
	// cut off, be the authority replaced in time or because its key was lost.
	Overlap = 14 * day
	// lastCall is how long before its end a certificate is renewed even without
	// that overlap.
	lastCall = 7 * day
	// backdate is for clocks that are behind.
	backdate = time.Hour
	// maxTrusted bounds how many authorities are published. More than two are
	// there only when keys are lost again and again.
	maxTrusted = 8

	day = 24 * time.Hour
)

// commonName is the name of each authority.
const commonName = "postrider-ca"

// A Pair is a certificate and its key, both in PEM.
type Pair struct{ Cert, Key []byte }

// State is what is kept. Whatever of it is missing or damaged is made anew.
type State struct {
	Authority Pair   // signs
	Serving   Pair   // what the dispatchers show
	Trusted   []byte // authorities whose certificates may be in use, in PEM; the one that signs is the first
}

// Expiry is until when the parts of a State are good.
type Expiry struct{ Authority, Serving time.Time }

// Renew returns what there is to be at the time now, with a serving certificate
// for the names: have itself when that is still good. Look again at the time
// next, when something will be due.
func Renew(have State, names []string, now time.Time) (want State, expiry Expiry, next time.Time, err error) {
	signer, err := have.Authority.authority(now)
	if err != nil { // lost, damaged or expired
		if signer, err = newAuthority(now); err != nil {
			return State{}, Expiry{}, time.Time{}, err
		}
	}
	trusted := union(now, signer, have.Trusted)
	serving, due := have.Serving.serving(signer, trusted, names, now)
	if !now.Before(due) {
		if serving, err = newServing(signer, names, now); err != nil {
			return State{}, Expiry{}, time.Time{}, err
		}
		due = serving.due(signer)
	}
	// Last: what is due at the same time is signed by the one that is known.
	if !now.Before(signer.replaced()) {
		if signer, err = newAuthority(now); err != nil {
			return State{}, Expiry{}, time.Time{}, err
		}
		trusted = union(now, signer, trusted.pem())
		due = serving.due(signer)
	}
	want = State{Authority: signer.pem, Serving: serving.pem, Trusted: trusted.pem()}
	return want, Expiry{signer.NotAfter, serving.NotAfter}, earlier(due, signer.replaced()), nil
}

// An issued is a certificate with its key.
type issued struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
	pem Pair
}

func (p Pair) parse() (issued, error) {
	pair, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		return issued{}, err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return issued{}, errors.New("the key is no ECDSA P-256 key")
	}
	return issued{pair.Leaf, key, p}, nil
}

// authority reads p, which must be good to sign with.
func (p Pair) authority(now time.Time) (issued, error) {
	c, err := p.parse()
	if err != nil {
		return issued{}, err
	}
	return c, isAuthority(c.Certificate, now)
}

// isAuthority returns why nothing is trusted by c, nil when it is an authority of
// ours and this is its time. A clock that is a bit behind is no reason to throw
// one away.
func isAuthority(c *x509.Certificate, now time.Time) error {
	switch {
	case !c.IsCA || !c.BasicConstraintsValid || c.KeyUsage&x509.KeyUsageCertSign == 0 || c.Subject.CommonName != commonName:
		return errors.New("it is no authority of ours")
	case !now.Before(c.NotAfter):
		return fmt.Errorf("it has expired at %s", c.NotAfter)
	case now.Before(c.NotBefore.Add(-day)):
		return fmt.Errorf("it is good from %s on", c.NotBefore)
	}
	return c.CheckSignatureFrom(c)
}

// replaced is when another authority takes over.
func (c issued) replaced() time.Time { return c.NotAfter.Add(-AuthorityRest) }

// serving reads p, and says when it is to be made anew: at once when it is
// missing, damaged, lacks a name or is not trusted.
func (p Pair) serving(signer issued, trusted authorities, names []string, now time.Time) (c issued, due time.Time) {
	c, err := p.parse()
	if err != nil {
		return c, now
	}
	chain := x509.VerifyOptions{Roots: trusted.pool(), CurrentTime: later(now, signer.NotBefore), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if _, err := c.Verify(chain); err != nil {
		return c, now
	}
	for _, name := range names {
		if c.VerifyHostname(name) != nil {
			return c, now
		}
	}
	return c, c.due(signer)
}

// due is when a serving certificate is renewed, by an authority that may be another.
func (c issued) due(signer issued) time.Time {
	due := c.NotBefore.Add(backdate + ServingAge)
	if c.CheckSignatureFrom(signer.Certificate) != nil { // another has signed it
		due = later(due, signer.NotBefore.Add(backdate+Overlap))
	}
	return earlier(due, c.NotAfter.Add(-lastCall))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func newAuthority(now time.Time) (issued, error) {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: commonName}, NotBefore: now.Add(-backdate), NotAfter: now.Add(AuthorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	return issue(template, nil)
}

func newServing(signer issued, names []string, now time.Time) (issued, error) {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "postrider-dispatcher"}, NotBefore: later(now.Add(-backdate), signer.NotBefore), NotAfter: now.Add(ServingLife),
		DNSNames: names, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	return issue(template, &signer)
}

// issue signs the template for a new key, by itself when there is no signer.
func issue(template *x509.Certificate, signer *issued) (issued, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return issued{}, fmt.Errorf("making a key: %w", err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return issued{}, fmt.Errorf("making a serial number: %w", err)
	}
	if signer == nil {
		signer = &issued{Certificate: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.Certificate, key.Public(), signer.key)
	if err != nil {
		return issued{}, fmt.Errorf("signing a certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return issued{}, fmt.Errorf("writing a key: %w", err)
	}
	return Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}.parse()
}

const certificateBlock = "CERTIFICATE"

// authorities are what is trusted; the one that signs is the first.
type authorities []*x509.Certificate

// union adds to the one that signs those of text that are still good, the newest first.
func union(now time.Time, signer issued, text []byte) authorities {
	var others authorities
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil || isAuthority(c, now) != nil || c.Equal(signer.Certificate) || slices.ContainsFunc(others, c.Equal) {
			continue
		}
		others = append(others, c)
	}
	slices.SortStableFunc(others, func(a, b *x509.Certificate) int {
		if byAge := b.NotBefore.Compare(a.NotBefore); byAge != 0 {
			return byAge
		}
		return bytes.Compare(a.Raw, b.Raw)
	})
	return append(authorities{signer.Certificate}, others[:min(len(others), maxTrusted-1)]...)
}

func (a authorities) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range a {
		pool.AddCert(c)
	}
	return pool
}

func (a authorities) pem() []byte {
	var b bytes.Buffer
	for _, c := range a {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: c.Raw}))
	}
	return b.Bytes()
}
