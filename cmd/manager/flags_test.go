package main

import (
	"bytes"
	"errors"
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/postrider/postrider/version"
)

func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestFlagsBecomeOptions(t *testing.T) {
	s, err := parse([]string{
		"--kubeconfig=k", "--dispatcher-url=http://127.0.0.1:1", "--dispatcher-url", "https://d.example",
		"--dispatcher-service=other/dispatcher", "--dispatcher-token-file=t", "--leader-elect", "--activity-interval=2m", "--log-format=json",
	}, environment("POD_NAMESPACE", "mine"), &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	o := s.options
	if diff := cmp.Diff([]string{"http://127.0.0.1:1", "https://d.example"}, o.DispatcherURLs); diff != "" {
		t.Error(diff)
	}
	if o.DispatcherService != (types.NamespacedName{Namespace: "other", Name: "dispatcher"}) {
		t.Errorf("the service is %v", o.DispatcherService)
	}
	if s.kubeconfig != "k" || o.Namespace != "mine" || o.TokenFile != "t" || !o.LeaderElect || o.ActivityInterval != 2*time.Minute || o.AdminPortName != "admin" {
		t.Errorf("the settings are %+v", s)
	}
}

func TestTheVersionIsToldWhateverElseIsMissing(t *testing.T) {
	if _, err := parse([]string{"--version", "--namespace="}, environment(), &bytes.Buffer{}); !errors.Is(err, version.ErrAsked) {
		t.Errorf("the error is %v", err)
	}
}

func TestWhatIsLeftOutHasADefault(t *testing.T) {
	s, err := parse([]string{"--dispatcher-service=dispatcher"}, environment(), &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if s.options.ActivityInterval != 5*time.Minute || s.options.Grace != 30*time.Second {
		t.Errorf("the interval is %s, the grace %s", s.options.ActivityInterval, s.options.Grace)
	}
	if got := s.options.EventsService.String(); got != "postrider-system/postrider-events" || s.options.ClusterDomain != "cluster.local" || s.options.TLSSecret != "" || s.options.CAFile != "" {
		t.Errorf("for TLS there are %q, %q, %q and %q", got, s.options.ClusterDomain, s.options.TLSSecret, s.options.CAFile)
	}
	if got := s.options.DispatcherService.String(); got != "postrider-system/dispatcher" {
		t.Errorf("the service is %s", got)
	}
}

func TestAWrongFlagIsRefusedWithARemedy(t *testing.T) {
	for arg, remedy := range map[string]string{
		"--dispatcher-url=127.0.0.1:9402":                  "http://127.0.0.1:8081",
		"--dispatcher-service=a/b/c":                       "postrider-system/dispatcher",
		"--dispatcher-url=http://a:b@c:1":                  "--dispatcher-token-file",
		"--dispatcher-url=http://a/report":                 "http://127.0.0.1:8081",
		"--dispatcher-admin-port-name=":                    "such as admin",
		"--namespace=":                                     "such as postrider-system",
		"--metrics-bind-address=":                          "or 0 for none",
		"--health-probe-bind-address=8081":                 "such as :8080",
		"--dispatcher-grace=-1s":                           "at least 1s",
		"--dispatcher-tls-secret=postrider-ca":             "such as postrider-dispatcher-tls",
		"--dispatcher-tls-secret=A_b":                      "such as postrider-dispatcher-tls",
		"--dispatcher-tls-secret=a --dispatcher-ca-file=b": "exclude each other",
		"--dispatcher-tls-secret=a --cluster-domain=a..b":  "such as cluster.local",
		"--dispatcher-tls-secret=a --events-service=":      "such as postrider-events",
		"--events-service=a/b/c":                           "--events-service \"a/b/c\" must look like",
		"--log-level=loud":                                 "debug, info, warn or error",
		"--log-format=xml":                                 "json or text",
		"--activity-interval=1ms":                          "at least 1s",
		"start":                                            "see --help",
	} {
		if _, err := parse(strings.Fields(arg), environment(), &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), remedy) {
			t.Errorf("%s: %v", arg, err)
		}
	}
}

func TestHelpTellsEveryFlag(t *testing.T) {
	var out bytes.Buffer
	if _, err := parse([]string{"--help"}, environment(), &out); !errors.Is(err, flag.ErrHelp) {
		t.Fatal(err)
	}
	for _, name := range []string{"namespace", "kubeconfig", "dispatcher-url", "dispatcher-service", "dispatcher-token-file", "leader-elect",
		"metrics-bind-address", "health-probe-bind-address", "activity-interval", "log-level", "log-format",
		"dispatcher-tls-secret", "dispatcher-ca-file", "events-service", "cluster-domain"} {
		if !strings.Contains(out.String(), "-"+name+" ") && !strings.Contains(out.String(), "-"+name+"\n") {
			t.Errorf("--%s is missing in:\n%s", name, out.String())
		}
	}
}
