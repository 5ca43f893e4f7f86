package monitoring_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
)

const alertsFile = "../../charts/postrider/files/alerts.yaml"

const every = time.Minute // between two samples, and between two evaluations

// cases has for each alert series that it must be about, and series like them
// that are as they should be. Each has samples for two hours, one a minute.
var cases = map[string]struct {
	bad, good []string
	after     time.Duration // it fires by then
}{
	"PostriderRefusesEvents": {
		bad:   []string{`postrider_ingest_events_total{result="Full"} 0+60x120`, `postrider_ingest_events_total{result="Accepted"} 0+600x120`},
		good:  []string{`postrider_ingest_events_total{result="Full"} 0x120`, `postrider_ingest_events_total{result="Refused"} 0+600x120`},
		after: 10 * time.Minute,
	},
	"PostriderStoreFillsUp": {
		bad:   []string{`postrider_queue_stored_bytes 85x120`, `postrider_queue_room_bytes 100x120`},
		good:  []string{`postrider_queue_stored_bytes 75x120`, `postrider_queue_room_bytes 100x120`},
		after: 20 * time.Minute,
	},
	"PostriderDispatcherAbsent": {
		bad:   []string{`postrider_source_routes 3x10`},
		good:  []string{`postrider_source_routes{instance="a"} 0x120`, `postrider_source_routes{instance="b"} 3x10`},
		after: 30 * time.Minute,
	},
	"PostriderAttemptsFailEverywhere": {
		bad: []string{
			`postrider_deliver_attempts_total{reason="DNSFailed"} 0+500x120`, `postrider_deliver_attempts_total{reason="Timeout"} 0+60x120`,
			`postrider_deliver_attempts_total{reason="Delivered"} 0+5x120`,
		},
		good: []string{
			`postrider_deliver_attempts_total{reason="Rejected"} 0+500x120`, `postrider_deliver_attempts_total{reason="Timeout"} 0+500x120`,
			`postrider_deliver_attempts_total{reason="Delivered"} 0+500x120`,
		},
		after: 20 * time.Minute,
	},
	"PostriderReceiverFails": {
		bad:   []string{`postrider_webhook_breaker_state{namespace="shop",webhook="orders"} 2 2 2 1 2x116`},
		good:  []string{`postrider_webhook_breaker_state{namespace="shop",webhook="orders"} 2x10 0x110`},
		after: 20 * time.Minute,
	},
	"PostriderWebhookDisabled": {
		bad:   []string{`postrider_source_held_routes{hold="ConsecutiveFailures"} 0x10 1x110`},
		good:  []string{`postrider_source_held_routes{hold="ConsecutiveFailures"} 0x120`, `postrider_source_held_routes{hold="SpecDisabled"} 4x120`},
		after: 15 * time.Minute,
	},
	"PostriderGivesUp": {
		bad:   []string{`postrider_deliver_dead_letters_total 0x10 5x110`},
		good:  []string{`postrider_deliver_dead_letters_total 5x120`},
		after: 15 * time.Minute,
	},
	"PostriderBacklogGrows": {
		bad:   []string{`postrider_webhook_waiting{namespace="shop",webhook="orders"} 900+50x120`},
		good:  []string{`postrider_webhook_waiting{namespace="shop",webhook="orders"} 90000-500x120`, `postrider_webhook_waiting{namespace="shop",webhook="mails"} 0+2x120`},
		after: 30 * time.Minute,
	},
	"PostriderDeliveriesLate": {
		bad:   []string{`postrider_webhook_oldest_pending_seconds{namespace="shop",webhook="orders"} 0+60x120`},
		good:  []string{`postrider_webhook_oldest_pending_seconds{namespace="shop",webhook="orders"} 500x120`},
		after: 40 * time.Minute,
	},
	"PostriderTableRejected": {
		bad:   []string{`postrider_source_table_rejected{instance="a"} 0x120`, `postrider_source_table_rejected{instance="b"} 1x120`},
		good:  []string{`postrider_source_table_rejected 1x3 0x117`},
		after: 10 * time.Minute,
	},
	"PostriderManagerAbsent": {
		bad:   []string{`leader_election_master_status{name="manager.postrider.dev",instance="a"} 0x120`, `leader_election_master_status{name="other"} 1x120`},
		good:  []string{`leader_election_master_status{name="manager.postrider.dev",instance="a"} 0x120`, `leader_election_master_status{name="manager.postrider.dev",instance="b"} 1x120`},
		after: 15 * time.Minute,
	},
	"PostriderReconcileErrors": {
		bad: []string{
			`leader_election_master_status{name="manager.postrider.dev",instance="a"} 1x120`,
			`controller_runtime_reconcile_errors_total{controller="table",instance="a"} 0+1x120`,
		},
		good: []string{ // the errors of another program
			`leader_election_master_status{name="manager.postrider.dev",instance="a"} 1x120`,
			`controller_runtime_reconcile_errors_total{controller="table",instance="a"} 1x120`,
			`controller_runtime_reconcile_errors_total{controller="webhook",instance="b"} 0+1x120`,
		},
		after: 30 * time.Minute,
	},
	"PostriderCertificateExpires": { // the time begins at 0
		bad:   []string{`postrider_tls_certificate_not_after_seconds{certificate="serving"} 864000x120`},
		good:  []string{`postrider_tls_certificate_not_after_seconds{certificate="serving"} 2592000x120`},
		after: 70 * time.Minute,
	},
	"PostriderCertificateRejected": {
		bad:   []string{`postrider_tls_certificate_rejected 1x120`},
		good:  []string{`postrider_tls_certificate_rejected 0x120`},
		after: 20 * time.Minute,
	},
}

// alerts are the rules of the file, by name.
func alerts(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	text, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	groups, errs := rulefmt.Parse(text, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	if t.Failed() {
		t.FailNow()
	}
	all := map[string]rulefmt.Rule{}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if _, twice := all[r.Alert]; twice || r.Alert == "" {
				t.Fatalf("the rule %q is there twice, or is no alert", r.Alert)
			}
			all[r.Alert] = r
		}
	}
	return all
}

// play evaluates all rules over the series for two hours, and returns when the
// alert was firing first, with the annotations that it had.
func play(t *testing.T, alert string, series []string) (first time.Duration, annotations map[string]string) {
	t.Helper()
	suite, err := promqltest.NewLazyLoader("load 1m\n  "+strings.Join(series, "\n  ")+"\n",
		promqltest.LazyLoaderOpts{EnableAtModifier: true, EnableNegativeOffset: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := suite.Close(); err != nil {
			t.Error(err)
		}
	}()
	manager := rules.NewManager(&rules.ManagerOptions{
		QueryFunc:  rules.EngineQueryFunc(suite.QueryEngine(), suite.Storage()),
		Appendable: suite.Storage(), Queryable: suite.Storage(), Context: t.Context(),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {},
		Logger:     slog.New(slog.DiscardHandler),
	})
	groups, errs := manager.LoadGroups(every, nilLabels, "", nil, false, alertsFile)
	for _, err := range errs {
		t.Fatal(err)
	}
	for _, g := range groups {
		for _, r := range g.Rules() {
			if a, ok := r.(*rules.AlertingRule); ok {
				a.SetRestored(true)
			}
		}
	}
	first = -1
	for at := time.Duration(0); at <= 2*time.Hour && first < 0; at += every {
		now := time.Unix(0, 0).UTC().Add(at)
		suite.WithSamplesTill(now, func(err error) {
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range groups {
				g.Eval(suite.Context(), now)
				for _, r := range g.Rules() {
					if r.LastError() != nil {
						t.Fatalf("%s: %v", r.Name(), r.LastError())
					}
					a, ok := r.(*rules.AlertingRule)
					if !ok || a.Name() != alert {
						continue
					}
					for _, active := range a.ActiveAlerts() {
						if active.State == rules.StateFiring && first < 0 {
							first, annotations = at, active.Annotations.Map()
						}
					}
				}
			}
		})
	}
	return first, annotations
}

func TestEachAlertFiresOnWhatIsWrongAndNotOnWhatIsRight(t *testing.T) {
	for name := range alerts(t) {
		t.Run(name, func(t *testing.T) {
			c, ok := cases[name]
			if !ok {
				t.Fatal("there is no case for it: say in cases what it is about")
			}
			switch at, annotations := play(t, name, c.bad); {
			case at < 0:
				t.Error("it does not fire")
			case at > c.after:
				t.Errorf("it fires after %s only", at)
			default:
				for key, text := range annotations {
					if strings.Contains(text, "<error") || strings.Contains(text, "%!") || strings.Contains(text, "<no value>") {
						t.Errorf("%s is %q", key, text)
					}
				}
			}
			if at, _ := play(t, name, c.good); at >= 0 {
				t.Errorf("it fires after %s although all is well", at)
			}
		})
	}
	for name := range cases {
		if _, ok := alerts(t)[name]; !ok {
			t.Errorf("there is no alert %s", name)
		}
	}
}

func TestEachAlertTellsHowUrgentItIsAndLeadsToItsRunbook(t *testing.T) {
	page, err := os.ReadFile(filepath.FromSlash("../../docs/alerts.md"))
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{} // by the anchor of the heading
	for section := range strings.SplitSeq(string(page), "\n## ") {
		heading, text, _ := strings.Cut(section, "\n")
		if !strings.HasPrefix(heading, "# ") { // which begins the page
			sections[strings.ToLower(heading)] = text
		}
	}
	all := alerts(t)
	for name, r := range all {
		switch r.Labels["severity"] {
		case "critical", "warning":
		default:
			t.Errorf("the severity of %s is %q", name, r.Labels["severity"])
		}
		for _, key := range []string{"summary", "description", "runbook_url"} {
			if r.Annotations[key] == "" {
				t.Errorf("%s has no %s", name, key)
			}
		}
		if want := "https://github.com/postrider/postrider/blob/main/docs/alerts.md#" + strings.ToLower(name); r.Annotations["runbook_url"] != want {
			t.Errorf("the runbook of %s is %s, not %s", name, r.Annotations["runbook_url"], want)
		}
		section := sections[strings.ToLower(name)]
		for _, line := range []string{"**Meaning.** ", "**Look at.** ", "**Do.** "} {
			if !strings.Contains(section, line) {
				t.Errorf("docs/alerts.md says nothing under %q about %s", line, name)
			}
		}
	}
	for anchor := range sections {
		found := false
		for name := range all {
			found = found || strings.ToLower(name) == anchor
		}
		if !found {
			t.Errorf("docs/alerts.md has a section %s, which is no alert", anchor)
		}
	}
}
