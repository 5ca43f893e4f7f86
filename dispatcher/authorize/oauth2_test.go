package authorize_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/postrider/postrider/dispatcher/authorize"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/secrecy"
)

const clientSecret = "client-s3cr3t/material"

// provider starts a server and makes the credentials of a grant whose client
// reaches it.
func provider(t *testing.T, serve http.HandlerFunc, change func(o *route.OAuth2, base string)) authorize.Live {
	t.Helper()
	s := httptest.NewServer(serve)
	t.Cleanup(s.Close)
	client := egress.New(egress.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	t.Cleanup(client.CloseIdle)
	o := &route.OAuth2{ClientID: "sender", ClientSecret: clientSecret}
	change(o, s.URL)
	l, err := authorize.NewKeeper(authorize.Options{Client: client.HTTP()}).Live(&route.Route{Authorization: &route.Authorization{OAuth2: o}})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func byAuthority(o *route.OAuth2, base string) { o.Authority = base + "/" }
func byTokenURL(o *route.OAuth2, base string)  { o.TokenURL = base + "/token" }

func says(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

func TestWhyThereIsNoTokenIsSaidWithoutTheProvidersWords(t *testing.T) {
	const words = "the provider echoes " + clientSecret
	redirect := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}
	long := `{"access_token":"` + strings.Repeat("a", 100<<10) + `"}`
	for name, tt := range map[string]struct {
		serve  http.HandlerFunc
		change func(*route.OAuth2, string)
		want   string
	}{
		"a refusal":                       {says(401, `{"error":"invalid_client","error_description":"`+words+`"}`), byTokenURL, "the token endpoint refused with invalid_client"},
		"a refusal in words of its own":   {says(400, `{"error":"`+words+`"}`), byTokenURL, "the token endpoint answered with status 400"},
		"an error page":                   {says(503, words), byTokenURL, "the token endpoint answered with status 503"},
		"no token in the answer":          {says(200, `{"words":"`+words+`"}`), byTokenURL, "the token endpoint did not answer with a token"},
		"no JSON":                         {says(200, words), byTokenURL, "the token endpoint did not answer with a token"},
		"an answer without end":           {says(200, long), byTokenURL, "the token endpoint did not answer with a token"},
		"a redirect":                      {redirect, byTokenURL, "the token endpoint answered with status 307"},
		"a redirect of discovery":         {redirect, byAuthority, "discovery: authorityURL/.well-known/openid-configuration answered with status 307"},
		"no description":                  {says(200, words), byAuthority, "discovery: the answer is not the JSON"},
		"a description without endpoint":  {says(200, `{"issuer":"x"}`), byAuthority, "discovery: the answer is not the JSON"},
		"a description without end":       {says(200, `{"issuer":"`+strings.Repeat("x", 100<<10)+`"}`), byAuthority, "discovery"},
		"a description of another issuer": {says(200, `{"issuer":"https://other.example","token_endpoint":"https://other.example/token"}`), byAuthority, "discovery: the issuer calls itself otherwise"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := provider(t, tt.serve, tt.change).Prove(t.Context(), authorize.Request{})
			u, ok := errors.AsType[*authorize.Unavailable](err)
			if !ok || !strings.HasPrefix(u.Detail, tt.want) {
				t.Errorf("the error is %v, want %s", err, tt.want)
			}
			secrecy.AssertNo(t, clientSecret, map[string]any{"the error": err})
		})
	}
}

func TestATokenIsAskedForAsTheItemSays(t *testing.T) {
	var found, asked atomic.Int64
	var form atomic.Pointer[string]
	var base string
	serve := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			found.Add(1)
			says(200, fmt.Sprintf(`{"issuer":%q,"token_endpoint":%q,"token_endpoint_auth_methods_supported":["client_secret_post"]}`, base, base+"/token?api=2"))(w, r)
			return
		}
		asked.Add(1)
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		form.Store(new(r.URL.RequestURI() + " " + r.PostForm.Encode()))
		says(200, `{"access_token":"t0ken","token_type":"bearer","expires_in":"3600"}`)(w, r)
	}
	l := provider(t, serve, func(o *route.OAuth2, url string) {
		base = url
		byAuthority(o, url)
		o.Scopes, o.Prefix = []string{"a", "b"}, "Token"
		o.Username, o.Password = "jörg", "p&w"
		o.Parameters = []route.Parameter{{Name: "audience", Value: "https://a.example/?b=1"}}
	})
	wantHeader(t, l, "Token t0ken")
	const want = "/token?api=2 audience=https%3A%2F%2Fa.example%2F%3Fb%3D1&client_id=sender&client_secret=client-s3cr3t%2Fmaterial" +
		"&grant_type=password&password=p%26w&scope=a+b&username=j%C3%B6rg"
	if got := *form.Load(); got != want {
		t.Errorf("the request is\n%s, want\n%s", got, want)
	}
	first := prove(t, l)
	l.Answered(first, http.StatusUnauthorized, nil)
	if _, err := l.Prove(t.Context(), authorize.Request{Refused: first}); err != nil {
		t.Error(err)
	}
	if found.Load() != 1 || asked.Load() != 2 {
		t.Errorf("for two tokens the endpoint was looked up %d times and asked %d times", found.Load(), asked.Load())
	}
}

func TestAnEndpointHasToBeBelowWhatIsTrusted(t *testing.T) {
	const authority = "https://login.example.com/tenant/v2.0"
	for endpoint, want := range map[string]bool{
		"https://login.example.com/tenant/v2.0/token":               true,
		"https://LOGIN.example.com:443/tenant/v2.0/token?a=1":       true,
		"https://login.example.com/tenant/v2.0":                     true,
		"https://login.example.com/tenant/v2.0.evil/token":          false,
		"https://login.example.com/tenant/v2.0/../../other/token":   false,
		"https://login.example.com/tenant/v2.0/%2e%2e/%2E%2e/token": false,
		"https://login.example.com/tenant/oauth2/token":             false,
		"https://login.example.com.evil.example/tenant/v2.0/token":  false,
		"https://login.example.com@evil.example/tenant/v2.0/token":  false,
		"https://user@login.example.com/tenant/v2.0/token":          false,
		"https://login.example.com:444/tenant/v2.0/token":           false,
		"http://login.example.com/tenant/v2.0/token":                false,
		"/tenant/v2.0/token":                                         false,
		"https://more.example/oidc/token":                            true,
		"https://more.example/oidc":                                  true,
		"https://more.example/":                                      false,
		"http://plain.example/token":                                 false, // although its base address is there
		"javascript:https://login.example.com/tenant/v2.0/token":     false,
		"https://login.example.com/tenant/v2.0/token#https://x.test": false,
	} {
		if got := authorize.IsBelowAny(endpoint, authority, []string{"https://more.example/oidc", "http://plain.example/"}); got != want {
			t.Errorf("%s may be used: %v", endpoint, got)
		}
	}
	if !authorize.IsBelowAny("http://localhost:8080/token", "http://localhost:8080", nil) {
		t.Error("an authority without TLS may have no endpoint without")
	}
}
