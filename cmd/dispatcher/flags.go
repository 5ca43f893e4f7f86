package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/postrider/postrider/dispatcher"
	"github.com/postrider/postrider/version"
)

// flags are what the command line says.
type flags struct {
	*flag.FlagSet
	opts          dispatcher.Options
	events, admin string // addresses to listen at
	kubeconfig    string
	minFree       int64
	sync          string
	sitecoreCheck string
	logLevel      slog.Level
	logFormat     string
}

// parse reads the flags: the options, and the two addresses to listen at. It
// prints help, and then the error is flag.ErrHelp; it is version.ErrAsked when
// --version is given.
func parse(args []string, stderr io.Writer) (opts dispatcher.Options, events, admin string, err error) {
	f := &flags{FlagSet: flag.NewFlagSet("dispatcher", flag.ContinueOnError)}
	f.SetOutput(stderr)
	f.defineListeners()
	f.defineStore()
	f.defineNATS()
	f.defineTable()
	f.defineReceivers()
	f.defineObservation()
	askVersion := f.Bool("version", false, "print the version and end")
	f.Usage = func() {
		_, _ = fmt.Fprint(stderr, "dispatcher takes events over HTTP and delivers them to the receivers of the routing table.\n\n") // like PrintDefaults
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		return opts, "", "", err
	}
	if *askVersion {
		return opts, "", "", version.ErrAsked
	}
	if f.NArg() > 0 {
		return opts, "", "", fmt.Errorf("%q is not a flag; see --help", f.Arg(0))
	}
	for _, complete := range []func() error{func() error { return f.openLog(stderr) }, f.completeListeners, f.completeStore, f.completeNATS, f.completeTable} {
		if err := complete(); err != nil {
			return opts, "", "", err
		}
	}
	return f.opts, f.events, f.admin, nil
}

func (f *flags) defineListeners() {
	f.StringVar(&f.events, "listen", ":8080", "`address` where producers post events, and people ask about webhooks")
	f.StringVar(&f.admin, "admin-listen", ":8081", "`address` of health, readiness, metrics and report")
	f.StringVar(&f.opts.TLS.Cert, "tls-cert-file", "", "`file` with the certificate, and its chain, that both listeners show, in PEM; read again when it changes. Without it they speak plain HTTP")
	f.StringVar(&f.opts.TLS.Key, "tls-key-file", "", "`file` with its key, in PEM")
	f.StringVar(&f.sitecoreCheck, "sitecore-check", "refuse", "refuse: events of Sitecore's types whose data is not as Sitecore sends it are refused with 400. pass: they are taken, and go on as they came")
}

func (f *flags) defineStore() {
	s := &f.opts.Store
	f.StringVar(&s.DataDir, "data-dir", "/var/lib/postrider", "`folder` of the store; one dispatcher at a time")
	f.Int64Var(&s.MaxBytes, "store-max-bytes", 8<<30, "room for what is stored; from nine tenths of it on, events are refused with 429")
	f.Int64Var(&f.minFree, "store-min-free-bytes", 256<<20, "refuse events while the disk of the store has less than this left; not with --nats-url")
	f.StringVar(&f.sync, "store-sync", "always", "always: a 202 means that the disk has the event. interval: the disk has it within 10s, and a loss of power loses what it has not; costs less CPU. Not with --nats-url")
	f.Float64Var(&s.NamespaceShare, "store-namespace-share", 0.5, "part of --store-max-bytes that the waiting deliveries of one namespace may take; beyond it the namespace's events are refused with 429")
	f.DurationVar(&s.Retention, "retention", 24*time.Hour, "how long delivered events are kept, so that they can be sent again; at least 5m")
	f.Int64Var(&s.RetentionBytes, "retention-max-bytes", 0, "room for them, at most half of --store-max-bytes; 0 means a quarter. They are the first to go when room is short")
	f.DurationVar(&s.DeadLetterAge, "dead-letter-retention", 30*24*time.Hour, "how long dead letters are kept")
	f.DurationVar(&s.AttemptAge, "attempt-log-retention", 7*24*time.Hour, "how long the attempt log keeps an attempt")
}

func (f *flags) defineNATS() {
	n := &f.opts.Store.NATS
	f.Func("nats-url", "`URL` of a server of a NATS cluster with JetStream that keeps the store, for several dispatchers, instead of --data-dir; repeatable", func(s string) error {
		n.URLs = append(n.URLs, strings.Split(s, ",")...)
		return nil
	})
	f.IntVar(&f.opts.Store.Replicas, "nats-replicas", 3, "how many of its servers keep each message: 1, 3 or 5")
	f.StringVar(&n.Credentials, "nats-creds", "", "`file` with credentials of NATS (.creds)")
	f.StringVar(&n.UserFile, "nats-user-file", "", "`file` with the user name for NATS")
	f.StringVar(&n.PasswordFile, "nats-password-file", "", "`file` with the password for NATS")
	f.StringVar(&n.TokenFile, "nats-token-file", "", "`file` with the token for NATS")
	f.BoolVar(&n.Plaintext, "nats-plaintext", false, "send password or token to NATS servers without TLS, also over a network; for one that encrypts by itself")
	f.StringVar(&n.CA, "nats-ca", "", "`file` with the certificates of the authorities that NATS servers are trusted by")
	f.StringVar(&n.Cert, "nats-cert", "", "`file` with our certificate for NATS")
	f.StringVar(&n.Key, "nats-key", "", "`file` with its key")
}

func (f *flags) defineTable() {
	f.StringVar(&f.kubeconfig, "kubeconfig", "", "`file` to reach the API server with; empty inside a cluster")
	f.StringVar(&f.opts.Namespace, "namespace", os.Getenv("POD_NAMESPACE"), "`namespace` of the Secrets that carry the routing table; default from POD_NAMESPACE")
	f.StringVar(&f.opts.RoutesFile, "routes-file", "", "JSON `file` with the routing table, instead of the Secrets; for runs without a cluster")
	f.StringVar(&f.opts.Audience, "audience", dispatcher.DefaultAudience, "what callers' tokens must be issued for")
	f.StringVar(&f.opts.TokenFile, "token-file", "", "CSV `file` of tokens and rights, instead of asking the API server; for runs without a cluster")
}

func (f *flags) defineReceivers() {
	f.Func("egress-allow-cidr", "`range` of addresses that may be dialled although it is not public, e.g. 10.20.0.0/16; repeatable", f.allow)
	f.IntVar(&f.opts.HostConcurrency, "receiver-host-concurrency", 0, "how many attempts to one host and port may be under way at once, over all webhooks; 0 means no bound")
	f.Func("receiver-host-rate", "how many attempts to one host and port may begin in a time, over all webhooks, e.g. `100/1s`; none by default", func(s string) (err error) {
		f.opts.HostRate, err = parseRate(s)
		return err
	})
	f.DurationVar(&f.opts.ValidationBudget, "validation-budget", dispatcher.DefaultValidationBudget, "time for all validation actions of one workflow command, after which those that have not answered have refused; at most 30s")
}

func (f *flags) defineObservation() {
	f.BoolVar(&f.opts.PerWebhook, "metrics-per-webhook", true, "have metrics of each webhook: about twenty series for one that was attempted")
	f.BoolVar(&f.opts.Pprof, "pprof", false, "serve Go's profiles at /debug/pprof/ of --admin-listen, to callers who may get that path")
	f.BoolVar(&f.opts.Tracing, "tracing", false, "export OpenTelemetry traces by OTLP over HTTP; the OTEL_ environment variables say where to and how")
	f.TextVar(&f.logLevel, "log-level", slog.LevelInfo, "DEBUG, INFO, WARN or ERROR; DEBUG has a line for each success")
	f.StringVar(&f.logFormat, "log-format", "json", "json or text")
}

func (f *flags) allow(s string) error {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return fmt.Errorf("write a range like 10.20.0.0/16: %w", err)
	}
	if p.Addr().Is4In6() { // what is dialled is IPv4 by then, so it would match nothing
		return errors.New("this is IPv4 written as IPv6: write it as IPv4, like 10.20.0.0/16 for ::ffff:10.20.0.0/112")
	}
	f.opts.EgressAllow = append(f.opts.EgressAllow, p)
	return nil
}

func parseRate(s string) (r dispatcher.Rate, err error) {
	requests, per, _ := strings.Cut(s, "/")
	r.Requests, err = strconv.Atoi(requests)
	if err == nil {
		r.Per, err = time.ParseDuration(per)
	}
	if err != nil || r.Requests < 1 || r.Per <= 0 {
		return dispatcher.Rate{}, errors.New("write a number and a duration, like 100/1s")
	}
	return r, nil
}

func (f *flags) openLog(w io.Writer) error {
	handler := &slog.HandlerOptions{Level: f.logLevel}
	switch f.logFormat {
	case "json":
		f.opts.Log = slog.New(slog.NewJSONHandler(w, handler))
	case "text":
		f.opts.Log = slog.New(slog.NewTextHandler(w, handler))
	default:
		return fmt.Errorf("--log-format is %q; use json or text", f.logFormat)
	}
	slog.SetDefault(f.opts.Log) // for what net/http says on the side
	// client-go would print whole objects to stderr when a watch goes wrong,
	// and here those are Secrets with every credential.
	klog.SetLogger(logr.Discard())
	return nil
}

// minValidationBudget is the shortest timeout of a validation action.
const minValidationBudget = 100 * time.Millisecond

func (f *flags) completeListeners() error {
	for name, address := range map[string]string{"listen": f.events, "admin-listen": f.admin} {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return fmt.Errorf("--%s is %q; give an address such as :8080 or 127.0.0.1:8080", name, address)
		}
	}
	if t := f.opts.TLS; (t.Cert == "") != (t.Key == "") {
		return errors.New("--tls-cert-file and --tls-key-file go together: give both, or none for plain HTTP")
	}
	switch f.sitecoreCheck {
	case "refuse":
	case "pass":
		f.opts.AnySitecoreData = true
	default:
		return fmt.Errorf("--sitecore-check is %q; use refuse or pass", f.sitecoreCheck)
	}
	if f.opts.HostConcurrency < 0 {
		return errors.New("--receiver-host-concurrency must not be negative; 0 means no bound")
	}
	if b := f.opts.ValidationBudget; b < minValidationBudget || b > dispatcher.MaxValidationBudget {
		return fmt.Errorf("--validation-budget is %s; give from %s to %s, such as 10s", b, minValidationBudget, dispatcher.MaxValidationBudget)
	}
	return nil
}

// Less than minStore does not work, and what is kept for less than minKept is
// of no use to people.
const (
	minStore = 16 << 20
	minKept  = 5 * time.Minute
)

func (f *flags) completeStore() error {
	s := &f.opts.Store
	switch {
	case s.DataDir == "":
		return errors.New("--data-dir is empty; give a folder, such as /var/lib/postrider")
	case s.MaxBytes < minStore:
		return fmt.Errorf("--store-max-bytes must be at least %d", minStore)
	case f.minFree < 0:
		return errors.New("--store-min-free-bytes must not be negative")
	case !(s.NamespaceShare > 0 && s.NamespaceShare <= 1): // which NaN is not
		return fmt.Errorf("--store-namespace-share is %v; give a number above 0 and up to 1, such as 0.5", s.NamespaceShare)
	case s.RetentionBytes < 0 || s.RetentionBytes > s.MaxBytes/2:
		return fmt.Errorf("--retention-max-bytes is %d; give at most half of --store-max-bytes, which is %d, or 0 for a quarter", s.RetentionBytes, s.MaxBytes/2)
	}
	for name, kept := range map[string]time.Duration{
		"retention": s.Retention, "dead-letter-retention": s.DeadLetterAge, "attempt-log-retention": s.AttemptAge,
	} {
		if kept < minKept {
			return fmt.Errorf("--%s is %s; give at least %s", name, kept, minKept)
		}
	}
	s.MinFree = uint64(f.minFree)
	switch f.sync {
	case "always":
	case "interval":
		s.SyncLazy = true
	default:
		return fmt.Errorf("--store-sync is %q; use always or interval", f.sync)
	}
	return nil
}

func (f *flags) completeNATS() error {
	remote := len(f.opts.Store.NATS.URLs) > 0
	var err error
	f.Visit(func(given *flag.Flag) {
		switch name := given.Name; {
		case !remote && strings.HasPrefix(name, "nats-"):
			err = errors.Join(err, fmt.Errorf("--%s is about a NATS cluster, and --nats-url is missing: give both or none", name))
		case remote && (name == "store-sync" || name == "store-min-free-bytes"):
			err = errors.Join(err, fmt.Errorf("--%s is about the embedded store, and --nats-url is given: set it at the servers instead, and leave it out here", name))
		}
	})
	if r := f.opts.Store.Replicas; r != 1 && r != 3 && r != 5 {
		err = errors.Join(err, fmt.Errorf("--nats-replicas is %d; give 1, 3 or 5", r))
	}
	n := &f.opts.Store.NATS
	n.Log, n.Name = f.opts.Log, "dispatcher"
	if host, err := os.Hostname(); err == nil {
		n.Name = host
	}
	return err
}

func (f *flags) completeTable() (err error) {
	if f.opts.Audience == "" {
		return errors.New("--audience is empty; give what callers' tokens must be issued for, such as postrider")
	}
	if f.opts.RoutesFile != "" && f.opts.TokenFile != "" {
		return nil
	}
	if f.opts.RoutesFile == "" && f.opts.Namespace == "" {
		return errors.New("--namespace is missing: where does the operator publish the routing table?")
	}
	// Without a kubeconfig this is the configuration of the pod.
	if f.opts.Kubernetes, err = clientcmd.BuildConfigFromFlags("", f.kubeconfig); err != nil {
		return fmt.Errorf("there is no API server to talk to; give --kubeconfig, or --routes-file and --token-file to run without: %w", err)
	}
	return nil
}
