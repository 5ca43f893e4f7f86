package status_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/controllers/compile"
	"github.com/postrider/postrider/controllers/rollout"
	"github.com/postrider/postrider/controllers/status"
	"github.com/postrider/postrider/internal/scenario"
)

var now = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// facts are what a scenario gives, beside the object as it was.
type facts struct {
	Verdict compile.Verdict
	Rollout rollout.Facts
}

// TestScenarios is the specification of a Webhook's status: each file in
// testdata says in one sentence what it shows, then the Webhook as it was, what
// is known, and the status that follows.
func TestScenarios(t *testing.T) {
	scenario.Each(t, func(t *testing.T, a *txtar.Archive) []txtar.File {
		t.Helper()
		var w v1alpha1.Webhook
		var f facts
		if err := yaml.Unmarshal(a.Files[0].Data, &w); err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(a.Files[1].Data, &f); err != nil {
			t.Fatal(err)
		}
		past := status.PastOf(&w, f.Rollout)
		next := status.ForWebhook(&w, f.Verdict, f.Rollout, past, now)
		out, err := yaml.Marshal(next)
		if err != nil {
			t.Fatal(err)
		}

		w.Status = stored(t, out)
		again := status.ForWebhook(&w, f.Verdict, f.Rollout, past, now.Add(time.Hour))
		if _, changed := status.Patience(w.Status, again, time.Minute); changed {
			t.Errorf("equal facts changed the status:\n%s", cmp.Diff(w.Status, again))
		}

		return []txtar.File{a.Files[0], a.Files[1], {Name: "status.yaml", Data: out}}
	})
}

// stored is a status as it comes back from the API server.
func stored(t *testing.T, text []byte) (s v1alpha1.WebhookStatus) {
	t.Helper()
	if err := yaml.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAChangeWaitsAccordingToItsWeight(t *testing.T) {
	base := `
conditions:
- {type: Ready, status: "True", reason: Ready, message: m, lastTransitionTime: "2026-01-02T03:00:00Z"}
- {type: Delivering, status: "True", reason: Delivered, message: m, lastTransitionTime: "2026-01-02T03:00:00Z"}
state: Enabled
lastDelivery: {time: "2026-01-02T03:00:00Z", outcome: Delivered, attempt: 1}
lastSuccessTime: "2026-01-02T03:00:00Z"
lastError: Timeout
lastErrorTime: "2026-01-01T00:00:00Z"
pending: 3
`
	for name, tt := range map[string]struct {
		change  func(*v1alpha1.WebhookStatus)
		wait    time.Duration
		changed bool
	}{
		"nothing":                {func(*v1alpha1.WebhookStatus) {}, 0, false},
		"a condition":            {func(s *v1alpha1.WebhookStatus) { s.Conditions[0].Reason = "Other" }, 0, true},
		"a generation":           {func(s *v1alpha1.WebhookStatus) { s.ObservedGeneration++ }, 0, true},
		"an automatic disabling": {func(s *v1alpha1.WebhookStatus) { s.AutomaticDisabling = &v1alpha1.AutomaticDisabling{Number: 1} }, 0, true},
		"since when it fails":    {func(s *v1alpha1.WebhookStatus) { s.FailingSince = s.LastErrorTime }, time.Minute, true},
		"the state":              {func(s *v1alpha1.WebhookStatus) { s.State = v1alpha1.StateDisabled }, 0, true},
		"the first delivery":     {func(s *v1alpha1.WebhookStatus) { s.LastDelivery = nil }, 0, true},
		"the receiver fails":     {func(s *v1alpha1.WebhookStatus) { s.Conditions[1].Status = "False" }, time.Second, true},
		"the first failure":      {func(s *v1alpha1.WebhookStatus) { s.ConsecutiveFailures = 1 }, time.Second, true},
		"another error":          {func(s *v1alpha1.WebhookStatus) { s.LastError = "404 Not Found" }, time.Second, true},
		"the first dead letter":  {func(s *v1alpha1.WebhookStatus) { s.DeadLetters = 1 }, time.Second, true},
		"the time of a delivery": {func(s *v1alpha1.WebhookStatus) { s.LastDelivery.EventID = "x" }, time.Minute, true},
		"how many are pending":   {func(s *v1alpha1.WebhookStatus) { s.Pending = 0 }, time.Minute, true},
		"the time of a success":  {func(s *v1alpha1.WebhookStatus) { s.LastSuccessTime = s.LastErrorTime }, time.Minute, true},
		"the time of an error":   {func(s *v1alpha1.WebhookStatus) { s.LastErrorTime = s.LastSuccessTime }, time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			old, next := stored(t, []byte(base)), stored(t, []byte(base))
			tt.change(&next)
			if wait, changed := status.Patience(old, next, time.Minute); wait != tt.wait || changed != tt.changed {
				t.Errorf("it waits %s, changed %t", wait, changed)
			}
		})
	}
}

func TestAJudgedObjectIsReadyWhenItsConditionsAre(t *testing.T) {
	wrong := compile.Fault{Condition: v1alpha1.ConditionAccepted, Reason: v1alpha1.ReasonInvalidTerms, Path: "spec.timeout", Detail: "1m30s is not from 100ms to 1m0s"}
	missing := compile.Fault{Condition: v1alpha1.ConditionResolvedRefs, Reason: v1alpha1.ReasonSecretNotFound, Path: "spec.x", Detail: "it is not there"}
	for name, tt := range map[string]struct {
		faults []compile.Fault
		want   string
	}{
		"all is well":         {nil, "Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs Ready=True/Ready"},
		"a Secret is missing": {[]compile.Fault{missing}, "Accepted=True/Accepted ResolvedRefs=False/SecretNotFound Ready=False/SecretNotFound"},
		"it makes no sense":   {[]compile.Fault{missing, wrong}, "Accepted=False/InvalidTerms ResolvedRefs=False/SecretNotFound Ready=False/InvalidTerms Stalled=True/InvalidTerms"},
	} {
		t.Run(name, func(t *testing.T) {
			got := status.ForJudged(v1alpha1.JudgedStatus{}, compile.Verdict{Generation: 2, Faults: tt.faults}, now)
			var words []string
			for _, c := range got.Conditions {
				words = append(words, c.Type+"="+string(c.Status)+"/"+c.Reason)
			}
			if text := strings.Join(words, " "); text != tt.want || got.ObservedGeneration != 2 {
				t.Errorf("the status is %s, of generation %d", text, got.ObservedGeneration)
			}
			if again := status.ForJudged(got, compile.Verdict{Generation: 2, Faults: tt.faults}, now.Add(time.Hour)); !cmp.Equal(again, got) {
				t.Error("equal facts changed the status")
			}
		})
	}
}

func TestTextsStayWithinWhatTheAPIServerTakes(t *testing.T) {
	var f facts
	f.Rollout.Progress.Phase = rollout.Pending
	f.Rollout.Summary.LastError = strings.Repeat("ü", 600) + "\xff"
	f.Rollout.Summary.LastErrorTime = now
	next := status.ForWebhook(&v1alpha1.Webhook{}, f.Verdict, f.Rollout, status.Past{}, now)
	if n := len(next.LastError); n > 1024 || next.LastError != strings.ToValidUTF8(next.LastError, "") {
		t.Errorf("%d bytes: %q", n, next.LastError)
	}
}
