package authorize_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/dispatcher/authorize"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/secrecy"
)

// an apiServer makes tokens as it is told.
type apiServer struct {
	life time.Duration
	took time.Duration // for each
	err  error
	made atomic.Int64
}

func (s *apiServer) mint(ctx context.Context, namespace, name, _ string) (string, time.Duration, error) {
	n := s.made.Add(1)
	select {
	case <-time.After(s.took):
	case <-ctx.Done():
		return "", 0, ctx.Err()
	}
	if s.err != nil {
		return "", 0, s.err
	}
	return namespace + "." + name + "." + string(rune('a'+n-1)), s.life, nil
}

func (s *apiServer) live(tb testing.TB) authorize.Live {
	tb.Helper()
	l, err := authorize.NewKeeper(authorize.Options{Mint: s.mint}).Live(account("shop/a", "sender"))
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func account(id, name string) *route.Route {
	return &route.Route{ID: id, Authorization: &route.Authorization{
		ServiceAccountToken: &route.ServiceAccountToken{Name: name, Audience: "https://receiver.example/"},
	}}
}

// prove returns the header of a request.
func prove(tb testing.TB, l authorize.Live) *authorize.Proof {
	tb.Helper()
	p, err := l.Prove(tb.Context(), authorize.Request{})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func wantHeader(tb testing.TB, l authorize.Live, want string) {
	tb.Helper()
	if p := prove(tb, l); p.Header() != want {
		tb.Errorf("the header is %q, want %q", p.Header(), want)
	}
}

// pass makes time pass in a bubble, and lets what is due then happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestATokenIsReplacedBeforeItExpiresAndNobodyWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &apiServer{life: time.Hour, took: time.Second}
		l := s.live(t)
		wantHeader(t, l, "Bearer shop.sender.a")
		pass(48*time.Minute - time.Nanosecond)
		wantHeader(t, l, "Bearer shop.sender.a")
		if s.made.Load() != 1 {
			t.Fatal("it was replaced too early")
		}
		pass(time.Nanosecond)
		before := time.Now()
		wantHeader(t, l, "Bearer shop.sender.a")
		if time.Since(before) > 0 {
			t.Error("somebody waited, though the token was still good")
		}
		pass(time.Second)
		wantHeader(t, l, "Bearer shop.sender.b")
	})
}

func TestATokenServesUntilItExpiresWhileTheProviderIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &apiServer{life: time.Hour}
		l := s.live(t)
		prove(t, l)
		s.err = &authorize.Unavailable{Detail: "away"}
		pass(50 * time.Minute)
		for range 3 {
			wantHeader(t, l, "Bearer shop.sender.a")
			synctest.Wait()
		}
		if n := s.made.Load(); n != 2 {
			t.Errorf("a provider that is away was asked %d times at once, want 1", n-1)
		}
		pass(10 * time.Minute)
		_, err := l.Prove(t.Context(), authorize.Request{})
		if u, ok := errors.AsType[*authorize.Unavailable](err); !ok || u.Detail != "away" {
			t.Errorf("after its end the error is %v", err)
		}
		s.err = nil
		pass(5 * time.Second)
		prove(t, l)
	})
}

func TestOneFetchServesAllWhoWaitAndWhoGivesUpEndsItForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &apiServer{life: time.Hour, took: 5 * time.Second}
		l := s.live(t)
		var wg sync.WaitGroup
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := l.Prove(ctx, authorize.Request{}); err == nil || !strings.Contains(err.Error(), "no token in time") {
				t.Errorf("who gave up got %v", err)
			}
		})
		for range 50 {
			wg.Go(func() { wantHeader(t, l, "Bearer shop.sender.a") })
		}
		wg.Wait()
		if n := s.made.Load(); n != 1 {
			t.Errorf("%d tokens were fetched", n)
		}
	})
}

func TestAProviderThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &apiServer{took: time.Hour}
		l := s.live(t)
		before := time.Now()
		if _, err := l.Prove(t.Context(), authorize.Request{}); err == nil || time.Since(before) != 10*time.Second {
			t.Errorf("after %s the error is %v", time.Since(before), err)
		}
		// It is not asked again at once, however many want to.
		for range 100 {
			if _, err := l.Prove(t.Context(), authorize.Request{}); err == nil {
				t.Error("there is a token")
			}
		}
		if n := s.made.Load(); n != 1 {
			t.Errorf("it was asked %d times", n)
		}
	})
}

func TestARefusedTokenIsReplacedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &apiServer{life: time.Hour}
		l := s.live(t)
		first := prove(t, l)
		for range 10 { // attempts that were under way together
			if !l.Answered(first, http.StatusUnauthorized, nil) {
				t.Error("another try is not worth while")
			}
			if another, err := l.Prove(t.Context(), authorize.Request{Refused: first}); err != nil || another.Header() != "Bearer shop.sender.b" {
				t.Errorf("the other is %q, %v", another.Header(), err)
			}
		}
		second := prove(t, l)
		if l.Answered(second, http.StatusForbidden, nil) || l.Answered(second, http.StatusOK, nil) {
			t.Error("an answer that does not speak of the token costs one")
		}
		if l.Answered(second, http.StatusUnauthorized, nil) {
			t.Error("a receiver that refuses every token gets one after the other")
		}
		wantHeader(t, l, "Bearer shop.sender.b")
		pass(10 * time.Second)
		if !l.Answered(second, http.StatusUnauthorized, nil) {
			t.Error("a token that was revoked later is kept")
		}
		if another, err := l.Prove(t.Context(), authorize.Request{Refused: second}); err != nil || another.Header() != "Bearer shop.sender.c" {
			t.Errorf("the other is %q, %v", another.Header(), err)
		}
		wantHeader(t, l, "Bearer shop.sender.c")
	})
}

func TestAReceiverThatRefusesATokenTakesItFromNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &apiServer{life: time.Hour}
		l := s.live(t)
		first := prove(t, l)
		s.err, s.took = &authorize.Unavailable{Detail: "away"}, time.Second
		for range 2 { // the second time soon after
			if !l.Answered(first, http.StatusUnauthorized, nil) {
				t.Error("another try is not worth while")
			}
			if _, err := l.Prove(t.Context(), authorize.Request{Refused: first}); err == nil {
				t.Error("who was refused gets the same again")
			}
			before := time.Now()
			wantHeader(t, l, "Bearer shop.sender.a")
			if time.Since(before) > 0 {
				t.Error("somebody else waited, though the token is still good")
			}
		}
		if n := s.made.Load(); n != 2 {
			t.Errorf("a provider that is away was asked %d times, want 1", n-1)
		}
		s.err = nil
		pass(5 * time.Second)
		if another, err := l.Prove(t.Context(), authorize.Request{Refused: first}); err != nil || another.Header() != "Bearer shop.sender.c" {
			t.Errorf("the other is %q, %v", another.Header(), err)
		}
	})
}

func TestAProviderIsAskedForSoManyTokensAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &apiServer{life: time.Hour, took: time.Second}
		k := authorize.NewKeeper(authorize.Options{Mint: s.mint})
		many := func(namespace string, n int) {
			for i := range n {
				l, err := k.Live(account(namespace+"/a", fmt.Sprint("sender", i)))
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					if _, err := l.Prove(t.Context(), authorize.Request{}); err != nil {
						t.Error(err)
					}
				}()
			}
			synctest.Wait()
		}
		many("shop", 20)
		if n := s.made.Load(); n != 16 {
			t.Errorf("%d are asked for at once", n)
		}
		many("cms", 1)
		if n := s.made.Load(); n != 17 {
			t.Error("another namespace waits for it")
		}
		pass(3 * time.Second)
		if n := s.made.Load(); n != 21 {
			t.Errorf("%d of 21 were asked for", n)
		}
	})
}

func TestTheLifeOfATokenHasBounds(t *testing.T) {
	for name, tt := range map[string]struct{ says, lives time.Duration }{
		"nothing is said": {0, 5 * time.Minute},
		"no time at all":  {1, 5 * time.Second},
		"for ever":        {1 << 62, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &apiServer{life: tt.says}
				l := s.live(t)
				prove(t, l)
				pass(tt.lives/5*4 - time.Nanosecond)
				prove(t, l)
				synctest.Wait()
				if s.made.Load() != 1 {
					t.Error("it was replaced too early")
				}
				pass(time.Nanosecond)
				prove(t, l)
				synctest.Wait()
				if s.made.Load() != 2 {
					t.Error("it was not replaced")
				}
			})
		})
	}
}

func TestATokenThatCannotBeSentIsNotSent(t *testing.T) {
	const secret = "t0ken-material"
	for name, token := range map[string]string{
		"empty": "", "a line break": secret + "\r\nX-Admin: 1", "a blank": secret + " " + secret, "too long": strings.Repeat(secret, 1000),
	} {
		t.Run(name, func(t *testing.T) {
			mint := func(context.Context, string, string, string) (string, time.Duration, error) {
				return token, time.Hour, nil
			}
			l, err := authorize.NewKeeper(authorize.Options{Mint: mint}).Live(account("shop/a", "sender"))
			if err != nil {
				t.Fatal(err)
			}
			_, err = l.Prove(t.Context(), authorize.Request{})
			if err == nil {
				t.Fatal("it was given out")
			}
			secrecy.AssertNo(t, secret, map[string]any{"the error": err})
		})
	}
}

func TestTheKeeperSharesWhatIsTheSameAndForgetsWhatNobodyUses(t *testing.T) {
	s := &apiServer{life: time.Hour}
	k := authorize.NewKeeper(authorize.Options{Mint: s.mint, Client: http.DefaultClient}) //nolint:forbidigo // nothing is sent
	digest := func(id, url string) *route.Route {
		return &route.Route{ID: id, URL: url, Authorization: &route.Authorization{Digest: &route.Basic{Username: "u", Password: "p"}}}
	}
	grant := func(id, secret string) *route.Route {
		return &route.Route{ID: id, Authorization: &route.Authorization{OAuth2: &route.OAuth2{TokenURL: "https://a.example/", ClientID: "c", ClientSecret: route.Secret(secret)}}}
	}
	live := func(r *route.Route) authorize.Live {
		t.Helper()
		l, err := k.Live(r)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	for name, tt := range map[string]struct {
		a, b *route.Route
		same bool
	}{
		"one ServiceAccount, two routes":          {account("shop/a", "s"), account("shop/b", "s"), true},
		"one name in two namespaces":              {account("shop/a", "s"), account("blog/a", "s"), false},
		"two ServiceAccounts":                     {account("shop/a", "s"), account("shop/a", "t"), false},
		"one client":                              {grant("shop/a", "s"), grant("blog/a", "s"), true},
		"one client, two secrets":                 {grant("shop/a", "s"), grant("shop/b", "t"), false},
		"Digest at one host":                      {digest("shop/a", "https://a.example/1"), digest("shop/b", "https://a.example/2"), true},
		"Digest at two hosts":                     {digest("shop/a", "https://a.example/1"), digest("shop/b", "https://b.example/1"), false},
		"Digest at one host, with TLS or without": {digest("shop/a", "https://a.example/1"), digest("shop/b", "http://a.example/1"), false},
	} {
		if (live(tt.a) == live(tt.b)) != tt.same {
			t.Errorf("%s: shared is %v", name, !tt.same)
		}
	}

	r := account("shop/a", "s")
	kept := live(r)
	r.Events, r.URL, r.Timeout, r.Concurrency, r.Retry.MaxAge = []string{"*"}, "https://a.example/", time.Second, 1, time.Hour
	table, err := route.Build(route.Table{Routes: []route.Route{*r}})
	if err != nil {
		t.Fatal(err)
	}
	k.Retain(table)
	if k.Len() != 1 || live(r) != kept {
		t.Errorf("a new table left %d credentials, and not those that it uses", k.Len())
	}
}

func TestNothingShowsAProof(t *testing.T) {
	synctest.Test(t, nothingShowsAProof)
}

func nothingShowsAProof(t *testing.T) {
	t.Helper()
	const secret = "correct.horse.battery"
	mint := func(context.Context, string, string, string) (string, time.Duration, error) {
		return secret, time.Hour, nil
	}
	k := authorize.NewKeeper(authorize.Options{Mint: mint})
	l, err := k.Live(account("shop/a", "sender"))
	if err != nil {
		t.Fatal(err)
	}
	p := prove(t, l)
	synctest.Wait() // for what still holds the mutex, which is printed too
	if got := p.Secrets(); len(got) != 1 || got[0] != secret {
		t.Errorf("the secrets are %d", len(got))
	}
	secrecy.AssertNo(t, secret, map[string]any{"proof": p, "tokens": l, "keeper": k})
	digest, err := k.Live(&route.Route{Authorization: &route.Authorization{Digest: &route.Basic{Username: "u", Password: secret}}})
	if err != nil {
		t.Fatal(err)
	}
	grant, err := k.Live(&route.Route{Authorization: &route.Authorization{OAuth2: &route.OAuth2{TokenURL: "https://a.example/", ClientID: "c", ClientSecret: secret, Username: "u", Password: secret}}})
	if err != nil {
		t.Fatal(err)
	}
	secrecy.AssertNo(t, secret, map[string]any{"digest": digest, "grant": grant})
}
