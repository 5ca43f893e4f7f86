package authservers_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/authservers"
	"github.com/postrider/postrider/test/process"
)

func TestMain(m *testing.M) {
	code := process.Main(m)
	authservers.Remove()
	os.Exit(code)
}

func hook(name, url string, a route.Authorization) route.Route {
	return route.Route{
		ID: "shop/" + name, Generation: 1, Events: []string{"*"}, URL: url, Authorization: &a,
		Timeout: 20 * time.Second, Concurrency: 4, Retry: route.Retry{MaxAge: time.Hour}, KeepResponses: true,
	}
}

func dispatcher(t *testing.T, routes ...route.Route) *process.Dispatcher {
	t.Helper()
	d := process.New(t, process.Options{Routes: routes})
	start(t, d)
	return d
}

// start returns when the routes are in force: then what is not among them is not found.
func start(t *testing.T, d *process.Dispatcher) {
	t.Helper()
	d.Start(t)
	eventually.True(t, "the routes", func() bool {
		status, _ := try(t, d, "nothing")
		return status == http.StatusNotFound
	})
}

// An attempt is what a test delivery tells.
type attempt struct {
	Reason   outcome.Reason `json:"reason"`
	Detail   string         `json:"detail"`
	Response *struct {
		Status int    `json:"status"`
		Body   string `json:"body"`
	} `json:"response"`
	Request struct {
		Header http.Header `json:"header"`
	} `json:"request"`
}

// send makes a test delivery.
func send(t *testing.T, d *process.Dispatcher, name string) attempt {
	t.Helper()
	status, text := try(t, d, name)
	var answer struct {
		Attempt attempt `json:"attempt"`
	}
	if err := json.Unmarshal(text, &answer); status != http.StatusOK || err != nil {
		t.Fatalf("the test of %s is answered with %d: %v\n%s", name, status, err, text)
	}
	return answer.Attempt
}

func try(t *testing.T, d *process.Dispatcher, name string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.Events()+"/v1/namespaces/shop/webhooks/"+name+"/test", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+process.ProducerToken)
	resp, err := (&http.Client{Timeout: time.Minute}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, text
}

func wants(t *testing.T, d *process.Dispatcher, name string, reason outcome.Reason, detail string) {
	t.Helper()
	if a := send(t, d, name); a.Reason != reason || a.Detail != detail {
		t.Errorf("%s ends as %s (%s), want %s (%s)", name, a.Reason, a.Detail, reason, detail)
	}
}

func TestApacheTakesWhatProvesTheSender(t *testing.T) {
	ca, strangers := authservers.NewAuthority(t), authservers.NewAuthority(t)
	trusted := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(trusted, []byte(ca.PEM), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", trusted) // for the dispatcher, which inherits it
	apache := authservers.StartApache(t, authservers.User, authservers.Password, ca)
	login := &route.Basic{Username: authservers.User, Password: authservers.Password}
	wrong := &route.Basic{Username: authservers.User, Password: "wrong"}
	shows := func(p authservers.Pair) route.Authorization {
		return route.Authorization{ClientCertificate: &route.ClientCertificate{Chain: p.Chain, Key: route.Secret(p.Key)}}
	}
	d := dispatcher(t,
		hook("basic", apache.HTTP+"/basic", route.Authorization{Basic: login}),
		hook("digest", apache.HTTP+"/digest", route.Authorization{Digest: login}),
		hook("digest-again", apache.HTTP+"/digest", route.Authorization{Digest: login}),
		hook("wrong", apache.HTTP+"/digest", route.Authorization{Digest: wrong}),
		hook("short", apache.HTTP+"/short", route.Authorization{Digest: login}),
		hook("shop", apache.HTTPS+"/certificate", shows(ca.Issue(t, "shop"))),
		hook("other", apache.HTTPS+"/certificate", shows(ca.Issue(t, "other"))),
		hook("stranger", apache.HTTPS+"/certificate", shows(strangers.Issue(t, "stranger"))),
		hook("nobody", apache.HTTPS+"/certificate", route.Authorization{Basic: login}),
	)
	for range 2 {
		wants(t, d, "basic", outcome.Delivered, "")
	}
	for range 2 {
		wants(t, d, "digest", outcome.Delivered, "")
	}
	wants(t, d, "digest-again", outcome.Delivered, "")
	wants(t, d, "wrong", outcome.Rejected, "")
	for range 2 {
		wants(t, d, "shop", outcome.Delivered, "")
		wants(t, d, "other", outcome.Delivered, "")
	}
	for _, name := range []string{"stranger", "nobody"} {
		// TLS 1.3 refuses after the handshake, so the connection may break before the word of it comes.
		if a := send(t, d, name); a.Reason != outcome.TLSFailed && a.Reason != outcome.ConnectFailed {
			t.Errorf("%s ends as %s (%s)", name, a.Reason, a.Detail)
		}
	}
	user := apacheEscaped(authservers.User)
	want := []string{
		"/basic 200 " + user + " -", "/basic 200 " + user + " -",
		"/digest 401 - -", "/digest 200 " + user + " -", // it asks first,
		"/digest 200 " + user + " -", "/digest 200 " + user + " -", // and once for all routes with the same credentials
		"/digest 401 - -", "/digest 401 " + user + " -",
		"/certificate 200 - shop", "/certificate 200 - other", "/certificate 200 - shop", "/certificate 200 - other",
	}
	got := logged(t, apache, len(want))
	slices.Sort(want) // it writes a line after the answer, each of its threads when it comes to it
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Apache was asked for (-want +got)\n%s", diff)
	}

	// A nonce that lives a second: the answers announce the next one, and after a
	// pause the receiver asks again.
	before := len(got)
	for range 3 {
		wants(t, d, "short", outcome.Delivered, "")
	}
	paused := time.Now()
	eventually.True(t, "the nonce to grow old", func() bool { return time.Since(paused) > 3*time.Second })
	announced := logged(t, apache, before+3)[before:]
	wants(t, d, "short", outcome.Delivered, "")
	asked := logged(t, apache, before+len(announced)+2)[before+len(announced):]
	taken := func(line string) bool { return line == "/short 200 "+user+" -" }
	if !taken(announced[len(announced)-1]) || len(asked) != 2 || !slices.ContainsFunc(asked, taken) || taken(asked[0]) && taken(asked[1]) {
		t.Errorf("Apache was asked for %q, and after the pause for %q", announced, asked)
	}
	if strings.Contains(d.Log(t), authservers.Password) {
		t.Error("the log holds the password")
	}
}

// logged waits until Apache has logged so many requests.
func logged(t *testing.T, apache *authservers.Apache, n int) (lines []string) {
	t.Helper()
	eventually.True(t, "the log of Apache", func() bool { lines = apache.Log(t); return len(lines) >= n })
	return lines
}

// apacheEscaped is how Apache writes what is not ASCII.
func apacheEscaped(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if s[i] < 0x80 {
			b.WriteByte(s[i])
		} else {
			b.WriteString(`\x` + strings.ToLower(string("0123456789abcdef"[s[i]>>4])+string("0123456789abcdef"[s[i]&15])))
		}
	}
	return b.String()
}

// A receiver lets in whoever has an active token of the provider.
type receiver struct {
	*httptest.Server
	provider *authservers.Provider

	mu     sync.Mutex
	tokens []string // that came, in order
	last   authservers.Introspection
}

func receive(t *testing.T, p *authservers.Provider, prefix string) *receiver {
	t.Helper()
	r := &receiver{provider: p}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		token, ok := strings.CutPrefix(req.Header.Get("Authorization"), prefix+" ")
		r.mu.Lock()
		defer r.mu.Unlock()
		r.tokens = append(r.tokens, token)
		r.last = p.Introspect(t, token)
		if !ok || !r.last.Active {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = io.WriteString(w, "you sent "+req.Header.Get("Authorization")) // to nobody, if the connection is gone
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) came() ([]string, authservers.Introspection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.tokens...), r.last
}

func client(change func(*route.OAuth2)) route.Authorization {
	o := &route.OAuth2{ClientID: authservers.Client, ClientSecret: authservers.ClientSecret}
	change(o)
	return route.Authorization{OAuth2: o}
}

func TestTokensOfARealProviderAreTakenAndRenewed(t *testing.T) {
	p := authservers.StartProvider(t)
	rc := receive(t, p, "Bearer")
	authority := func(o *route.OAuth2) { o.Authority, o.Scopes = p.URL, []string{"hooks", "items"} }
	d := dispatcher(t,
		hook("first", rc.URL, client(authority)), hook("second", rc.URL, client(authority)),
		hook("audience", rc.URL, client(func(o *route.OAuth2) {
			o.TokenURL, o.Parameters = p.URL+"/oauth2/token", []route.Parameter{{Name: "audience", Value: authservers.Audience}}
		})),
		hook("password", rc.URL, client(func(o *route.OAuth2) {
			o.Authority, o.Username, o.Password = p.URL, authservers.User, authservers.Password
		})),
		hook("wrong-secret", rc.URL, client(func(o *route.OAuth2) { o.Authority, o.ClientSecret = p.URL, "wrong" })),
		hook("wrong-password", rc.URL, client(func(o *route.OAuth2) {
			o.Authority, o.Username, o.Password = p.URL, authservers.User, "wrong"
		})),
		hook("wrong-scope", rc.URL, client(func(o *route.OAuth2) { o.Authority, o.Scopes = p.URL, []string{"everything"} })),
	)
	for _, name := range []string{"first", "second", "first"} {
		wants(t, d, name, outcome.Delivered, "")
	}
	tokens, last := rc.came()
	if n := p.Grants(t); n != 1 || tokens[0] != tokens[2] || last.Client != authservers.Client || last.Scope != "hooks items" {
		t.Errorf("routes with the same credentials took %d tokens, the last of which is %+v", n, last)
	}

	p.Revoke(t, tokens[0])
	a := send(t, d, "second")
	tokens, _ = rc.came()
	if a.Reason != outcome.Delivered || p.Grants(t) != 2 || len(tokens) != 5 || tokens[3] != tokens[0] || tokens[4] == tokens[0] {
		t.Errorf("after a revocation it ends as %s with %d tokens in all, sent in %d requests", a.Reason, p.Grants(t), len(tokens))
	}
	wants(t, d, "first", outcome.Delivered, "")
	if p.Grants(t) != 2 {
		t.Error("the renewed token serves one route alone")
	}
	for _, token := range tokens {
		if strings.Contains(a.Response.Body, token) || strings.Contains(d.Log(t), token) {
			t.Error("the attempt log or the log shows a token")
		}
	}
	if a.Response.Body != "you sent Bearer [redacted]" || a.Request.Header.Get("Authorization") != "[redacted]" {
		t.Errorf("the attempt log has %q, and of the request %q", a.Response.Body, a.Request.Header)
	}

	wants(t, d, "audience", outcome.Delivered, "")
	if _, last := rc.came(); !cmp.Equal(last.Audience, []string{authservers.Audience}) {
		t.Errorf("the token is for %q", last.Audience)
	}
	wants(t, d, "password", outcome.Delivered, "")
	if _, last := rc.came(); last.Username != authservers.User {
		t.Errorf("the token is that of %q", last.Username)
	}
	wants(t, d, "wrong-secret", outcome.TokenUnavailable, "the token endpoint refused with invalid_client")
	wants(t, d, "wrong-password", outcome.TokenUnavailable, "the token endpoint refused with invalid_grant")
	wants(t, d, "wrong-scope", outcome.TokenUnavailable, "the token endpoint refused with invalid_scope")

	p.Stop()
	d.Kill(t) // with the tokens that it has
	start(t, d)
	wants(t, d, "first", outcome.TokenUnavailable, "discovery: connection refused")
	wants(t, d, "audience", outcome.TokenUnavailable, "the token endpoint: connection refused")
}

func TestATokenThatExpiresIsReplaced(t *testing.T) {
	p := authservers.StartProvider(t, "-life", "6s")
	rc := receive(t, p, "Bearer")
	d := dispatcher(t, hook("a", rc.URL, client(func(o *route.OAuth2) { o.Authority = p.URL })))
	eventually.True(t, "a third token", func() bool {
		if wants(t, d, "a", outcome.Delivered, ""); t.Failed() {
			t.FailNow()
		}
		return p.Grants(t) > 2
	})
	tokens, _ := rc.came()
	different := map[string]bool{}
	for _, token := range tokens {
		different[token] = true
	}
	if len(different) < 2 {
		t.Errorf("%d requests carry %d different tokens", len(tokens), len(different))
	}
}

func TestWhatDiscoveryNamesIsBelievedWithinBounds(t *testing.T) {
	const elsewhere = "http://169.254.169.254/token"
	stranger := authservers.StartProvider(t)
	misled := authservers.StartProvider(t, "-token-endpoint", stranger.URL+"/oauth2/token")
	metadata := authservers.StartProvider(t, "-token-endpoint", elsewhere)
	azure := authservers.StartProvider(t, "-issuer", "/tenant/v2.0", "-token-path", "/tenant/oauth2/v2.0/token")
	rc := receive(t, azure, "Token")
	of := func(authority string, bases ...string) route.Authorization {
		return client(func(o *route.OAuth2) { o.Authority, o.BaseAddresses, o.Prefix = authority, bases, "Token" })
	}
	d := dispatcher(t,
		hook("foreign", rc.URL, of(misled.URL)),
		hook("metadata", rc.URL, of(metadata.URL, "http://169.254.169.254")),
		hook("metadata-url", rc.URL, client(func(o *route.OAuth2) { o.TokenURL = elsewhere })),
		hook("metadata-authority", rc.URL, of("http://169.254.169.254")),
		hook("other-issuer", rc.URL, of(strings.Replace(azure.URL, "127.0.0.1", "localhost", 1)+"/tenant/v2.0")),
		hook("no-issuer", rc.URL, of(azure.URL)),
		hook("outside", rc.URL, of(azure.URL+"/tenant/v2.0")),
		hook("beside", rc.URL, of(azure.URL+"/tenant/v2.0", azure.URL+"/ten")),
		hook("azure", rc.URL, of(azure.URL+"/tenant/v2.0", azure.URL+"/tenant/")),
	)
	const outside = "discovery: the token endpoint is neither below authorityURL nor below additionalEndpointBaseAddresses; add its address there if you trust it"
	wants(t, d, "foreign", outcome.TokenUnavailable, outside)
	wants(t, d, "outside", outcome.TokenUnavailable, outside)
	wants(t, d, "beside", outcome.TokenUnavailable, outside)
	wants(t, d, "metadata", outcome.TokenUnavailable, "the token endpoint: link-local or metadata address")
	wants(t, d, "metadata-url", outcome.TokenUnavailable, "the token endpoint: link-local or metadata address")
	wants(t, d, "metadata-authority", outcome.TokenUnavailable, "discovery: link-local or metadata address")
	wants(t, d, "other-issuer", outcome.TokenUnavailable, "discovery: the issuer calls itself otherwise than authorityURL; write it as the issuer does, or use tokenURL")
	wants(t, d, "no-issuer", outcome.TokenUnavailable, "discovery: authorityURL/.well-known/openid-configuration answered with status 404")
	wants(t, d, "azure", outcome.Delivered, "")
	if stranger.Grants(t) != 0 {
		t.Error("the secret went to a stranger")
	}
}

func TestWithoutAnAPIServerThereAreNoTokensOfServiceAccounts(t *testing.T) {
	d := dispatcher(t, hook("a", "http://127.0.0.1:9/", route.Authorization{
		ServiceAccountToken: &route.ServiceAccountToken{Name: "sender", Audience: "https://receiver.example/"},
	}))
	wants(t, d, "a", outcome.TokenUnavailable, "this dispatcher runs without an API server, which would make the token")
}

func TestTheGuardStandsBeforeProvidersToo(t *testing.T) {
	p := authservers.StartProvider(t)
	d := process.New(t, process.Options{Guarded: true, Routes: []route.Route{
		hook("authority", "https://receiver.example/", client(func(o *route.OAuth2) { o.Authority = p.URL })),
		hook("token-url", "https://receiver.example/", client(func(o *route.OAuth2) { o.TokenURL = p.URL + "/oauth2/token" })),
	}})
	start(t, d)
	wants(t, d, "authority", outcome.TokenUnavailable, "discovery: loopback address")
	wants(t, d, "token-url", outcome.TokenUnavailable, "the token endpoint: loopback address")
	if p.Grants(t) != 0 {
		t.Error("the provider was asked")
	}
}
