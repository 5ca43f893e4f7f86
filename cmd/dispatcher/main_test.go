package main

import (
	"bytes"
	"errors"
	"flag"
	"strings"
	"testing"
	"time"
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
		{"a sync that is none", append(alone, "--store-sync", "never"), "use always or interval"},
		{"a rate that is none", append(alone, "--receiver-host-rate", "100"), "like 100/1s"},
		{"a bound below zero", append(alone, "--receiver-host-concurrency", "-1"), "must not be negative"},
		{"a way to log in to nothing", append(alone, "--nats-creds", "c"), "--nats-url is missing"},
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
		"--nats-url", "nats://a:4222,nats://b:4222", "--nats-url", "nats://c:4222", "--receiver-host-rate", "100/1s", "--store-sync", "interval",
	}, new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	if events != "127.0.0.1:1" || admin != "127.0.0.1:2" || len(o.EgressAllow) != 2 || o.Store.DataDir != "d" || !o.Pprof || !o.Tracing || o.Kubernetes != nil {
		t.Errorf("it is %+v, %s, %s", o, events, admin)
	}
	if s := o.Store; len(s.NATS.URLs) != 3 || !s.SyncLazy || o.HostRate.Requests != 100 || o.HostRate.Per != time.Second {
		t.Errorf("it is %+v", o)
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
