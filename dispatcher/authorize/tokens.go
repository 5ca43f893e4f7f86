package authorize

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
)

const (
	// maxToken bounds a token, in bytes: more than that receivers refuse.
	maxToken = 8 << 10
	// fetchTime is how long getting a token may take, however long those who wait
	// for it have: others may have longer.
	fetchTime = 10 * time.Second
	// maxFlights bounds the tokens that are being fetched, and maxFlightsEach those of
	// one provider, or of the ServiceAccounts of one namespace: after a start all
	// are wanted at once, and who is asked for too much gives nobody anything.
	maxFlights, maxFlightsEach = 1024, 16
	// failurePause is how long after a failure a provider is not asked again.
	failurePause = 5 * time.Second
	// refusalPause lies between two tokens that are fetched because a receiver
	// refused the one before: if it refuses each, that is not the token's fault.
	refusalPause = 10 * time.Second

	// How long a token is taken to live: as long as its provider says, within
	// bounds, or, where it does not say, for defaultLife.
	minLife, defaultLife, maxLife = 5 * time.Second, 5 * time.Minute, 24 * time.Hour
)

// renewAfter is when in its life a token is replaced by another: after four fifths.
func renewAfter(life time.Duration) time.Duration { return life / 5 * 4 }

// A fetch gets a token, and says how long it lives; 0 = the provider does not say.
type fetch func(context.Context) (token string, life time.Duration, err error)

// tokens are the credentials of a provider: one token, which is replaced while it
// is still good, by one fetch at a time for all who want it.
type tokens struct {
	prefix string
	fetch  fetch

	mu      sync.Mutex
	held    *token    // nil = none
	flight  *flight   // nil = none is under way
	failure error     // of the last flight, nil = it succeeded
	asks    time.Time // after a failure: from then on again
	doubted *Proof    // that a receiver refused, so that it wants another
	refused time.Time // when that was
}

type token struct {
	proof          *Proof
	renew, expires time.Time
}

// A flight is a fetch under way. Its result is set when done is closed.
type flight struct {
	done  chan struct{}
	proof *Proof
	err   error
}

func newTokens(prefix string, f fetch) *tokens {
	return &tokens{prefix: cmp.Or(prefix, "Bearer"), fetch: f}
}

// Prove implements [Live]. While a token is good nobody waits for the next one.
func (t *tokens) Prove(ctx context.Context, r Request) (*Proof, error) {
	proof, f, err := t.look(time.Now(), r.Refused)
	if f == nil {
		return proof, err
	}
	select {
	case <-f.done:
		return f.proof, f.err
	case <-ctx.Done():
		return nil, &Unavailable{Detail: "no token in time"}
	}
}

// look returns the token in hand, unless it is the one that was refused, the flight
// to wait for, or why there is neither.
func (t *tokens) look(now time.Time, refused *Proof) (*Proof, *flight, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held != nil && t.held.proof != refused && now.Before(t.held.expires) {
		if !now.Before(t.held.renew) && !now.Before(t.asks) {
			t.begin()
		}
		return t.held.proof, nil, nil
	}
	if t.flight == nil && now.Before(t.asks) {
		return nil, nil, t.failure
	}
	return nil, t.begin(), nil
}

// begin begins a flight, unless one is under way. It belongs to nobody, so that
// nobody who gives up ends it for the others.
func (t *tokens) begin() *flight {
	if t.flight != nil {
		return t.flight
	}
	f := &flight{done: make(chan struct{})}
	t.flight = f
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
		defer cancel()
		text, life, err := t.fetch(ctx)
		t.land(f, text, life, err)
	}()
	return f
}

// land ends a flight.
func (t *tokens) land(f *flight, text string, life time.Duration, err error) {
	if err == nil {
		err = checkToken(text)
	}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	defer close(f.done)
	t.flight = nil
	if err != nil {
		f.err = unavailable(err)
		t.failure, t.asks = f.err, now.Add(failurePause)
		return
	}
	life = min(max(cmp.Or(life, defaultLife), minLife), maxLife)
	f.proof = newProof(t.prefix+" "+text, text)
	t.failure, t.asks = nil, time.Time{}
	t.held = &token{proof: f.proof, renew: now.Add(renewAfter(life)), expires: now.Add(life)}
}

// unavailable is err as an [*Unavailable].
func unavailable(err error) error {
	if u, ok := errors.AsType[*Unavailable](err); ok {
		return u
	}
	return &Unavailable{Detail: "no token"}
}

func checkToken(text string) error {
	switch {
	case text == "" || strings.ContainsAny(text, " \t") || !httpguts.ValidHeaderFieldValue(text):
		return &Unavailable{Detail: "the token that was given cannot stand in a header"}
	case len(text) > maxToken:
		return &Unavailable{Detail: "the token that was given has more than 8 KiB"}
	}
	return nil
}

// Answered implements [Live]: a token that is refused is replaced, once. Until then
// it serves others: one receiver's word does not say that all refuse it.
func (t *tokens) Answered(p *Proof, status int, _ http.Header) (again bool) {
	if status != http.StatusUnauthorized {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held == nil || t.held.proof != p || t.doubted == p {
		return true // somebody else was refused before, and there is or will be another
	}
	now := time.Now()
	if !t.refused.IsZero() && now.Before(t.refused.Add(refusalPause)) {
		return false
	}
	t.doubted, t.refused = p, now
	return true
}
