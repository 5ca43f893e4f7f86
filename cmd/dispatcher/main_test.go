package main

import (
	"bytes"
	"errors"
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/version"
)

func TestFlagsThatMakeNoSenseAreRefusedWithARemedy(t *testing.T) {
	alone := []string{"--routes-file", "r", "--token-file", "t"}
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"no namespace", nil, "--namespace is missing"},
		{"a range that is none", []string{"--egress-allow-cidr", "10.0.0.0"}, "write a range like 10.20.0.0/16"},
		{"a range of IPv4 written as IPv6", []string{"--egress-allow-cidr", "::ffff:10.0.0.0/104"}, "write it as IPv4, like 10.20.0.0/16"},
		{"a level that is none", []string{"--log-level", "loud"}, "log-level"},
		{"a format that is none", append(alone, "--log-format", "xml"), "use json or text"},
		{"a store without room", append(alone, "--store-max-bytes", "1"), "at least 16777216"},
		{"a certificate without a key", append(alone, "--tls-cert-file", "tls.crt"), "give both, or none for plain HTTP"},
		{"a check that is none", append(alone, "--sitecore-check", "warn"), "use refuse or pass"},
		{"a sync that is none", append(alone, "--store-sync", "never"), "use always or interval"},
		{"a rate that is none", append(alone, "--receiver-host-rate", "100"), "like 100/1s"},
		{"a bound below zero", append(alone, "--receiver-host-concurrency", "-1"), "must not be negative"},
		{"no time to validate", append(alone, "--validation-budget", "0"), "--validation-budget is 0s; give from 100ms to 30s"},
		{"an endless validation", append(alone, "--validation-budget", "31s"), "give from 100ms to 30s"},
		{"a folder without a name", append(alone, "--data-dir", ""), "give a folder"},
		{"nowhere to listen", append(alone, "--listen", ""), "--listen is \"\"; give an address such as :8080"},
		{"no port to listen at", append(alone, "--admin-listen", "localhost"), "--admin-listen is \"localhost\"; give an address"},
		{"less than nothing left", append(alone, "--store-min-free-bytes", "-1"), "must not be negative"},
		{"a share that is no number", append(alone, "--store-namespace-share", "NaN"), "--store-namespace-share is NaN; give a number above 0 and up to 1"},
		{"an endless share", append(alone, "--store-namespace-share", "+Inf"), "give a number above 0 and up to 1"},
		{"a share below zero", append(alone, "--store-namespace-share", "-0.5"), "give a number above 0 and up to 1"},
		{"no share", append(alone, "--store-namespace-share", "0"), "give a number above 0 and up to 1"},
		{"more than all", append(alone, "--store-namespace-share", "1.01"), "give a number above 0 and up to 1"},
		{"a history below zero", append(alone, "--retention-max-bytes", "-1"), "give at most half of --store-max-bytes"},
		{"a history as large as the store", append(alone, "--store-max-bytes", "33554432", "--retention-max-bytes", "33554432"), "which is 16777216"},
		{"events that are not kept", append(alone, "--retention", "0"), "--retention is 0s; give at least 5m0s"},
		{"dead letters from the future", append(alone, "--dead-letter-retention", "-1h"), "--dead-letter-retention is -1h0m0s; give at least"},
		{"attempts that are not kept", append(alone, "--attempt-log-retention", "1ns"), "--attempt-log-retention is 1ns; give at least"},
		{"a rate of nothing", append(alone, "--receiver-host-rate", "0/1s"), "like 100/1s"},
		{"a rate in no time", append(alone, "--receiver-host-rate", "100/-1s"), "like 100/1s"},
		{"a way to log in to nothing", append(alone, "--nats-creds", "c"), "--nats-creds is about a NATS cluster, and --nats-url is missing"},
		{"copies of nothing", append(alone, "--nats-replicas", "1"), "--nats-url is missing"},
		{"two copies", append(alone, "--nats-url", "nats://a:4222", "--nats-replicas", "2"), "give 1, 3 or 5"},
		{"a sync of servers elsewhere", append(alone, "--nats-url", "nats://a:4222", "--store-sync", "interval"), "--store-sync is about the embedded store"},
		{"a disk of servers elsewhere", append(alone, "--nats-url", "nats://a:4222", "--store-min-free-bytes", "0"), "is about the embedded store"},
		{"tokens for anybody", append(alone, "--audience", ""), "--audience is empty"},
		{"a word that is no flag", append(alone, "now"), `"now" is not a flag`},
		{"no API server", []string{"--namespace", "n", "--kubeconfig", "/does/not/exist"}, "there is no API server to talk to"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("POD_NAMESPACE", "")
			_, _, _, err := parse(tt.args, new(bytes.Buffer))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestFlagsBecomeOptions(t *testing.T) {
	o, events, admin, err := parse([]string{
		"--routes-file", "r", "--token-file", "t", "--listen", "127.0.0.1:1", "--admin-listen", "127.0.0.1:2",
		"--egress-allow-cidr", "10.0.0.0/8", "--egress-allow-cidr", "fd00::/8", "--data-dir", "d", "--pprof", "--tracing",
		"--receiver-host-rate", "100/1s", "--store-sync", "interval", "--sitecore-check", "pass",
	}, new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	if events != "127.0.0.1:1" || admin != "127.0.0.1:2" || len(o.EgressAllow) != 2 || o.Store.DataDir != "d" || !o.Pprof || !o.Tracing || !o.AnySitecoreData || o.Kubernetes != nil {
		t.Errorf("it is %+v, %s, %s", o, events, admin)
	}
	if s := o.Store; !s.SyncLazy || o.HostRate.Requests != 100 || o.HostRate.Per != time.Second {
		t.Errorf("it is %+v", o)
	}
	o, _, _, err = parse([]string{
		"--routes-file", "r", "--token-file", "t", "--nats-url", "nats://a:4222,nats://b:4222", "--nats-url", "nats://c:4222", "--nats-replicas", "1",
	}, new(bytes.Buffer))
	if s := o.Store; err != nil || len(s.NATS.URLs) != 3 || s.Replicas != 1 || o.AnySitecoreData {
		t.Errorf("it is %+v, %v", s, err)
	}
}

func TestTheVersionIsToldWhateverElseIsMissing(t *testing.T) {
	t.Setenv("POD_NAMESPACE", "")
	if _, _, _, err := parse([]string{"--version"}, new(bytes.Buffer)); !errors.Is(err, version.ErrAsked) {
		t.Errorf("the error is %v", err)
	}
}

func TestHelpNamesEveryFlagAndIsNoError(t *testing.T) {
	var out bytes.Buffer
	if _, _, _, err := parse([]string{"--help"}, &out); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("the error is %v", err)
	}
	for _, name := range []string{"listen", "admin-listen", "data-dir", "kubeconfig", "token-file", "egress-allow-cidr", "pprof", "tracing"} {
		if !strings.Contains(out.String(), "-"+name) {
			t.Errorf("the help does not speak of --%s", name)
		}
	}
}
