package conformance_test

import (
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/test/receiver"
)

func (d *target) formats(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{Key: signingKey})
	custom := func(f route.Format) func(*route.Route) {
		return func(r *route.Route) {
			r.Format = f
			r.Headers = []route.Header{{Name: "X-Team", Value: customSecret}}
		}
	}
	n := d.tenant(t,
		hook("standard", rc.URL("/standard?a=1"), custom(route.FormatStandard), signed(signingKey)),
		hook("cloudevents", rc.URL("/cloudevents"), custom(route.FormatCloudEvents), signed(signingKey)))
	const data = `{"Name":"ä <b>",  "n": 1.0}` // as it came, to the byte
	sent := n.accepted(t, binary(data, "specversion", "1.0", "type", "page:added", "id", "1", "source", "/cms", "subject", "home",
		"time", "2026-01-31T12:00:00.5Z", "traceid", "abc"))[0]

	got := map[string]receiver.Request{}
	for _, r := range rc.Wait(t, 2) {
		got[r.Target] = r
	}
	for _, tt := range []struct {
		target, contentType, body string
	}{
		{"/standard?a=1", "application/json", `{"type":"page:added","timestamp":"2026-01-31T12:00:00.5Z","data":` + data + `}`},
		{"/cloudevents", "application/cloudevents+json", `{"specversion":"1.0","id":"1","source":"/cms","type":"page:added","subject":"home",` +
			`"datacontenttype":"application/json","time":"2026-01-31T12:00:00.5Z","traceid":"abc","data":` + data + `}`},
	} {
		r, ok := got[tt.target]
		if !ok {
			t.Errorf("nothing arrived at %s", tt.target)
			continue
		}
		if r.Method != http.MethodPost || string(r.Body) != tt.body {
			t.Errorf("%s %s arrived with\n%s\nwant POST with\n%s", r.Method, r.Target, r.Body, tt.body)
		}
		if r.SignatureErr != nil {
			t.Errorf("%s: the signature is refused: %v", tt.target, r.SignatureErr)
		}
		// These and no other: nothing of the producer, nothing that asks for compression.
		want := http.Header{
			"Content-Length": {strconv.Itoa(len(tt.body))}, "Content-Type": {tt.contentType}, "User-Agent": {"Postrider/1 (+https://postrider.dev)"},
			"Webhook-Id": {sent.WebhookID}, "Webhook-Timestamp": r.Header["Webhook-Timestamp"], "Webhook-Signature": r.Header["Webhook-Signature"],
			"X-Team": {customSecret},
		}
		if diff := cmp.Diff(want, r.Header); diff != "" {
			t.Errorf("%s: headers (-want +got)\n%s", tt.target, diff)
		}
	}
}

func (d *target) signatures(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	n := d.tenant(t,
		hook("one", rc.URL("/one"), signed(signingKey)),
		hook("two", rc.URL("/two"), signed(signingKey, olderKey)),
		hook("none", rc.URL("/none")))
	n.post(t, "t", "{}")
	verified := map[string][]string{}
	for _, r := range rc.Wait(t, 3) {
		verified[r.Target] = nil
		for _, key := range []string{signingKey, olderKey} {
			w, err := standardwebhooks.NewWebhook(key)
			if err != nil {
				t.Fatal(err)
			}
			if w.Verify(r.Body, r.Header) == nil {
				verified[r.Target] = append(verified[r.Target], key)
			}
		}
		if r.ID() == "" || r.Header.Get("Webhook-Timestamp") == "" {
			t.Errorf("%s: the delivery has no identity: %v", r.Target, r.Header)
		}
	}
	want := map[string][]string{"/one": {signingKey}, "/two": {signingKey, olderKey}, "/none": nil}
	if diff := cmp.Diff(want, verified); diff != "" {
		t.Error("verified by which key (-want +got)\n" + diff)
	}
}

func (d *target) attempts(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{Key: signingKey})
	rc.On("/", receiver.Status(503), receiver.BreakOff, receiver.Status(200))
	// A timestamp has whole seconds.
	n := d.tenant(t, hook("flaky", rc.URL("/"), signed(signingKey), retry(time.Second, time.Second)))
	id := n.post(t, "t", "{}")

	timestamps := map[string]bool{}
	for i, r := range rc.Wait(t, 3) {
		if r.ID() != id || string(r.Body) == "" || r.SignatureErr != nil {
			t.Errorf("attempt %d has id %s and body %s, signature: %v", i+1, r.ID(), r.Body, r.SignatureErr)
		}
		timestamps[r.Header.Get("Webhook-Timestamp")] = true
	}
	if len(timestamps) != 3 {
		t.Errorf("three attempts have the timestamps %v", slices.Sorted(maps.Keys(timestamps)))
	}
	n.attempted(t, "flaky", 3)
	if s := n.settled(t, "flaky", 0); s.Last.Reason != outcome.Delivered || s.ConsecutiveFailures != 0 || s.LastError != "BodyFailed: answer broke off" {
		t.Errorf("the report says %+v", s)
	}
}

func (d *target) credentials(t *testing.T) {
	t.Parallel()
	rc := receiver.New(t, receiver.Options{})
	authorized := func(a route.Authorization) func(*route.Route) {
		return func(r *route.Route) { r.Authorization = &a }
	}
	n := d.tenant(t,
		hook("basic", rc.URL("/basic"), authorized(route.Authorization{Basic: &route.Basic{Username: "jörg", Password: password + "\n"}})),
		hook("bearer", rc.URL("/bearer"), authorized(route.Authorization{Bearer: &route.Bearer{Token: bearerToken}})),
		hook("header", rc.URL("/header"), authorized(route.Authorization{APIKey: &route.APIKey{Name: "x-api-key", Value: headerKey}})),
		hook("query", rc.URL("/query?a=%20b"), authorized(route.Authorization{APIKey: &route.APIKey{Name: "the key", Query: true, Value: queryKey}})),
	)
	n.post(t, "t", "{}")
	type proof struct{ Authorization, Header, Query string }
	want := map[string]proof{
		"/basic":  {Authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte("jörg:"+password))},
		"/bearer": {Authorization: "Bearer " + bearerToken},
		"/header": {Header: headerKey},
		"/query":  {Query: "a=%20b&the%20key=" + "query%26Sa2%20Xe7Mi4Oz9Ch0P"},
	}
	got := map[string]proof{}
	for _, r := range rc.Wait(t, len(want)) {
		u, err := url.ParseRequestURI(r.Target)
		if err != nil {
			t.Fatal(err)
		}
		got[u.Path] = proof{r.Header.Get("Authorization"), r.Header.Get("X-Api-Key"), u.RawQuery}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("credentials (-want +got)\n" + diff)
	}

	// A receiver that refuses them gets none into the report either; the end of the test looks.
	rc.On("/bearer", receiver.Status(401))
	n.post(t, "t", "{}")
	eventually.True(t, "the refusal in the report", func() bool { return n.summary(t, "bearer").LastError == "401 Unauthorized" })
}
