package access_test

import (
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/postrider/postrider/dispatcher/access"
)

// token makes a JWT of a payload, with a signature of nobody's.
func token(payload string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256"}`)) + "." + encode([]byte(payload)) + "." + encode([]byte("signed"))
}

func TestOnlyWhatMayBeATokenForUsIsWorthAReview(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	good := token(`{"aud":["postrider"]}`)
	for _, tt := range []struct {
		name, token string
		want        bool
	}{
		{"our audience", good, true},
		{"our audience among others", token(`{"aud":["a","postrider"],"exp":1800000001}`), true},
		{"our audience as a string", token(`{"aud":"postrider"}`), true},
		{"expired within the skew of clocks", token(`{"aud":["postrider"],"exp":1799999970.5}`), true},
		{"expired", token(`{"aud":["postrider"],"exp":1799999900}`), false},
		{"expired in 1970", token(`{"aud":["postrider"],"exp":0}`), false},
		{"an expiry that is none", token(`{"aud":["postrider"],"exp":"never"}`), false},
		{"another audience", token(`{"aud":["postrider2"]}`), false},
		{"no audience", token(`{}`), false},
		{"null as audience", token(`{"aud":null}`), false},
		{"a number as audience", token(`{"aud":1}`), false},
		{"a payload that is no object", token(`"postrider"`), false},
		{"a payload that is no JSON", token(`postrider`), false},
		{"a word", "postrider", false},
		{"nothing", "", false},
		{"two parts", good[:strings.LastIndexByte(good, '.')], false},
		{"four parts", good + ".a", false},
		{"no signature", good[:strings.LastIndexByte(good, '.')+1], false},
		{"a part that is not base64url", good + "!", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := access.Plausible(tt.token, "postrider", now); got != tt.want {
				t.Errorf("it is %t, want %t", got, tt.want)
			}
		})
	}
}

func TestWhatCannotBeATokenIsRefusedWithoutAReview(t *testing.T) {
	var asked atomic.Int64
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
	}))
	t.Cleanup(api.Close)
	authority, err := access.NewKubernetes(access.KubernetesOptions{Config: &rest.Config{Host: api.URL}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	decision, err := authority.Decide(t.Context(), "garbage", createEvents(nil))
	if err != nil || decision.Verdict != access.Unauthenticated || !strings.Contains(decision.Remedy, "--audience=postrider") {
		t.Errorf("decided %+v and %v", decision, err)
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("asked %d times", n)
	}
	if _, err := authority.Decide(t.Context(), token(`{"aud":["postrider"]}`), createEvents(nil)); err == nil || asked.Load() == 0 {
		t.Errorf("what may be a token was not asked about: %v", err)
	}
}

func FuzzPlausible(f *testing.F) {
	f.Add(token(`{"aud":["postrider"],"exp":1800000001}`))
	f.Add(token(`{"aud":"postrider","exp":1e400}`))
	f.Add("..")
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		if access.Plausible(token, "postrider", time.Unix(0, 0)) && strings.Count(token, ".") != 2 {
			t.Errorf("%q is plausible", token)
		}
	})
}

// What every call costs before anything is looked up.
func BenchmarkPlausible(b *testing.B) {
	long := token(`{"aud":["postrider"],"exp":1800000001,"kubernetes.io":{"pod":"` + strings.Repeat("a", 500) + `"}}`)
	b.ReportAllocs()
	for b.Loop() {
		if !access.Plausible(long, "postrider", time.Unix(0, 0)) {
			b.Fatal("it is refused")
		}
	}
}
