package deliver_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/internal/secrecy"
	"github.com/postrider/postrider/test/receiver"
)

// A receiver's echoes, by how it writes them.
var echoes = map[string]func(string) string{
	"as it is":          func(s string) string { return "you sent " + s + ", thank you" },
	"in upper case":     func(s string) string { return strings.Map(upper, s) },
	"twice":             func(s string) string { return s + s },
	"in JSON":           func(s string) string { return toJSON(map[string]string{"sent": s}) },
	"in JSON, of PHP":   func(s string) string { return strings.ReplaceAll(toJSON(s), "/", `\/`) },
	"in JSON, in ASCII": escapedUnits,
	"in JSON in JSON":   func(s string) string { return toJSON(toJSON(s)) },
	"in a query":        func(s string) string { return "?a=1&b=" + url.QueryEscape(s) },
	"in a path":         func(s string) string { return "/a/" + url.PathEscape(s) + "/b" },
	"in a query in a query, small": func(s string) string {
		return strings.ToLower(url.QueryEscape(url.QueryEscape(s)))
	},
	"each byte escaped": func(s string) string { return each(s, "%%%02x") },
	"in HTML":           func(s string) string { return "<p>" + html.EscapeString(s) + "</p>" },
	"in HTML by numbers": func(s string) string {
		var out strings.Builder
		for _, r := range s {
			fmt.Fprintf(&out, "&#%d;", r)
		}
		return out.String()
	},
	"in hexadecimal":     func(s string) string { return hex.EncodeToString([]byte(s)) },
	"in base64":          func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"in base64 of more":  func(s string) string { return base64.StdEncoding.EncodeToString([]byte("you sent " + s)) },
	"in base64 for URLs": func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("a" + s + "b")) },
	"in base64 in a query": func(s string) string {
		return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte("ab" + s)))
	},
}

func upper(r rune) rune {
	if 'a' <= r && r <= 'z' {
		r -= 'a' - 'A'
	}
	return r
}

func toJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(text)
}

func each(s, format string) string {
	var out strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&out, format, c)
	}
	return out.String()
}

// escapedUnits escapes what is not ASCII, as Python does.
func escapedUnits(s string) string {
	var out strings.Builder
	for _, r := range s {
		switch {
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		case r > 0x7f:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

func TestWhatProvesUsIsNotKeptHoweverAReceiverEchoesIt(t *testing.T) {
	t.Parallel()
	const secret = `hôrse/"b&t"+<sta ple>\=🐎-x_y`
	pair := base64.StdEncoding.EncodeToString([]byte("post:" + secret))
	for name, tt := range map[string]struct {
		rt   route.Route
		sent string
	}{
		"a password":           {route.Route{Authorization: &route.Authorization{Basic: &route.Basic{Username: "post", Password: secret}}}, secret},
		"user and password":    {route.Route{Authorization: &route.Authorization{Basic: &route.Basic{Username: "post", Password: secret}}}, "Basic " + pair},
		"a short password":     {route.Route{Authorization: &route.Authorization{Basic: &route.Basic{Username: "user", Password: "pw"}}}, "dXNlcjpw" + "dw=="},
		"a token":              {route.Route{Authorization: &route.Authorization{Bearer: &route.Bearer{Token: "mF_9.B5f-4.1JqM"}}}, "Bearer mF_9.B5f-4.1JqM"},
		"a key":                {route.Route{Authorization: &route.Authorization{APIKey: &route.APIKey{Name: "k", Query: true, Value: secret}}}, secret},
		"a header":             {route.Route{Headers: []route.Header{{Name: "X", Value: secret}}}, secret},
		"the token of another": {route.Route{Headers: []route.Header{{Name: "X", Value: "Token 0123456789"}}}, "0123456789"},
		"a signing key":        {route.Route{Signing: &route.Signing{Keys: []route.Secret{signingKey}}}, signingKey},
		"an older signing key": {route.Route{Signing: &route.Signing{Keys: []route.Secret{"whsec_AAAAr8GKYqrTwjUPD8ILPZIo2LaLaSw=", signingKey}}}, signingKey},
	} {
		secret := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(tt.sent, "Basic "), "Bearer "), "whsec_")
		for how, echo := range echoes {
			text := echo(tt.sent)
			got := deliver.Scrub(&tt.rt, text, 1<<20, false)
			for spelling, s := range secrecy.Spellings(secret) {
				if strings.Contains(got, s) {
					t.Errorf("%s, %s: of %q it keeps %q, which shows it %s", name, how, text, got, spelling)
				}
			}
			if !strings.Contains(got, "[redacted]") {
				t.Errorf("%s, %s: of %q it keeps %q", name, how, text, got)
			}
		}
	}
}

func TestASecretThatIsCutIsNotKeptEither(t *testing.T) {
	t.Parallel()
	const limit = 100
	rt := route.Route{Authorization: &route.Authorization{Bearer: &route.Bearer{Token: "abcdefgh01234567"}}}
	escaped := each("abcdefgh01234567", `\u%04x`)
	for at := range limit + 5 {
		for _, secret := range []string{"abcdefgh01234567", escaped} {
			long := strings.Repeat(".", at) + secret + strings.Repeat(".", 1000)
			if got, want := deliver.Scrub(&rt, long, limit, true), strings.Repeat(".", min(at, limit))+"[redacted]"; !strings.HasPrefix(got+"[redacted]", want[:min(len(want), limit)]) {
				t.Fatalf("at %d it keeps %q", at, got)
			}
		}
	}
	for n := 4; n <= 16; n++ {
		if got := deliver.Scrub(&rt, "... abcdefgh01234567"[:4+n], limit, true); got != "... [redacted]" {
			t.Errorf("of an answer that broke off after %d bytes of it, it keeps %q", n, got)
		}
	}
}

func TestWhatIsNotSecretIsKept(t *testing.T) {
	t.Parallel()
	rt := confidential("http://a/")
	for _, text := range []string{
		"", "not found", `{"error":"no such \u00e9vent","path":"a\\b\/c%20d"}`, "&amp;&#65;&unknown;", strings.Repeat("é", 40), "%", `\`, `\u12`, "%4", "correct", "dGV4dA==",
	} {
		if got := deliver.Scrub(&rt, text, 100, false); got != text {
			t.Errorf("of %q it keeps %q", text, got)
		}
	}
}

func TestAReceiverThatEchoesEverythingTeachesTheLogNothing(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	var signature string
	rc.On("/a", func(w http.ResponseWriter, req *http.Request) {
		signature = req.Header.Get("Webhook-Signature")
		_, password, _ := req.BasicAuth()
		w.Header().Set("X-Echo", req.Header.Get("Authorization"))
		w.Header().Set("X-"+custom, "a header's name")
		w.Header().Set("Location", "/login/"+url.PathEscape(password)+"?again")
		w.WriteHeader(http.StatusForbidden)
		header := toJSON(req.Header)
		if _, err := fmt.Fprint(w, header, strings.Repeat(".", 1020-len(header)), password); err != nil {
			t.Error(err)
		}
	})
	rt := confidential(rc.URL("/a"))
	rt.KeepResponses = true
	r := start(t, nil, rt)
	r.post("1")
	eventually.True(t, "the record", func() bool { return len(r.log.all()) == 1 })
	rec := r.log.all()[0]
	for _, secret := range []string{
		password, custom, http.CanonicalHeaderKey(custom), signature[3:],
		base64.StdEncoding.EncodeToString([]byte("postrider:" + password)),
	} {
		secrecy.AssertNo(t, secret, map[string]any{"the record": rec, "its body": rec.Response.Body, "its header": rec.Response.Header})
	}
	if body := rec.Response.Body; !strings.Contains(body, `"Webhook-Id":["msg_`) || len(body) > 1024 || strings.Contains(body[len(body)-20:], "corr") {
		t.Errorf("the body is %q", body)
	}
	if got := rec.Response.Header.Get("Location"); got != "/login/[redacted]" {
		t.Errorf("the location is %q", got)
	}
}

func TestASignatureIsNotKeptWhenItIsAllThatAnAnswerHolds(t *testing.T) {
	t.Parallel()
	for name, echo := range map[string]func(http.ResponseWriter, string){
		"in the body": func(w http.ResponseWriter, signature string) { _, _ = io.WriteString(w, signature) },
		"cut short": func(w http.ResponseWriter, signature string) {
			_, _ = io.WriteString(w, strings.TrimSuffix(signature, "="))
		},
		"in the header": func(w http.ResponseWriter, signature string) { w.Header().Set("X-Echo", signature) },
		"as a name":     func(w http.ResponseWriter, signature string) { w.Header()["X"+fold(signature)] = []string{"1"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rc := receiver.New(t, receiver.Options{})
			signatures := make(chan string, 1)
			rc.On("/a", func(w http.ResponseWriter, req *http.Request) {
				signature := strings.TrimPrefix(req.Header.Get("Webhook-Signature"), "v1,")
				signatures <- signature
				echo(w, signature)
			})
			rt := confidential(rc.URL("/a"))
			rt.KeepResponses = true
			r := start(t, nil, rt)
			r.post("1")
			eventually.True(t, "the record", func() bool { return len(r.log.all()) == 1 })
			rec, signature := r.log.all()[0], <-signatures
			for _, secret := range []string{strings.TrimSuffix(signature, "="), fold(signature)} {
				secrecy.AssertNo(t, secret, map[string]any{"the body": rec.Response.Body, "the header": rec.Response.Header})
			}
			if !strings.Contains(fmt.Sprint(rec.Response), "[redacted]") {
				t.Errorf("nothing is redacted in %v", rec.Response)
			}
		})
	}
}

// fold makes a signature fit for the name of a header.
func fold(signature string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		switch r {
		case '/':
			return '_'
		case '=':
			return -1
		}
		return r
	}, signature))
}

func TestWhatOverlapsIsHiddenAsAWhole(t *testing.T) {
	t.Parallel()
	rt := route.Route{Headers: []route.Header{{Name: "A", Value: "abcabcab"}, {Name: "B", Value: "cabxyz"}}}
	for text, want := range map[string]string{
		"-abcabcabcab-":                       "-[redacted]-",
		"-abcabcabxyz-":                       "-[redacted]-",
		"-abcabcababcabcab-cabxyz-":           "-[redacted]-[redacted]-",
		strings.Repeat("abcabcabc", 1000)[:9]: "[redacted]c",
	} {
		if got := deliver.Scrub(&rt, text, 100, false); got != want {
			t.Errorf("of %q it keeps %q, want %q", text, got, want)
		}
	}
}

func FuzzScrub(f *testing.F) {
	f.Add("secret-token", "%4", "1", 20)
	f.Add(`a\u0041b&amp;`, "&", ";", 3)
	f.Add("aaaaaaaa", `\ud83d`, `\ude00`, 100)
	f.Fuzz(func(t *testing.T, secret, before, after string, limit int) {
		rt := route.Route{Headers: []route.Header{{Name: "X", Value: route.Secret(secret)}}}
		if got := deliver.Scrub(&rt, before+secret+after, min(max(limit, 0), 1<<16), true); len(got) > max(limit, 0) {
			t.Errorf("%d bytes of at most %d are kept", len(got), limit)
		}
		secret = strings.TrimRight(secret, "\r\n")
		if got := deliver.Scrub(&rt, "."+secret+".", 1<<16, false); len(secret) > 20 && !strings.ContainsAny(secret, `%&\`) && strings.Contains(got, secret) {
			t.Errorf("of %q it keeps %q", secret, got)
		}
	})
}

func BenchmarkScrub(b *testing.B) {
	rt := confidential("http://a/")
	text := strings.Repeat(`{"path":"\/a%20b","key":"&amp;"}`, 100)
	b.ReportAllocs()
	for b.Loop() {
		deliver.Scrub(&rt, text, 1024, true)
	}
}
