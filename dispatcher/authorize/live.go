package authorize

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/dispatcher/share"
)

// Live are credentials that change with time or from request to request. They
// are safe for concurrent use.
type Live interface {
	// Prove returns what one request is to show, nil for nothing: a receiver of
	// Digest has to ask first. ctx bounds what it takes to get it. After an error,
	// which is an [*Unavailable], nothing must be sent.
	Prove(ctx context.Context, r Request) (*Proof, error)
	// Answered takes note of the answer to a request that showed p, and reports
	// whether it is worth while to send the same request once more, with another
	// proof. Ask so once in an attempt.
	Answered(p *Proof, status int, header http.Header) (again bool)
}

// A Request is what of a POST a proof may cover.
type Request struct {
	Target  string // of the request line: path and query
	Body    []byte
	Refused *Proof // with which it was sent before, nil = it was not: another is wanted
}

// A Proof is the Authorization header of one request. It keeps it in the
// variables of a function, from where neither fmt nor slog nor JSON can take it.
type Proof struct {
	reveal func() (header string, secrets []string)
}

func newProof(header string, secrets ...string) *Proof {
	return &Proof{func() (string, []string) { return header, secrets }}
}

// Header is the value of the Authorization header.
func (p *Proof) Header() string { h, _ := p.reveal(); return h }

// Secrets are the parts of it that nobody else may see.
func (p *Proof) Secrets() []string { _, s := p.reveal(); return s }

// Unavailable says that there is no proof to send.
type Unavailable struct {
	// Detail is a fixed phrase that says why, without text from outside.
	Detail string
	// Cause is set when it was the way to a provider: what the client said. It
	// may quote an address.
	Cause error
}

func (u *Unavailable) Error() string {
	if u.Cause != nil {
		return fmt.Sprintf("%s: %v", u.Detail, u.Cause)
	}
	return u.Detail
}

func (u *Unavailable) Unwrap() error { return u.Cause }

// Mint makes a token of a ServiceAccount for one audience, and says how long it
// lives. Its errors are *Unavailable, or are told as one without details.
type Mint func(ctx context.Context, namespace, name, audience string) (token string, life time.Duration, err error)

// Options of a [Keeper].
type Options struct {
	// Client reaches providers of tokens. It must judge where it dials, follow no
	// redirects, and bound what it reads.
	Client *http.Client
	// Mint asks the API server; nil = there is none.
	Mint Mint
}

// A Keeper keeps Live credentials: what was had of a provider serves all routes
// with the same credentials, and the next table too. The nil Keeper has none.
type Keeper struct {
	opts    Options
	flights *share.Pool // fetches under way, of providers

	mu   sync.Mutex
	live map[key]Live
}

// NewKeeper makes a Keeper.
func NewKeeper(o Options) *Keeper {
	return &Keeper{opts: o, flights: share.New(maxFlights, maxFlightsEach), live: map[key]Live{}}
}

// Changes reports whether the credentials are Live.
func Changes(a *route.Authorization) bool {
	return a != nil && (a.Digest != nil || a.OAuth2 != nil || a.ServiceAccountToken != nil)
}

// Live returns the credentials of r, which change.
func (k *Keeper) Live(r *route.Route) (Live, error) {
	if k == nil || !Changes(r.Authorization) {
		return nil, errors.New("there are no credentials here that change")
	}
	if err := r.Authorization.Check(); err != nil {
		return nil, err
	}
	id, err := keyOf(r)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.live[id]
	if l == nil {
		l = k.make(r)
		k.live[id] = l
	}
	return l, nil
}

func (k *Keeper) make(r *route.Route) Live {
	switch a := r.Authorization; {
	case a.Digest != nil:
		return newDigest(a.Digest)
	case a.OAuth2 != nil:
		g := newGrant(a.OAuth2, k.opts.Client)
		return newTokens(a.OAuth2.Prefix, k.inTurn(hostOf(cmp.Or(a.OAuth2.TokenURL, a.OAuth2.Authority)), g.fetch))
	default:
		namespace, _, _ := strings.Cut(r.ID, "/")
		return newTokens("", k.inTurn("namespace/"+namespace, minted(k.opts.Mint, namespace, *a.ServiceAccountToken)))
	}
}

// inTurn has f wait until not too many others are at the same provider.
func (k *Keeper) inTurn(provider string, f fetch) fetch {
	return func(ctx context.Context) (string, time.Duration, error) {
		turn, err := k.flights.Wait(ctx, provider, 1)
		if err != nil {
			return "", 0, &Unavailable{Detail: "too many tokens are asked for at once"}
		}
		defer turn.Release()
		return f(ctx)
	}
}

// hostOf is the host of a URL with its port, if it has one.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "" // which no request gets to
	}
	return strings.ToLower(u.Host)
}

// Retain forgets what no route of r uses.
func (k *Keeper) Retain(r *route.Router) {
	if k == nil {
		return
	}
	used := map[key]bool{}
	for _, e := range r.Entries() {
		if Changes(e.Authorization) {
			if id, err := keyOf(&e.Route); err == nil {
				used[id] = true
			}
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for id := range k.live {
		if !used[id] {
			delete(k.live, id)
		}
	}
}

// Len is how many different credentials are kept.
func (k *Keeper) Len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.live)
}

// A key identifies credentials by their content and where they count. It is a
// hash, so that no secret is kept in one more place.
type key [sha256.Size]byte

// keyOf makes the key. A ServiceAccount is one of its namespace, a challenge of
// Digest one of its host; a provider gives whoever has the credentials a token,
// so that may be anybody's who has them.
func keyOf(r *route.Route) (key, error) {
	var where string
	switch a := r.Authorization; {
	case a.ServiceAccountToken != nil:
		where, _, _ = strings.Cut(r.ID, "/")
	case a.Digest != nil:
		u, err := url.Parse(r.URL)
		if err != nil {
			return key{}, errors.New("the URL cannot be parsed") // the cause would quote it
		}
		where = u.Scheme + "://" + u.Host
	}
	text, err := json.Marshal(struct {
		Where string
		Of    *route.Authorization
	}{where, r.Authorization})
	if err != nil {
		return key{}, errors.New("the authorization cannot be encoded")
	}
	return sha256.Sum256(text), nil
}
