// Package sign makes deliveries verifiable: it identifies, dates and signs them
// as Standard Webhooks 1.0.0 has it
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
package sign

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/postrider/postrider/dispatcher/route"
)

// The headers of a delivery, in the form in which net/http keeps them. Signer
// sets the first two for every delivery, signed or not.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

// A Signer signs deliveries with the keys of a route. The nil Signer has no
// key: it identifies and dates only. It is made once per route and safe for
// concurrent use.
type Signer struct {
	keys []Key
	// pool keeps *state. To start an HMAC anew is about half the work of
	// signing a small body, and its memory most of the garbage.
	pool sync.Pool
}

// A state is what one signature needs. It is keyed: it must not leave the
// Signer whose pool it is from.
type state struct {
	macs    []hash.Hash // one per key
	sum     [sha256.Size]byte
	scratch []byte // what is signed before the body, then the signatures
}

// New makes the Signer of a route. It is nil when s is nil, for a route that
// does not sign. Its errors never quote a key.
func New(s *route.Signing) (*Signer, error) {
	if s == nil {
		return nil, nil //nolint:nilnil // the nil Signer is a valid one
	}
	if len(s.Keys) == 0 {
		return nil, errors.New("signing needs at least one key")
	}
	signer := &Signer{}
	for i, secret := range s.Keys {
		b, err := route.SigningKey(secret)
		if err != nil {
			return nil, fmt.Errorf("signing key %d of %d: %w", i+1, len(s.Keys), err)
		}
		signer.keys = append(signer.keys, NewKey(b))
	}
	return signer, nil
}

// Sign sets webhook-id and webhook-timestamp on h and, unless s is nil,
// webhook-signature: "v1," and the base64 of the HMAC-SHA256 of
// "id.timestamp.body", once per key, newest first. The id must not contain a
// full stop; at is the time of the attempt, cut to seconds.
func (s *Signer) Sign(h http.Header, id string, at time.Time, body []byte) {
	timestamp, signature := s.Values(id, at, body)
	values := [...]string{id, timestamp, signature} // one allocation for the three
	h[HeaderID] = values[0:1:1]
	h[HeaderTimestamp] = values[1:2:2]
	if signature != "" {
		h[HeaderSignature] = values[2:3:3]
	}
}

// Values returns what [Signer.Sign] sets as webhook-timestamp and
// webhook-signature, for who keeps headers otherwise; the signature is empty
// when s is nil, and then there is no such header.
func (s *Signer) Values(id string, at time.Time, body []byte) (timestamp, signature string) {
	timestamp = strconv.FormatInt(at.Unix(), 10)
	if s == nil {
		return timestamp, ""
	}
	return timestamp, s.signature(id, timestamp, body)
}

func (s *Signer) signature(id, timestamp string, body []byte) string {
	st, ok := s.pool.Get().(*state)
	if !ok {
		st = s.newState()
	}
	defer s.pool.Put(st)

	b := append(st.scratch[:0], id...)
	b = append(b, '.')
	b = append(b, timestamp...)
	b = append(b, '.')
	head := len(b)
	for i, mac := range st.macs {
		mac.Reset()
		mac.Write(b[:head])
		mac.Write(body)
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(b, "v1,"...)
		b = base64.StdEncoding.AppendEncode(b, mac.Sum(st.sum[:0]))
	}
	st.scratch = b
	return string(b[head:])
}

func (s *Signer) newState() *state {
	st := &state{}
	for _, k := range s.keys {
		st.macs = append(st.macs, hmac.New(sha256.New, k.reveal()))
	}
	return st
}
