package egress_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/internal/secrecy"
)

func TestATargetThatCannotBeSentToIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		url    url.URL
		header http.Header
	}{
		"another scheme":                   {url.URL{Scheme: "ftp", Host: "a.example"}, nil},
		"no host":                          {url.URL{Scheme: "https"}, nil},
		"a control character in the query": {url.URL{Scheme: "https", Host: "a.example", RawQuery: "a\r\nX-Admin: 1"}, nil},
		"a line break in a host":           {url.URL{Scheme: "https", Host: "a.example\r\nX-Admin: 1"}, nil},
		"a line break in a value":          {url.URL{Scheme: "https", Host: "a.example"}, http.Header{"X-Token": {"hunter2\r\nX-Admin: 1"}}},
		"a blank in a name":                {url.URL{Scheme: "https", Host: "a.example"}, http.Header{"X Token": {"hunter2"}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := egress.NewTarget(&tt.url, tt.header)
			wantFailure(t, err, outcome.Unsendable, "not a valid HTTP request")
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error quotes a value: %v", err)
			}
		})
	}
}

func TestAFieldThatIsMoreThanOneIsNotSent(t *testing.T) {
	for _, w := range roads {
		t.Run(w.name, func(t *testing.T) {
			r, c := w.open(t)
			to := target(t, r.URL("/"), nil)
			for _, f := range []egress.Field{{Name: "X-Token", Value: "hunter2\r\nX-Admin: 1"}, {Name: "X Token"}, {Name: ""}} {
				_, err := c.Post(t.Context(), &egress.Post{Target: to, Fields: []egress.Field{f}, Deadline: time.Now().Add(long)})
				wantFailure(t, err, outcome.Unsendable, "not a valid HTTP request")
			}
			_, err := c.Post(t.Context(), &egress.Post{Target: to}) // without a deadline
			wantFailure(t, err, outcome.Unsendable, "not a valid HTTP request")
			if r.Count() != 0 {
				t.Errorf("%d requests arrived", r.Count())
			}
		})
	}
}

func TestATargetDoesNotShowWhatItCarries(t *testing.T) {
	const secret = "hunter2-hunter2-hunter2"
	u := &url.URL{Scheme: "https", Host: "a.example", RawQuery: "token=" + secret}
	target, err := egress.NewTarget(u, http.Header{"Authorization": {"Bearer " + secret}})
	if err != nil {
		t.Fatal(err)
	}
	secrecy.AssertNo(t, secret, map[string]any{"a target": target, "what it points to": *target, "a post": egress.Post{Target: target}})
}
