package authorize_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/icholy/digest"

	"github.com/postrider/postrider/dispatcher/authorize"
	"github.com/postrider/postrider/dispatcher/route"
)

func digester(tb testing.TB, user string, password route.Secret) authorize.Live {
	tb.Helper()
	l, err := authorize.NewKeeper(authorize.Options{}).Live(&route.Route{
		URL: "https://www.example.org/dir/index.html", Authorization: &route.Authorization{Digest: &route.Basic{Username: user, Password: password}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func asks(challenges ...string) http.Header { return http.Header{"Www-Authenticate": challenges} }

// answer is how l answers a challenge with a POST.
func answer(tb testing.TB, l authorize.Live) *digest.Credentials {
	tb.Helper()
	p, err := l.Prove(tb.Context(), authorize.Request{Target: "/dir/index.html?a=1", Body: []byte("body")})
	if err != nil || p == nil {
		tb.Fatalf("there is no answer: %v", err)
	}
	c, err := digest.ParseCredentials(p.Header())
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func TestAChallengeIsAnsweredAndRememberedAndCounted(t *testing.T) {
	l := digester(t, "Mufasa", "Circle of Life")
	if p, err := l.Prove(t.Context(), authorize.Request{}); p != nil || err != nil {
		t.Fatalf("without a challenge there is %v, %v", p, err)
	}
	if !l.Answered(nil, http.StatusUnauthorized, asks(`Basic realm="x"`, `Digest realm="r", qop="auth, auth-int", algorithm=SHA-256, nonce="n1", opaque="o"`)) {
		t.Fatal("the challenge is not worth a try")
	}
	for n := range 3 {
		c := answer(t, l)
		want, err := digest.Digest(
			&digest.Challenge{Realm: "r", Nonce: "n1", Opaque: "o", Algorithm: "SHA-256", QOP: []string{"auth"}},
			digest.Options{Method: http.MethodPost, URI: "/dir/index.html?a=1", Count: n + 1, Cnonce: c.Cnonce, Username: "Mufasa", Password: "Circle of Life"})
		if err != nil {
			t.Fatal(err)
		}
		if c.String() != want.String() {
			t.Errorf("the answer is\n%s, want\n%s", c, want)
		}
	}
	again := `Digest realm="r", qop="auth", algorithm=SHA-256, nonce="n1", opaque="o"` // to somebody else at the same time
	if !l.Answered(nil, http.StatusUnauthorized, asks(again)) || answer(t, l).Nc != 4 {
		t.Error("a nonce that comes once more does not count on")
	}
	if !l.Answered(nil, http.StatusUnauthorized, asks(`Digest realm="r", nonce="n2", stale=true`)) {
		t.Error("an old nonce is not worth another try")
	}
	if c := answer(t, l); c.Nonce != "n2" || c.QOP != "" {
		t.Errorf("the answer is %s", c)
	}
	if l.Answered(nil, http.StatusOK, http.Header{"Authentication-Info": {`qop=auth, nextnonce="n3"`}}) {
		t.Error("a delivery that was taken is sent again")
	}
	if c := answer(t, l); c.Nonce != "n3" || c.Realm != "r" {
		t.Errorf("the answer is %s, want the nonce that was announced", c)
	}
}

func TestWhatIsNoChallengeEndsTheAttempt(t *testing.T) {
	for name, h := range map[string]http.Header{
		"none":                     {},
		"of another scheme":        asks(`Bearer realm="x"`),
		"of an unknown algorithm":  asks(`Digest realm="r", nonce="n", algorithm=SHA-3`),
		"without a nonce":          asks(`Digest realm="r"`),
		"that cannot be read":      asks(`Digest realm="r`),
		"of an unknown protection": asks(`Digest realm="r", nonce="n", qop="other"`),
		"without an end":           asks(`Digest realm="r", nonce="` + strings.Repeat("n", 5000) + `"`),
	} {
		if digester(t, "u", "p").Answered(nil, http.StatusUnauthorized, h) {
			t.Errorf("a challenge %s is worth a try", name)
		}
	}
}

func FuzzAnyChallengeIsAnsweredOrRefused(f *testing.F) {
	f.Add(`Digest realm="r", nonce="n", qop="auth-int", algorithm=MD5`, "qop=auth, nextnonce=\"x\"")
	f.Add("Digest realm=\"r\\\"\", nonce=\"\x01\", userhash=true", "")
	f.Fuzz(func(t *testing.T, challenge, info string) {
		l := digester(t, "jörg\\x", "p")
		if !l.Answered(nil, http.StatusUnauthorized, asks(challenge)) {
			return
		}
		l.Answered(nil, http.StatusOK, http.Header{"Authentication-Info": {info}})
		p, err := l.Prove(t.Context(), authorize.Request{Target: "/"})
		if err == nil && strings.ContainsAny(p.Header(), "\r\n\x00") {
			t.Errorf("the header is %q", p.Header())
		}
	})
}
