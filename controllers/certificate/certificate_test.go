package certificate_test

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
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/postrider/postrider/controllers/certificate"
)

const day = 24 * time.Hour

var (
	start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	names = []string{"postrider-events", "postrider-events.shop.svc"}
)

func renew(t *testing.T, have certificate.State, names []string, now time.Time) (certificate.State, time.Time) {
	t.Helper()
	want, _, next, err := certificate.Renew(have, names, now)
	if err != nil {
		t.Fatal(err)
	}
	if !next.After(now) {
		t.Fatalf("at %s something is due at %s already", now, next)
	}
	return want, next
}

// good returns why a client that trusts the authorities does not trust the
// certificate at a time, nil when it does.
func good(trusted []byte, shown certificate.Pair, now time.Time) error {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(trusted)
	pair, err := tls.X509KeyPair(shown.Cert, shown.Key)
	if err != nil {
		return err
	}
	_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now})
	for _, name := range names {
		err = errors.Join(err, pair.Leaf.VerifyHostname(name))
	}
	return err
}

func count(trusted []byte) int { return bytes.Count(trusted, []byte("-----BEGIN")) }

// Whoever reads what is published every two weeks, and dispatchers that show what
// they were given up to two days ago, understand each other for decades.
func TestNobodyIsEverCutOff(t *testing.T) {
	t.Parallel()
	const step, years = 7 * day, 21 // a divisor of the overlap
	for name, tt := range map[string]struct {
		lose  func(have *certificate.State, passed int) // days
		least int                                       // times that the authority is another
		most  int
	}{
		"when nothing is lost": {func(*certificate.State, int) {}, 2, 2},
		"when the key of the authority is lost every three weeks": {func(have *certificate.State, passed int) {
			if passed%21 == 0 {
				have.Authority = certificate.Pair{}
			}
		}, years*365/21 - 1, years * 365 / 21},
		"when the certificate is lost every half year": {func(have *certificate.State, passed int) {
			if passed%182 == 105 { // not while the authority is new
				have.Serving.Key = nil
			}
		}, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			state, next := renew(t, certificate.State{}, names, start)
			published, authorities := [][]byte{}, 0
			for passed := 0; passed < years*365; passed += int(step / day) {
				now := start.Add(time.Duration(passed) * day)
				lost := state
				tt.lose(&lost, passed)
				if !now.Before(next) || passed > 0 && (!bytes.Equal(lost.Authority.Cert, state.Authority.Cert) || lost.Serving.Key == nil) {
					before := state
					state, next = renew(t, lost, names, now)
					if !bytes.Equal(before.Authority.Cert, state.Authority.Cert) {
						authorities++
					}
					if err := good(state.Trusted, before.Serving, now.Add(2*day)); err != nil {
						t.Fatalf("on day %d what dispatchers still show is not trusted: %v", passed, err)
					}
				}
				published = append(published, state.Trusted)
				oldest := max(0, len(published)-1-int(certificate.Overlap/step))
				if err := good(published[oldest], state.Serving, now); err != nil {
					t.Fatalf("on day %d who has read on day %d is cut off: %v", passed, oldest*int(step/day), err)
				}
				if n := count(state.Trusted); n > 8 {
					t.Fatalf("%d authorities are published", n)
				}
			}
			if authorities < tt.least || authorities > tt.most+1 {
				t.Errorf("the authority changed %d times, want about %d", authorities, tt.least)
			}
		})
	}
}

func TestWhatIsMadeAnewAndWhen(t *testing.T) {
	t.Parallel()
	fresh, _ := renew(t, certificate.State{}, names, start)
	other, _ := renew(t, certificate.State{}, names, start)
	garbage := []byte("garbage")
	keep := func(*certificate.State) {}
	for _, tt := range []struct {
		name               string
		after              time.Duration
		change             func(*certificate.State)
		names              []string
		authority, serving bool // is another afterwards
		trusted            int
	}{
		{"nothing at once", 0, keep, names, false, false, 1},
		{"nothing before two thirds", certificate.ServingAge - time.Hour, keep, names, false, false, 1},
		{"the certificate at two thirds", certificate.ServingAge, keep, names, false, true, 1},
		{"the certificate when it has expired", 200 * day, keep, names, false, true, 1},
		{"the authority a year before its end", 9 * 365 * day, keep, names, true, true, 2},
		{"all of it after its end", 11 * 365 * day, keep, names, true, true, 1},
		{"the certificate a week before its end, however new the authority is", certificate.ServingLife - 7*day, func(s *certificate.State) { s.Authority = certificate.Pair{} }, names, true, true, 2},
		{"nothing for fewer names", day, keep, names[:1], false, false, 1},
		{"the certificate for another name", day, keep, []string{"else"}, false, true, 1},
		{"a lost certificate", day, func(s *certificate.State) { s.Serving = certificate.Pair{} }, names, false, true, 1},
		{"a damaged certificate", day, func(s *certificate.State) { s.Serving.Cert = garbage }, names, false, true, 1},
		{"a key of another certificate", day, func(s *certificate.State) { s.Serving.Key = other.Serving.Key }, names, false, true, 1},
		{"a certificate of a stranger", day, func(s *certificate.State) { s.Serving = other.Serving }, names, false, true, 1},
		{"an authority as a certificate", day, func(s *certificate.State) { s.Serving = s.Authority }, names, false, true, 1},
		{"a lost authority, and not what it has signed", day, func(s *certificate.State) { s.Authority = certificate.Pair{} }, names, true, false, 2},
		{"a damaged authority", day, func(s *certificate.State) { s.Authority.Key = garbage }, names, true, false, 2},
		{"a key of another authority", day, func(s *certificate.State) { s.Authority.Key = other.Authority.Key }, names, true, false, 2},
		{"an authority that is none", day, func(s *certificate.State) { s.Authority = s.Serving }, names, true, false, 2},
		{"an authority and all that knows it", day, func(s *certificate.State) { s.Authority, s.Trusted = certificate.Pair{}, nil }, names, true, true, 1},
		{"an authority of which only the half is known", day, func(s *certificate.State) {
			s.Authority, s.Trusted = certificate.Pair{}, s.Trusted[:len(s.Trusted)/2]
		}, names, true, true, 1},
		{"what is published, when that was lost", day, func(s *certificate.State) { s.Trusted = nil }, names, false, false, 1},
		{"no more than once", day, func(s *certificate.State) { s.Trusted = bytes.Repeat(s.Trusted, 3) }, names, false, false, 1},
		{"what others are trusted by stays", day, func(s *certificate.State) {
			s.Trusted = append(append([]byte("lines between\n"), other.Trusted...), s.Trusted...)
		}, names, false, false, 2},
		{"nothing when the clock is behind", -12 * time.Hour, keep, names, false, false, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			have := fresh
			tt.change(&have)
			now := start.Add(tt.after)
			got, _ := renew(t, have, tt.names, now)
			if changed := !bytes.Equal(got.Authority.Cert, fresh.Authority.Cert); changed != tt.authority {
				t.Errorf("the authority is another: %t", changed)
			}
			if changed := !bytes.Equal(got.Serving.Cert, fresh.Serving.Cert); changed != tt.serving {
				t.Errorf("the certificate is another: %t", changed)
			}
			if n := count(got.Trusted); n != tt.trusted {
				t.Errorf("%d authorities are published, want %d", n, tt.trusted)
			}
			again, _ := renew(t, got, tt.names, now)
			if !bytes.Equal(again.Serving.Cert, got.Serving.Cert) || !bytes.Equal(again.Authority.Cert, got.Authority.Cert) || !bytes.Equal(again.Trusted, got.Trusted) {
				t.Error("looking again made something anew")
			}
		})
	}
}

func TestWhatIsDueFirstIsSaid(t *testing.T) {
	t.Parallel()
	state, next := renew(t, certificate.State{}, names, start)
	if want := start.Add(certificate.ServingAge); !next.Equal(want) {
		t.Errorf("the first look is at %s, want %s", next, want)
	}
	replaced := start.Add(certificate.AuthorityLife - certificate.AuthorityRest)
	if _, next = renew(t, state, names, replaced.Add(-day)); !next.Equal(replaced) {
		t.Errorf("the authority is looked at at %s, want %s", next, replaced)
	}
}

func TestStrangersAreNotPublished(t *testing.T) {
	t.Parallel()
	fresh, _ := renew(t, certificate.State{}, names, start)
	stranger := foreign(t, "somebody-else")
	impostor := foreign(t, "postrider-ca") // of our name: what is trusted is in Secrets, and whoever writes those has the key anyway
	fresh.Trusted = append(fresh.Trusted, stranger...)
	got, _ := renew(t, fresh, names, start)
	if n := count(got.Trusted); n != 1 {
		t.Errorf("%d authorities are published", n)
	}
	fresh.Trusted = append(fresh.Trusted, impostor...)
	got, _ = renew(t, fresh, names, start)
	if n := count(got.Trusted); n != 2 {
		t.Errorf("%d authorities are published", n)
	}
}

// foreign is an authority that was made elsewhere, in PEM.
func foreign(t *testing.T, name string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: start, NotAfter: start.Add(day),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestAHandshakeSucceedsByEachNameAndByNoOther(t *testing.T) {
	t.Parallel()
	now := time.Now()
	state, _ := renew(t, certificate.State{}, names, now)
	pair, err := tls.X509KeyPair(state.Serving.Cert, state.Serving.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(state.Trusted)
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	server.StartTLS()
	t.Cleanup(server.Close)
	for name, want := range map[string]bool{names[0]: true, names[1]: true, "postrider-ca": false, "other.shop.svc": false} {
		dialer := &tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: name}}
		connection, err := dialer.DialContext(t.Context(), "tcp", server.Listener.Addr().String())
		if err == nil {
			_ = connection.Close()
		}
		if (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
