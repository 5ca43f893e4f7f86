package authorize

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/icholy/digest"
	"golang.org/x/net/http/httpguts"

	"github.com/postrider/postrider/dispatcher/route"
)

// maxChallenge bounds what is kept of a challenge, in bytes: all of it comes back
// in the header of each request.
const maxChallenge = 4 << 10

// A digester answers the challenges of one host (RFC 7616). It remembers the last
// one, so that only the first request is sent twice.
type digester struct {
	answer func(*digest.Challenge, digest.Options) (*digest.Credentials, error) // with user and password

	mu        sync.Mutex
	challenge *digest.Challenge // never changed; nil before the first
	count     int               // requests that used it
}

func newDigest(b *route.Basic) *digester {
	user, password := b.Username, b.Password.Reveal()
	return &digester{answer: func(c *digest.Challenge, o digest.Options) (*digest.Credentials, error) {
		o.Username, o.Password = user, password
		return digest.Digest(c, o)
	}}
}

// next takes the challenge for one more request.
func (d *digester) next() (*digest.Challenge, int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count++
	return d.challenge, d.count
}

// Prove implements [Live].
func (d *digester) Prove(_ context.Context, r Request) (*Proof, error) {
	challenge, count := d.next()
	if challenge == nil {
		return nil, nil // the receiver has to ask first
	}
	c, err := d.answer(challenge, digest.Options{
		Method: http.MethodPost, URI: r.Target, Count: count,
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(r.Body)), nil },
	})
	if err != nil {
		return nil, &Unavailable{Detail: "the receiver's Digest challenge cannot be answered"}
	}
	header := c.String()
	if !httpguts.ValidHeaderFieldValue(header) {
		return nil, &Unavailable{Detail: "the answer to the receiver's Digest challenge cannot stand in a header"}
	}
	return newProof(header, c.Response), nil
}

// Answered implements [Live]. A challenge is worth a try, also one that comes
// after an answer to another: that may have grown old.
func (d *digester) Answered(_ *Proof, status int, header http.Header) (again bool) {
	if status == http.StatusUnauthorized {
		c := challengeOf(header)
		d.renew(c)
		return c != nil
	}
	if next := nextNonce(header); next != "" {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.challenge != nil {
			c := *d.challenge
			c.Nonce = next
			d.challenge, d.count = &c, 0
		}
	}
	return false
}

// renew takes another challenge. One nonce counts on, however often it comes: a
// count that was there before is taken for a replay.
func (d *digester) renew(c *digest.Challenge) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c == nil || d.challenge == nil || c.Nonce != d.challenge.Nonce {
		d.count = 0
	}
	d.challenge = c
}

// challengeOf returns the first challenge that can be answered, nil when there is
// none.
func challengeOf(header http.Header) *digest.Challenge {
	for _, value := range header.Values("WWW-Authenticate") {
		if len(value) > maxChallenge || !digest.IsDigest(value) {
			continue
		}
		c, err := digest.ParseChallenge(value)
		if err != nil || c.Nonce == "" {
			continue
		}
		for i, qop := range c.QOP {
			c.QOP[i] = strings.ToLower(strings.TrimSpace(qop)) // as lists are written, which the library does not expect
		}
		if digest.CanDigest(c) {
			return c
		}
	}
	return nil
}

// nextNonce is what the next request is to use (RFC 7616, section 3.5), empty
// when the receiver does not say.
func nextNonce(header http.Header) string {
	value := header.Get("Authentication-Info")
	if value == "" || len(value) > maxChallenge || !strings.Contains(value, "nextnonce") {
		return ""
	}
	// It is written like a challenge, where the parameter has another name.
	c, err := digest.ParseChallenge(digest.Prefix + strings.Replace(value, "nextnonce", "nonce", 1))
	if err != nil {
		return ""
	}
	return c.Nonce
}
