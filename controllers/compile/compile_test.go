package compile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/controllers/compile"
	"github.com/postrider/postrider/dispatcher/route"
)

// odd is a Snapshot in which one text and one number turn up everywhere.
func odd(text string, number int64, secret []byte) compile.Snapshot {
	meta := metav1.ObjectMeta{Namespace: "shop", Name: "odd", Generation: 1}
	n, d := int32(number), metav1.Duration{Duration: time.Duration(number) * time.Millisecond}
	ref := &v1alpha1.LocalReference{Name: "odd"}
	key := v1alpha1.SecretKeyReference{Name: "odd", Key: text}
	items := []v1alpha1.AuthorizationItem{
		{ObjectMeta: meta, Spec: v1alpha1.AuthorizationItemSpec{
			Type:   v1alpha1.AuthorizationAPIKey,
			APIKey: &v1alpha1.APIKeyAuthorization{Name: text, In: v1alpha1.APIKeyPlace(text), SecretKeyRef: key},
		}},
		{ObjectMeta: meta, Spec: v1alpha1.AuthorizationItemSpec{
			Type:   v1alpha1.AuthorizationBearer,
			Bearer: &v1alpha1.BearerAuthorization{SecretKeyRef: key},
		}},
		{ObjectMeta: meta, Spec: v1alpha1.AuthorizationItemSpec{Type: v1alpha1.AuthorizationType(text)}},
	}
	s := compile.Snapshot{
		AuthorizationItems: []v1alpha1.AuthorizationItem{items[uint64(number)%3]},
		WebhookPolicies: []v1alpha1.WebhookPolicy{{ObjectMeta: meta, Spec: v1alpha1.WebhookPolicySpec{
			Signing:     &v1alpha1.Signing{Type: v1alpha1.SigningStandardWebhooks, SecretRef: ref},
			Timeout:     &d,
			Concurrency: &n,
			Retry:       &v1alpha1.Retry{Backoff: []metav1.Duration{d}, JitterPercent: &n, MaxAge: &d},

			RateLimit:      &v1alpha1.RateLimit{Requests: n, Per: &d},
			CircuitBreaker: &v1alpha1.CircuitBreaker{Failures: &n, OpenFor: &d},
			AutoDisable:    &v1alpha1.AutoDisable{ConsecutiveFailures: &n, Over: &d},
		}}},
		Secrets: map[types.NamespacedName]map[string][]byte{{Namespace: "shop", Name: "odd"}: {text: secret, "secret": secret, "value": secret}},
	}
	for i, spec := range []v1alpha1.WebhookSpec{
		{Condition: text},
		{Events: []string{text}},
		{Endpoint: v1alpha1.Endpoint{URL: text}},
		{Endpoint: v1alpha1.Endpoint{Headers: []v1alpha1.Header{{Name: text, Value: "v"}}}},
		{Endpoint: v1alpha1.Endpoint{Headers: []v1alpha1.Header{{Name: "X-Team", Value: text}}}},
		{Endpoint: v1alpha1.Endpoint{Headers: []v1alpha1.Header{{Name: "X-Team", ValueFrom: &v1alpha1.HeaderValueSource{SecretKeyRef: key}}}}},
		{AuthorizationRef: ref},
		{PolicyRef: ref},
		{Payload: &v1alpha1.Payload{Format: v1alpha1.PayloadFormat(text), Serialization: v1alpha1.PayloadSerialization(text)}},
		{Type: v1alpha1.WebhookType(text)},
		{Disabled: true, Condition: text, Events: []string{text}},
		{Type: v1alpha1.WebhookSubmitAction, Workflow: &v1alpha1.WorkflowSelector{States: []string{text}}},
		{
			Type: v1alpha1.WebhookValidationAction, Workflow: &v1alpha1.WorkflowSelector{Workflows: []string{text}, Commands: []string{text}}, Condition: text,
			Validation: &v1alpha1.Validation{Timeout: &d, FailurePolicy: v1alpha1.FailurePolicy(text)},
		},
	} {
		if spec.Type == "" {
			spec.Type = v1alpha1.WebhookEventHandler
		}
		if spec.Events == nil {
			spec.Events = []string{"*"}
		}
		if spec.Endpoint.URL == "" {
			spec.Endpoint.URL = "https://receiver.example.com/"
		}
		m := meta
		m.Name = fmt.Sprintf("odd-%d", i)
		s.Webhooks = append(s.Webhooks, v1alpha1.Webhook{ObjectMeta: m, Spec: spec})
	}
	gone := s.Webhooks[0]
	gone.Name = "odd-and-gone"
	gone.Status.AutomaticDisabling = &v1alpha1.AutomaticDisabling{Number: number, Reason: v1alpha1.ReasonReceiverGone, Generation: 1}
	s.Webhooks = append(s.Webhooks, gone)
	return s
}

func FuzzEveryTableBuilds(f *testing.F) {
	f.Add("", int64(0), []byte(nil))
	f.Add("event.type == 'a'", int64(1), []byte("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="))
	f.Add("https://a.example/\x00#", int64(-1), []byte("a\r\nb"))
	f.Add("Header", int64(3), []byte("sample\n"))
	f.Add("*\n", int64(100), []byte("\xff\xfe"))
	f.Add("true // \"\\\u2028", int64(5000), []byte("a"))
	f.Fuzz(func(t *testing.T, text string, number int64, secret []byte) {
		s := odd(text, number, secret)
		r := compile.Compile(s)
		if _, err := route.Build(r.Table); err != nil {
			t.Fatalf("the table does not build: %v", err)
		}
		if utf8.ValidString(text) && digestOf(t, r.Table) != route.Digest(r.Table) {
			t.Error("a dispatcher reads another table than was compiled")
		}
		if len(r.Table.Routes) != len(s.Webhooks) {
			t.Fatalf("%d Webhooks became %d routes", len(s.Webhooks), len(r.Table.Routes))
		}
		for _, rt := range r.Table.Routes {
			name := types.NamespacedName{Namespace: "shop", Name: rt.ID[len("shop/"):]}
			if v := r.Webhooks[name]; len(v.Faults) > 0 && rt.Hold == "" {
				t.Errorf("%s would deliver with faults: %v", rt.ID, v.Faults)
			}
		}
	})
}

func TestCompilingLeavesTheSnapshotAsItIs(t *testing.T) {
	s := odd("a.b", 5, []byte("sample"))
	before := fmt.Sprintf("%+v", s)
	first := compile.Compile(s)
	if diff := cmp.Diff(before, fmt.Sprintf("%+v", s)); diff != "" {
		t.Errorf("(-before +after)\n%s", diff)
	}
	slices.Reverse(s.Webhooks)
	if a, b := route.Digest(first.Table), route.Digest(compile.Compile(s).Table); a != b {
		t.Error("the order of the objects changed the table")
	}
}

func TestAWebhookWithMoreHeadersThanARequestCarriesIsRefused(t *testing.T) {
	s := odd("a", 0, nil)
	w := &s.Webhooks[0]
	w.Spec.Condition = ""
	for i := range 33 {
		w.Spec.Endpoint.Headers = append(w.Spec.Endpoint.Headers, v1alpha1.Header{Name: fmt.Sprintf("X-%d", i), Value: "v"})
	}
	r := compile.Compile(s)
	f := r.Webhooks[types.NamespacedName{Namespace: "shop", Name: w.Name}].Fault(v1alpha1.ConditionAccepted)
	if f == nil || f.Reason != v1alpha1.ReasonInvalidHeader {
		t.Errorf("the fault is %v", f)
	}
	if _, err := route.Build(r.Table); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNotTextNeverReachesTheTable(t *testing.T) {
	s := odd("a", 0, nil)
	w := &s.Webhooks[0]
	w.Spec.Condition, w.Spec.Endpoint.Headers = "", []v1alpha1.Header{{Name: "X-Team", Value: "\xff"}}
	r := compile.Compile(s)
	f := r.Webhooks[types.NamespacedName{Namespace: "shop", Name: w.Name}].Fault(v1alpha1.ConditionAccepted)
	if f == nil || f.Reason != v1alpha1.ReasonInvalidHeader {
		t.Errorf("the fault is %v", f)
	}
}

func TestTheHeadersAndCredentialsOfAWebhookHaveALimitTogether(t *testing.T) {
	inline := func(n int) []v1alpha1.Header {
		list := make([]v1alpha1.Header, n)
		for i := range list {
			list[i] = v1alpha1.Header{Name: fmt.Sprint("X-", i), Value: strings.Repeat("v", 4096)}
		}
		return list
	}
	fromSecret := v1alpha1.Header{Name: "X-Key", ValueFrom: &v1alpha1.HeaderValueSource{SecretKeyRef: v1alpha1.SecretKeyReference{Name: "odd"}}}
	item := &v1alpha1.LocalReference{Name: "odd"}
	for name, tt := range map[string]struct {
		headers           []v1alpha1.Header
		item              *v1alpha1.LocalReference
		condition, reason string
	}{
		"as much as fits":                 {inline(4), nil, "", ""},
		"values in the spec":              {inline(5), nil, v1alpha1.ConditionAccepted, v1alpha1.ReasonInvalidHeader},
		"values in the spec and a Secret": {append(inline(4), fromSecret), nil, v1alpha1.ConditionResolvedRefs, v1alpha1.ReasonSecretInvalid},
		"values and a credential":         {inline(4), item, v1alpha1.ConditionResolvedRefs, v1alpha1.ReasonSecretInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			s := odd("token", 1, []byte(strings.Repeat("s", 4096)))
			w := &s.Webhooks[0]
			w.Spec.Condition, w.Spec.Endpoint.Headers, w.Spec.AuthorizationRef = "", tt.headers, tt.item
			r := compile.Compile(s)
			v := r.Webhooks[types.NamespacedName{Namespace: "shop", Name: w.Name}]
			if tt.reason == "" {
				if len(v.Faults) > 0 {
					t.Errorf("the faults are %v", v.Faults)
				}
				return
			}
			if f := v.Fault(tt.condition); f == nil || f.Reason != tt.reason || !strings.Contains(f.Detail, "16384") {
				t.Errorf("the faults are %v", v.Faults)
			}
		})
	}
}

func TestNothingIsGivenUpWhileAPolicyIsBeingReplaced(t *testing.T) {
	s := odd("a", 5, nil)
	w := &s.Webhooks[0]
	w.Spec.Condition, w.Spec.PolicyRef = "", &v1alpha1.LocalReference{Name: "gone"}
	r := compile.Compile(s)
	if d := r.Webhooks[types.NamespacedName{Namespace: "shop", Name: w.Name}].AutoDisable; d != (compile.AutoDisable{}) {
		t.Errorf("it may be disabled as %+v", d)
	}
	for _, rt := range r.Table.Routes {
		if rt.ID == "shop/"+w.Name && (rt.Hold != v1alpha1.ReasonRefNotFound || rt.Retry.MaxAge != 168*time.Hour) {
			t.Errorf("it is held for %s and waits for %s", rt.Hold, rt.Retry.MaxAge)
		}
	}
}

func TestTheTermsOfAutomaticDisablingGoWithTheVerdict(t *testing.T) {
	over := metav1.Duration{Duration: time.Hour}
	for name, tt := range map[string]struct {
		policy *v1alpha1.AutoDisable
		want   compile.AutoDisable
	}{
		"none are the defaults":     {nil, compile.AutoDisable{Failures: 20, Over: 168 * time.Hour}},
		"each has a default":        {&v1alpha1.AutoDisable{Over: &over}, compile.AutoDisable{Failures: 20, Over: time.Hour}},
		"no failures mean never":    {&v1alpha1.AutoDisable{ConsecutiveFailures: new(int32(0)), Over: &over}, compile.AutoDisable{}},
		"what is said is the terms": {&v1alpha1.AutoDisable{ConsecutiveFailures: new(int32(3)), Over: &over}, compile.AutoDisable{Failures: 3, Over: time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			w := v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "a"}}
			w.Spec.PolicyRef = &v1alpha1.LocalReference{Name: "p"}
			p := v1alpha1.WebhookPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p"}}
			p.Spec.AutoDisable = tt.policy
			r := compile.Compile(compile.Snapshot{Webhooks: []v1alpha1.Webhook{w}, WebhookPolicies: []v1alpha1.WebhookPolicy{p}})
			v := r.Webhooks[types.NamespacedName{Namespace: "shop", Name: "a"}]
			if v.AutoDisable != tt.want {
				t.Errorf("they are %+v", v.AutoDisable)
			}
			other := v
			other.AutoDisable.Failures++
			if v.Equal(other) {
				t.Error("other terms are no news")
			}
		})
	}
}

func TestAnEpochEndsWithAnEditWithADisablingAndWithTheObject(t *testing.T) {
	w := v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{UID: "a5a4e1c0-1111-2222-3333-444444444444", Generation: 1}}
	seen := map[string]string{compile.Epoch(&w): "the first"}
	for _, step := range []struct {
		what   string
		change func()
		same   bool
	}{
		{"another edit", func() { w.Generation++ }, false},
		{"a disabling", func() { w.Status.AutomaticDisabling = &v1alpha1.AutomaticDisabling{Number: 1, Generation: 2} }, false},
		{"the enabling", func() { w.Status.AutomaticDisabling.EnabledTime = new(metav1.Now()) }, true},
		{"a second disabling", func() { w.Status.AutomaticDisabling = &v1alpha1.AutomaticDisabling{Number: 2, Generation: 2} }, false},
		{"another object", func() { w.UID, w.Generation, w.Status.AutomaticDisabling = "b0000000-1", 1, nil }, false},
	} {
		before := compile.Epoch(&w)
		step.change()
		now := compile.Epoch(&w)
		if step.same {
			if now != before {
				t.Errorf("%s changes %q to %q", step.what, before, now)
			}
			continue
		}
		if of, ok := seen[now]; ok {
			t.Errorf("%s has the epoch %q of %s", step.what, now, of)
		}
		seen[now] = step.what
	}
}

// digestOf builds what a dispatcher would read of the table.
func digestOf(t *testing.T, table route.Table) string {
	t.Helper()
	shards, err := route.Encode(table)
	if err != nil {
		t.Fatal(err)
	}
	blobs := make([][]byte, len(shards))
	for i, s := range shards {
		blobs[i] = s.Data
	}
	read, err := route.Decode(blobs)
	if err != nil {
		t.Fatal(err)
	}
	router, err := route.Build(read)
	if err != nil {
		t.Fatal(err)
	}
	return router.Digest()
}

// BenchmarkCompile compiles and builds 10,000 Webhooks that share a policy, an
// item and 100 conditions.
func BenchmarkCompile(b *testing.B) {
	s := compile.Snapshot{Secrets: map[types.NamespacedName]map[string][]byte{
		{Namespace: "shop", Name: "s"}: {"secret": []byte("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="), "token": []byte("t")},
	}}
	ref := &v1alpha1.LocalReference{Name: "s"}
	meta := metav1.ObjectMeta{Namespace: "shop", Name: "s"}
	s.AuthorizationItems = []v1alpha1.AuthorizationItem{{ObjectMeta: meta, Spec: v1alpha1.AuthorizationItemSpec{
		Type: v1alpha1.AuthorizationBearer, Bearer: &v1alpha1.BearerAuthorization{SecretKeyRef: v1alpha1.SecretKeyReference{Name: "s"}},
	}}}
	s.WebhookPolicies = []v1alpha1.WebhookPolicy{{ObjectMeta: meta, Spec: v1alpha1.WebhookPolicySpec{
		Signing: &v1alpha1.Signing{Type: v1alpha1.SigningStandardWebhooks, SecretRef: ref},
	}}}
	for i := range 10_000 {
		s.Webhooks = append(s.Webhooks, v1alpha1.Webhook{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprint("w", i)},
			Spec: v1alpha1.WebhookSpec{
				Type: v1alpha1.WebhookEventHandler, Events: []string{fmt.Sprint("item:", i%500)},
				Condition:        fmt.Sprintf("event.data.n > %d", i%100),
				Endpoint:         v1alpha1.Endpoint{URL: fmt.Sprintf("https://r%d.example.com/hooks", i)},
				AuthorizationRef: ref, PolicyRef: ref,
			},
		})
	}
	for b.Loop() {
		if _, err := route.Build(compile.Compile(s).Table); err != nil {
			b.Fatal(err)
		}
	}
}

func TestConditionsThatAreTooLongTogetherAreToldSo(t *testing.T) {
	long := func(n int) string { return `event.id == "` + strings.Repeat("x", n-len(`event.id == ""`)) + `"` }
	for _, tt := range []struct {
		condition, itemCondition int
		want                     string
	}{
		{2000, 2000, ""},
		{2100, 2100, "spec.itemCondition: together with spec.condition"},
		{0, 4060, ""},
		{0, 4096, "spec.itemCondition: together with spec.condition"},
	} {
		w := v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: "cms", Name: "a"}, Spec: v1alpha1.WebhookSpec{
			Type: v1alpha1.WebhookEventHandler, Events: []string{"*"}, Endpoint: v1alpha1.Endpoint{URL: "https://a.example/"},
			ItemCondition: long(tt.itemCondition),
		}}
		if tt.condition > 0 {
			w.Spec.Condition = long(tt.condition)
		}
		r := compile.Compile(compile.Snapshot{Webhooks: []v1alpha1.Webhook{w}})
		got := r.Webhooks[types.NamespacedName{Namespace: "cms", Name: "a"}].Text(v1alpha1.ConditionAccepted)
		if (tt.want == "") != (got == "") || !strings.HasPrefix(got, tt.want) {
			t.Errorf("%d and %d bytes: %q", tt.condition, tt.itemCondition, got)
		}
		if _, err := route.Build(r.Table); err != nil {
			t.Errorf("%d and %d bytes: %v", tt.condition, tt.itemCondition, err)
		}
	}
}
