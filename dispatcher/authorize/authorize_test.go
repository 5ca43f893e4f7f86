package authorize_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/postrider/postrider/dispatcher/authorize"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/secrecy"
)

func request(tb testing.TB, u string) *http.Request {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, u, http.NoBody)
	if err != nil {
		tb.Fatal(err)
	}
	return req
}

func basic(user string, password route.Secret) *route.Authorization {
	return &route.Authorization{Basic: &route.Basic{Username: user, Password: password}}
}

func bearer(token route.Secret) *route.Authorization {
	return &route.Authorization{Bearer: &route.Bearer{Token: token}}
}

func inHeader(name string, value route.Secret) *route.Authorization {
	return &route.Authorization{APIKey: &route.APIKey{Name: name, Value: value}}
}

func inQuery(name string, value route.Secret) *route.Authorization {
	return &route.Authorization{APIKey: &route.APIKey{Name: name, Value: value, Query: true}}
}

func TestCredentialsArriveAsTheReceiverExpectsThem(t *testing.T) {
	const at = "https://example.com/hooks"
	for _, tt := range []struct {
		name   string
		from   *route.Authorization
		url    string
		header string // "Name: value"
		want   string // the URL
	}{
		{"nothing for nil", nil, at, "Authorization: ", at},
		{"basic", basic("Aladdin", "open sesame"), at, "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", at}, // RFC 7617, section 2
		{"basic in UTF-8", basic("test", "123£"), at, "Authorization: Basic dGVzdDoxMjPCow==", at},              // RFC 7617, section 2.1
		{"basic without a password", basic("key", ""), at, "Authorization: Basic a2V5Og==", at},
		{"basic without a user", basic("", "key"), at, "Authorization: Basic OmtleQ==", at},
		{"bearer", bearer("mF_9.B5f-4.1JqM"), at, "Authorization: Bearer mF_9.B5f-4.1JqM", at}, // RFC 6750, section 2.1
		{"bearer from a file with a line end", bearer("token\r\n"), at, "Authorization: Bearer token", at},
		{"a key in a header", inHeader("x-api-key", "a b"), at, "X-Api-Key: a b", at},
		{"a key in the query", inQuery("key", "v"), at, "", at + "?key=v"},
		{"a key after another parameter", inQuery("key", "v"), at + "?b=2&a=1%2f", "", at + "?b=2&a=1%2f&key=v"},
		{"a key that needs escaping", inQuery("a key", "1+1=2&x#/ü"), at, "", at + "?a%20key=1%2B1%3D2%26x%23%2F%C3%BC"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := authorize.New(tt.from)
			if err != nil {
				t.Fatal(err)
			}
			req := request(t, tt.url)
			if err := a.Apply(req); err != nil {
				t.Fatal(err)
			}
			name, value, _ := strings.Cut(tt.header, ": ")
			if got := req.Header.Get(name); name != "" && got != value {
				t.Errorf("%s is %q, want %q", name, got, value)
			}
			if got := req.URL.String(); got != tt.want {
				t.Errorf("the URL is %s, want %s", got, tt.want)
			}
		})
	}
}

func TestCredentialsThatCannotArriveAreRefused(t *testing.T) {
	const secret = "s3cr3t-material"
	for name, from := range map[string]*route.Authorization{
		"none of the kinds":            {},
		"two kinds":                    {Basic: &route.Basic{Username: "u", Password: secret}, Bearer: &route.Bearer{Token: secret}},
		"an empty user and password":   basic("", ""),
		"a colon in the user":          basic("a:b", secret),
		"a control character in user":  basic("a\x00b", secret),
		"a line break in the password": basic("a", secret+"\n"+secret),
		"an empty token":               bearer("\n"),
		"a token with its scheme":      bearer("Bearer " + secret),
		"a line break in the token":    bearer(secret + "\n" + secret),
		"a key without a name":         inHeader("", secret),
		"an empty key in a header":     inHeader("X-Api-Key", ""),
		"an empty key in the query":    inQuery("key", ""),
		"a name that is no header":     inHeader("X Api Key", secret),
		"a line break in the key":      inHeader("X-Api-Key", secret+"\r\nX-Admin: 1"),
		"a header that frames":         inHeader("transfer-encoding", secret),
		"a header that is set later":   inHeader("webhook-signature", secret),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := authorize.New(from)
			if err == nil {
				t.Fatal("the authorization was accepted")
			}
			secrecy.AssertNo(t, secret, map[string]any{"the error": err})
		})
	}
}

func TestRequestsMayShareAURL(t *testing.T) {
	a, err := authorize.New(inQuery("key", "v"))
	if err != nil {
		t.Fatal(err)
	}
	shared, err := url.Parse("https://example.com/?a=1")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		req := request(t, "https://example.com/")
		req.URL = shared
		if err := a.Apply(req); err != nil {
			t.Fatal(err)
		}
		if got := req.URL.RawQuery; got != "a=1&key=v" {
			t.Errorf("the query is %q", got)
		}
	}
	if shared.RawQuery != "a=1" {
		t.Errorf("the shared URL was changed to %v", shared)
	}
}

func TestAnAuthorizerDoesNotShowItsCredentials(t *testing.T) {
	const secret = "correct/horse+battery"
	for name, from := range map[string]*route.Authorization{
		"basic":           basic("user", secret),
		"bearer":          bearer(secret),
		"key in a header": inHeader("X-Api-Key", secret),
		"key in a query":  inQuery("key", secret),
	} {
		a, err := authorize.New(from)
		if err != nil {
			t.Fatal(err)
		}
		secrecy.AssertNo(t, secret, map[string]any{name: a, name + ", pointer": &a})
	}
}

func FuzzAKeyArrivesOrIsRefused(f *testing.F) {
	f.Add("X-Api-Key", "value", "a=1", false)
	f.Add("api key", "1+1=2&x#/ü", "a=1&b", true)
	f.Add("Host", "x\r\ny", "%zz", true)
	f.Fuzz(func(t *testing.T, name, value, query string, inQuery bool) {
		a, err := authorize.New(&route.Authorization{APIKey: &route.APIKey{Name: name, Value: route.Secret(value), Query: inQuery}})
		if err != nil {
			return
		}
		req := request(t, "https://example.com/")
		req.URL.RawQuery = query
		if err := a.Apply(req); err != nil {
			t.Fatal(err)
		}
		value = strings.TrimRight(value, "\r\n")
		if !inQuery {
			if got := req.Header.Get(name); got != value || !httpguts.ValidHeaderFieldValue(got) {
				t.Errorf("the header is %q, want %q", got, value)
			}
			return
		}
		added, ok := strings.CutPrefix(req.URL.RawQuery, query)
		if !ok {
			t.Fatalf("the query %q became %q", query, req.URL.RawQuery)
		}
		got, err := url.ParseQuery(strings.TrimPrefix(added, "&"))
		if err != nil || len(got) != 1 || got.Get(name) != value {
			t.Errorf("the parameter is %q (%v), want %q=%q", added, err, name, value)
		}
		if !utf8.ValidString(added) || strings.ContainsAny(added, " #+") {
			t.Errorf("the parameter %q is not encoded", added)
		}
	})
}

func BenchmarkApply(b *testing.B) {
	for name, from := range map[string]*route.Authorization{"bearer": bearer("token"), "query": inQuery("key", "value")} {
		b.Run(name, func(b *testing.B) {
			a, err := authorize.New(from)
			if err != nil {
				b.Fatal(err)
			}
			req := request(b, "https://example.com/?a=1")
			u := req.URL
			b.ReportAllocs()
			for b.Loop() {
				req.URL = u
				if err := a.Apply(req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
