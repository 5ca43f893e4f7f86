package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/postrider/postrider/api/v1alpha1"
)

const (
	webhook = "Webhook"
	item    = "AuthorizationItem"
	policy  = "WebhookPolicy"
)

// object parses the spec and makes an object of it, as a user would apply it.
func object(t *testing.T, kind, name, spec string) *unstructured.Unstructured {
	t.Helper()
	var fields map[string]any
	if err := yaml.Unmarshal([]byte(spec), &fields); err != nil {
		t.Fatalf("the spec of the test is not YAML: %v", err)
	}
	u := &unstructured.Unstructured{Object: map[string]any{"spec": fields}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	u.SetNamespace("default")
	u.SetName(name)
	return u
}

const hook = "type: EventHandler, endpoint: {url: 'https://receiver.example.com/hooks'"

func TestARefusalNamesTheFieldAndTheRemedy(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	many := func(n int, f string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, f+",", i)
		}
		return b.String()
	}
	basic, bearer := "basic: {secretRef: {name: s}}", "bearer: {secretKeyRef: {name: s}}"
	grant := func(f string) string {
		return "{type: OAuth2ClientCredentials, oauth2ClientCredentials: {clientSecretRef: {name: s}, " + f + "}}"
	}
	for name, tt := range map[string]struct {
		kind, spec, field, remedy string
	}{
		"a Webhook without type":                 {webhook, "{endpoint: {url: 'https://a.example'}}", "spec.type", "Required"},
		"an unknown type":                        {webhook, "{type: Inbound, endpoint: {url: 'https://a.example'}}", "spec.type", "supported values: \"EventHandler\""},
		"a long description":                     {webhook, "{" + hook + "}, description: " + long(65537) + "}", "spec.description", "65536"},
		"too many events":                        {webhook, "{" + hook + "}, events: [" + many(65, "e%d") + "]}", "spec.events", "64"},
		"a long event":                           {webhook, "{" + hook + "}, events: [" + long(256) + "]}", "spec.events", "255"},
		"an empty event":                         {webhook, "{" + hook + "}, events: ['']}", "spec.events", "at least 1"},
		"an event with a space":                  {webhook, "{" + hook + "}, events: ['item added']}", "spec.events", "remove the spaces"},
		"an event with a line break":             {webhook, "{" + hook + "}, events: [\"item\\nadded\"]}", "spec.events", "remove the spaces"},
		"an event twice":                         {webhook, "{" + hook + "}, events: [a, a]}", "spec.events", "Duplicate"},
		"a long condition":                       {webhook, "{" + hook + "}, condition: " + long(4097) + "}", "spec.condition", "4096"},
		"an ordering without key":                {webhook, "{" + hook + "}, ordering: {}}", "spec.ordering.key", "Required"},
		"an ordering with an empty key":          {webhook, "{" + hook + "}, ordering: {key: ''}}", "spec.ordering.key", "at least 1"},
		"an ordering with a long key":            {webhook, "{" + hook + "}, ordering: {key: " + long(1025) + "}}", "spec.ordering.key", "1024"},
		"no endpoint":                            {webhook, "{type: EventHandler}", "spec.endpoint", "Required"},
		"no URL":                                 {webhook, "{type: EventHandler, endpoint: {headers: [{name: A, value: b}]}}", "spec.endpoint.url", "Required"},
		"a URL without scheme":                   {webhook, "{type: EventHandler, endpoint: {url: receiver.example.com}}", "spec.endpoint.url", "begins with https://"},
		"a URL of another scheme":                {webhook, "{type: EventHandler, endpoint: {url: 'ftp://receiver.example.com'}}", "spec.endpoint.url", "begins with https://"},
		"a URL without host":                     {webhook, "{type: EventHandler, endpoint: {url: 'https:///hooks'}}", "spec.endpoint.url", "https://receiver.example.com/hooks"},
		"a URL with port 0":                      {webhook, "{type: EventHandler, endpoint: {url: 'https://a.example:0/'}}", "spec.endpoint.url", "from 1 to 65535"},
		"a URL with a port too high":             {webhook, "{type: EventHandler, endpoint: {url: 'https://a.example:65536/'}}", "spec.endpoint.url", "from 1 to 65535"},
		"a URL with an endless port":             {webhook, "{type: EventHandler, endpoint: {url: 'https://a.example:99999999999999999999/'}}", "spec.endpoint.url", "from 1 to 65535"},
		"a URL with a blank":                     {webhook, "{type: EventHandler, endpoint: {url: 'https://a.example/a b'}}", "spec.endpoint.url", "%20"},
		"a URL with a line break":                {webhook, "{type: EventHandler, endpoint: {url: \"https://a.example/a\\nb\"}}", "spec.endpoint.url", "spec.endpoint.url"},
		"a URL with a user":                      {webhook, "{type: EventHandler, endpoint: {url: 'https://me:pw@receiver.example.com/'}}", "spec.endpoint.url", "AuthorizationItem"},
		"a URL with a fragment":                  {webhook, "{type: EventHandler, endpoint: {url: 'https://receiver.example.com/#top'}}", "spec.endpoint.url", "remove what follows '#'"},
		"a long URL":                             {webhook, "{type: EventHandler, endpoint: {url: 'https://a.example/" + long(2048) + "'}}", "spec.endpoint.url", "2048"},
		"too many headers":                       {webhook, "{" + hook + ", headers: [" + many(33, "{name: X-%d, value: v}") + "]}}", "spec.endpoint.headers", "32"},
		"a header twice":                         {webhook, "{" + hook + ", headers: [{name: X-Team, value: a}, {name: x-team, value: b}]}}", "spec.endpoint.headers", "remove one of them"},
		"a header without value":                 {webhook, "{" + hook + ", headers: [{name: X-Team}]}}", "spec.endpoint.headers", "set one of them"},
		"a header with two values":               {webhook, "{" + hook + ", headers: [{name: X-Team, value: a, valueFrom: {secretKeyRef: {name: s}}}]}}", "spec.endpoint.headers", "set one of them"},
		"a header with a space":                  {webhook, "{" + hook + ", headers: [{name: X Team, value: a}]}}", "spec.endpoint.headers", "such as X-Team"},
		"an authorization header":                {webhook, "{" + hook + ", headers: [{name: authorization, value: a}]}}", "spec.endpoint.headers", "use an AuthorizationItem"},
		"a content type":                         {webhook, "{" + hook + ", headers: [{name: Content-Type, value: a}]}}", "spec.endpoint.headers", "remove it"},
		"a header of Standard Webhooks":          {webhook, "{" + hook + ", headers: [{name: Webhook-Id, value: a}]}}", "spec.endpoint.headers", "another name"},
		"a user agent":                           {webhook, "{" + hook + ", headers: [{name: User-Agent, value: a}]}}", "spec.endpoint.headers", "remove it"},
		"a header value of two lines":            {webhook, "{" + hook + ", headers: [{name: X-Team, value: \"a\\nb\"}]}}", "spec.endpoint.headers", "remove line breaks"},
		"a Secret name that is none":             {webhook, "{" + hook + ", headers: [{name: A, valueFrom: {secretKeyRef: {name: A_B}}}]}}", "secretKeyRef.name", "lower case"},
		"a Secret key that is none":              {webhook, "{" + hook + ", headers: [{name: A, valueFrom: {secretKeyRef: {name: s, key: a b}}}]}}", "secretKeyRef.key", "letters, digits"},
		"an authorizationRef in another place":   {webhook, "{" + hook + "}, authorizationRef: {name: other/item}}", "spec.authorizationRef.name", "in this namespace"},
		"a policyRef without name":               {webhook, "{" + hook + "}, policyRef: {}}", "spec.policyRef.name", "Required"},
		"an unknown format":                      {webhook, "{" + hook + "}, payload: {format: XML}}", "spec.payload.format", "\"Standard\", \"CloudEvents\""},
		"an unknown serialization":               {webhook, "{" + hook + "}, payload: {serialization: YAML}}", "spec.payload.serialization", "\"JSON\""},
		"XML in another format":                  {webhook, "{" + hook + "}, payload: {format: CloudEvents, serialization: XML}}", "spec", "is for the format Sitecore"},
		"XML in the default format":              {webhook, "{" + hook + "}, payload: {serialization: XML}}", "spec", "set spec.payload.format to Sitecore"},
		"an item id in another format":           {webhook, "{" + hook + "}, payload: {sitecore: {itemName: a}}}", "spec", "spec.payload.sitecore is for the format Sitecore"},
		"an item id that is none":                {webhook, "{" + hook + "}, payload: {format: Sitecore, sitecore: {itemID: '{95398c44-f232-41a8-b947-8aefec4ce6eb'}}}", "spec.payload.sitecore.itemID", "must be a GUID"},
		"an item without type":                   {item, "{" + basic + "}", "spec.type", "Required"},
		"an item of unknown type":                {item, "{type: Kerberos, " + basic + "}", "spec.type", "\"Basic\", \"Digest\", \"Bearer\""},
		"an item without member":                 {item, "{type: Basic}", "spec.basic", "set or remove it"},
		"an item with the other member":          {item, "{type: Basic, " + bearer + "}", "spec.basic", "set or remove it"},
		"an item with two members":               {item, "{type: Bearer, " + basic + ", " + bearer + "}", "spec.basic", "set or remove it"},
		"an API key without member":              {item, "{type: APIKey}", "spec.apiKey", "set or remove it"},
		"an API key without name":                {item, "{type: APIKey, apiKey: {secretKeyRef: {name: s}}}", "spec.apiKey.name", "Required"},
		"an API key in a header that is none":    {item, "{type: APIKey, apiKey: {name: 'a b', secretKeyRef: {name: s}}}", "spec.apiKey.name", "such as X-API-Key"},
		"an API key in a header of Postrider":    {item, "{type: APIKey, apiKey: {name: Webhook-Signature, in: Header, secretKeyRef: {name: s}}}", "spec.apiKey.name", "such as X-API-Key"},
		"an API key in a cookie":                 {item, "{type: APIKey, apiKey: {name: a, in: Cookie, secretKeyRef: {name: s}}}", "spec.apiKey.in", "\"Header\", \"Query\""},
		"a token without Secret":                 {item, "{type: Bearer, bearer: {}}", "spec.bearer.secretKeyRef", "Required"},
		"two addresses of a provider":            {item, grant("authorityURL: 'https://a.example', tokenURL: 'https://a.example/token'"), "spec.oauth2ClientCredentials", "set one of them"},
		"no address of a provider":               {item, grant("scopes: [a]"), "spec.oauth2ClientCredentials", "set one of them"},
		"an authority that is no address":        {item, grant("authorityURL: 'a.example'"), "spec.oauth2ClientCredentials.authorityURL", "such as https://"},
		"an authority with a query":              {item, grant("authorityURL: 'https://a.example/?b=1'"), "spec.oauth2ClientCredentials.authorityURL", "without user name, query"},
		"base addresses without a discovery":     {item, grant("tokenURL: 'https://a.example/token', additionalEndpointBaseAddresses: ['https://b.example']"), "spec.oauth2ClientCredentials", "needs authorityURL"},
		"a scope of two words":                   {item, grant("tokenURL: 'https://a.example/token', scopes: ['a b']"), "spec.oauth2ClientCredentials.scopes", "as several elements"},
		"a header prefix of two words":           {item, grant("tokenURL: 'https://a.example/token', headerPrefix: 'a b'"), "spec.oauth2ClientCredentials.headerPrefix", "one word"},
		"a parameter that is a credential":       {item, grant("tokenURL: 'https://a.example/token', parameters: [{name: client_secret, value: a}]"), "spec.oauth2ClientCredentials.parameters", "remove it"},
		"a password grant without a user":        {item, "{type: OAuth2Password, oauth2Password: {tokenURL: 'https://a.example/token', clientSecretRef: {name: s}}}", "spec.oauth2Password.userSecretRef", "Required"},
		"a client certificate without Secret":    {item, "{type: ClientCertificate, clientCertificate: {}}", "spec.clientCertificate.secretRef", "Required"},
		"a token without audience":               {item, "{type: ServiceAccountToken, serviceAccountToken: {serviceAccountName: a}}", "spec.serviceAccountToken.audience", "Required"},
		"a ServiceAccount in another place":      {item, "{type: ServiceAccountToken, serviceAccountToken: {serviceAccountName: other/a, audience: b}}", "spec.serviceAccountToken.serviceAccountName", "in this namespace"},
		"signing without Secret":                 {policy, "{signing: {type: StandardWebhooks}}", "spec.signing.secretRef", "generate: true"},
		"a Secret without signing":               {policy, "{signing: {type: None, secretRef: {name: s}}}", "spec.signing.secretRef", "remove them"},
		"unknown signing":                        {policy, "{signing: {type: RSA}}", "spec.signing.type", "\"None\", \"StandardWebhooks\""},
		"a timeout that is no duration":          {policy, "{timeout: soon}", "spec.timeout", "such as 10s"},
		"a timeout that overflows":               {policy, "{timeout: 999999h999999h999999h}", "spec.timeout", "20"},
		"a short timeout":                        {policy, "{timeout: 99ms}", "spec.timeout", "100ms to 60s"},
		"a long timeout":                         {policy, "{timeout: 61s}", "spec.timeout", "100ms to 60s"},
		"a negative timeout":                     {policy, "{timeout: -1s}", "spec.timeout", "100ms to 60s"},
		"too many pauses":                        {policy, "{retry: {backoff: [" + many(21, "%ds") + "]}}", "spec.retry.backoff", "20"},
		"a long pause":                           {policy, "{retry: {backoff: [5s, 25h]}}", "spec.retry.backoff", "100ms to 24h"},
		"a pause of nothing":                     {policy, "{retry: {backoff: [0s]}}", "spec.retry.backoff", "100ms to 24h"},
		"too much jitter":                        {policy, "{retry: {jitterPercent: 101}}", "spec.retry.jitterPercent", "100"},
		"a long age":                             {policy, "{retry: {maxAge: 169h}}", "spec.retry.maxAge", "1s to 168h"},
		"no concurrency":                         {policy, "{concurrency: 0}", "spec.concurrency", "1"},
		"too much concurrency":                   {policy, "{concurrency: 101}", "spec.concurrency", "100"},
		"a rate without requests":                {policy, "{rateLimit: {per: 1s}}", "spec.rateLimit.requests", "Required"},
		"a rate of nothing":                      {policy, "{rateLimit: {requests: 0}}", "spec.rateLimit.requests", "1"},
		"too high a rate":                        {policy, "{rateLimit: {requests: 10001}}", "spec.rateLimit.requests", "10000"},
		"a rate in too short a time":             {policy, "{rateLimit: {requests: 1, per: 999ms}}", "spec.rateLimit.per", "1s to 1h"},
		"a rate in too long a time":              {policy, "{rateLimit: {requests: 1, per: 61m}}", "spec.rateLimit.per", "1s to 1h"},
		"a breaker that says nothing":            {policy, "{circuitBreaker: {}}", "spec.circuitBreaker", "at least 1 properties"},
		"a breaker of negative failures":         {policy, "{circuitBreaker: {failures: -1}}", "spec.circuitBreaker.failures", "0"},
		"a breaker of too many failures":         {policy, "{circuitBreaker: {failures: 1001}}", "spec.circuitBreaker.failures", "1000"},
		"a breaker that hardly opens":            {policy, "{circuitBreaker: {openFor: 999ms}}", "spec.circuitBreaker.openFor", "1s to 1h"},
		"a breaker that opens for long":          {policy, "{circuitBreaker: {openFor: 61m}}", "spec.circuitBreaker.openFor", "1s to 1h"},
		"disabling that says nothing":            {policy, "{autoDisable: {}}", "spec.autoDisable", "at least 1 properties"},
		"disabling after negative failures":      {policy, "{autoDisable: {consecutiveFailures: -1}}", "spec.autoDisable.consecutiveFailures", "0"},
		"disabling after too many failures":      {policy, "{autoDisable: {consecutiveFailures: 10001}}", "spec.autoDisable.consecutiveFailures", "10000"},
		"disabling in a hurry":                   {policy, "{autoDisable: {over: 59s}}", "spec.autoDisable.over", "1m to 720h"},
		"disabling after too long":               {policy, "{autoDisable: {over: 721h}}", "spec.autoDisable.over", "1m to 720h"},
		"disabling over what is no duration":     {policy, "{autoDisable: {over: a week}}", "spec.autoDisable.over", "such as 168h"},
		"a log that says nothing":                {policy, "{attemptLog: {}}", "spec.attemptLog", "at least 1 properties"},
		"a number where a duration is asked for": {policy, "{timeout: 10}", "spec.timeout", "string"},
	} {
		t.Run(name, func(t *testing.T) {
			err := api.Create(t.Context(), object(t, tt.kind, "refused", tt.spec), client.DryRunAll)
			if err == nil {
				t.Fatal("it was accepted")
			}
			for _, want := range []string{tt.field, tt.remedy} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the refusal lacks %q: %v", want, err)
				}
			}
		})
	}
}

func TestTheTypeOfAWebhookIsImmutable(t *testing.T) {
	// There is one type for now, so the rule cannot be broken yet; that it is
	// there can be read off the schema.
	w := object(t, webhook, "typed", "{"+hook+"}}")
	if err := api.Create(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"type":"Inbound"}}`))
	if err := api.Patch(t.Context(), w, patch); err == nil || !strings.Contains(err.Error(), "spec.type") {
		t.Errorf("changing the type: %v", err)
	}
}

// good are specs that touch every field, and the smallest ones.
var good = map[string]struct{ kind, spec string }{
	"smallest-webhook": {webhook, "{" + hook + "}}"},
	"largest-webhook": {webhook, "{" + hook + `,
	  headers: [{name: X-Team, value: "a\tb"}, {name: X-Key, valueFrom: {secretKeyRef: {name: s, key: k.y}}}]},
	  description: d, disabled: false, events: ["item:*", "*", "ü"], condition: event.type == "a", ordering: {key: event.data.item.id},
	  authorizationRef: {name: a.b-c}, policyRef: {name: p}, payload: {format: CloudEvents, serialization: JSON}}`},
	"plain-webhook":  {webhook, "{type: EventHandler, endpoint: {url: 'http://127.0.0.1:9400/hooks?to=a@b.example'}, events: []}"},
	"sitecore":       {webhook, "{" + hook + "}, payload: {format: Sitecore, serialization: XML, sitecore: {itemID: '{95398C44-F232-41A8-B947-8AEFEC4CE6EB}', itemName: Sample Webhook}}}"},
	"submit-action":  {webhook, "{type: SubmitAction, endpoint: {url: 'https://a.example/'}, workflow: {states: [Approved]}, payload: {serialization: XML, sitecore: {itemName: a}}}"},
	"basic":          {item, "{type: Basic, basic: {secretRef: {name: s}}}"},
	"bearer":         {item, "{type: Bearer, bearer: {secretKeyRef: {name: s}}}"},
	"apikey-header":  {item, "{type: APIKey, apiKey: {name: Authorization, secretKeyRef: {name: s}}}"},
	"apikey-query":   {item, "{type: APIKey, apiKey: {name: 'api key', in: Query, secretKeyRef: {name: s, key: k}}}"},
	"empty-policy":   {policy, "{}"},
	"unsigned":       {policy, "{signing: {type: None, generate: false}}"},
	"single-attempt": {policy, "{retry: {backoff: []}}"},
	"largest-policy": {policy, `{signing: {type: StandardWebhooks, secretRef: {name: s}, generate: true}, timeout: 60s, concurrency: 100,
	  retry: {backoff: [100ms, 1m30s, 1.5h, 24h], jitterPercent: 0, maxAge: 168h},
	  rateLimit: {requests: 10000, per: 1h}, circuitBreaker: {failures: 1000, openFor: 1h},
	  autoDisable: {consecutiveFailures: 10000, over: 720h}, attemptLog: {responseBodies: true}}`},
	"switched-off": {policy, `{rateLimit: {requests: 1, per: 1s}, circuitBreaker: {failures: 0, openFor: 1s},
	  autoDisable: {consecutiveFailures: 0, over: 1m}, attemptLog: {responseBodies: false}}`},
}

func TestAGoodObjectIsKeptAsItWasWritten(t *testing.T) {
	for name, tt := range good {
		t.Run(name, func(t *testing.T) {
			u := object(t, tt.kind, name, tt.spec)
			want := text(t, u.Object["spec"])
			if err := api.Create(t.Context(), u); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, text(t, u.Object["spec"])); diff != "" {
				t.Errorf("the API server changed the spec (-written +kept):\n%s", diff)
			}
			for _, typ := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionResolvedRefs, v1alpha1.ConditionReady} {
				if got := conditionOf(t, u, typ); got != "Unknown/Pending" {
					t.Errorf("%s begins as %s", typ, got)
				}
			}
		})
	}
}

func TestTypesReadWhatTheSchemaAllows(t *testing.T) {
	// What the API server accepts and the client cannot decode would stop
	// every informer, so the two must agree.
	for name, tt := range good {
		u := object(t, tt.kind, "typed-"+name, tt.spec)
		if err := api.Create(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	for _, list := range []client.ObjectList{&v1alpha1.WebhookList{}, &v1alpha1.AuthorizationItemList{}, &v1alpha1.WebhookPolicyList{}} {
		if err := api.List(t.Context(), list, client.InNamespace("default")); err != nil {
			t.Errorf("%T: %v", list, err)
		}
	}
	var p v1alpha1.WebhookPolicy
	if err := api.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "typed-single-attempt"}, &p); err != nil {
		t.Fatal(err)
	}
	if p.Spec.Retry == nil || p.Spec.Retry.Backoff == nil {
		t.Error("an empty backoff is read as an absent one")
	}
}

func TestWhatAProgramLeavesOffIsAccepted(t *testing.T) {
	p := &v1alpha1.WebhookPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "left-off"},
		Spec: v1alpha1.WebhookPolicySpec{
			Retry:          &v1alpha1.Retry{JitterPercent: new(int32)},
			CircuitBreaker: &v1alpha1.CircuitBreaker{Failures: new(int32)},
			AutoDisable:    &v1alpha1.AutoDisable{ConsecutiveFailures: new(int32)},
			AttemptLog:     &v1alpha1.AttemptLog{ResponseBodies: new(bool)},
		},
	}
	if err := api.Create(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if l := p.Spec.AttemptLog; l == nil || l.ResponseBodies == nil || *l.ResponseBodies {
		t.Errorf("the attempt log is kept as %+v", l)
	}
}

func conditionOf(t *testing.T, u *unstructured.Unstructured, typ string) string {
	t.Helper()
	list, _, err := unstructured.NestedSlice(u.Object, "status", "conditions")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		if c, ok := c.(map[string]any); ok && c["type"] == typ {
			return fmt.Sprint(c["status"], "/", c["reason"])
		}
	}
	return "absent"
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
