// Command dispatcher takes events over HTTP and delivers them to receivers as
// the routing table says, which the operator publishes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/postrider/postrider/dispatcher"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	if err := run(ctx, os.Args[1:], os.Stderr); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "dispatcher:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stderr io.Writer) error {
	opts, events, admin, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if opts.Events, err = listen(ctx, events); err != nil {
		return err
	}
	if opts.Admin, err = listen(ctx, admin); err != nil {
		return errors.Join(err, opts.Events.Close())
	}
	return dispatcher.Run(ctx, opts)
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening: %w; is another program there already?", err)
	}
	return l, nil
}

// parse reads the flags: the options, and the two addresses to listen at.
func parse(args []string, stderr io.Writer) (opts dispatcher.Options, events, admin string, err error) {
	var (
		kubeconfig           string
		logLevel             slog.Level
		logFormat            string
		storeMax, storeSpare int64
	)
	f := flag.NewFlagSet("dispatcher", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&events, "listen", ":8080", "`address` where producers post events")
	f.StringVar(&admin, "admin-listen", ":8081", "`address` of health, readiness, metrics and report")
	f.StringVar(&opts.DataDir, "data-dir", "/var/lib/postrider", "`folder` of the store; one dispatcher at a time")
	f.Int64Var(&storeMax, "store-max-bytes", 8<<30, "room for stored events; from nine tenths of it on, events are refused with 429")
	f.Int64Var(&storeSpare, "store-min-free-bytes", 256<<20, "refuse events while the disk of the store has less than this left")
	f.StringVar(&kubeconfig, "kubeconfig", "", "`file` to reach the API server with; empty inside a cluster")
	f.StringVar(&opts.Namespace, "namespace", os.Getenv("POD_NAMESPACE"), "`namespace` of the Secrets that carry the routing table; default from POD_NAMESPACE")
	f.StringVar(&opts.RoutesFile, "routes-file", "", "JSON `file` with the routing table, instead of the Secrets; for runs without a cluster")
	f.StringVar(&opts.Audience, "audience", dispatcher.DefaultAudience, "what callers' tokens must be issued for")
	f.StringVar(&opts.TokenFile, "token-file", "", "CSV `file` of tokens and rights, instead of asking the API server; for runs without a cluster")
	f.Func("egress-allow-cidr", "`range` of addresses that may be dialled although it is not public, e.g. 10.20.0.0/16; repeatable", func(s string) error {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return fmt.Errorf("write a range like 10.20.0.0/16: %w", err)
		}
		if p.Addr().Is4In6() { // what is dialled is IPv4 by then, so it would match nothing
			return errors.New("this is IPv4 written as IPv6: write it as IPv4, like 10.20.0.0/16 for ::ffff:10.20.0.0/112")
		}
		opts.EgressAllow = append(opts.EgressAllow, p)
		return nil
	})
	f.TextVar(&logLevel, "log-level", slog.LevelInfo, "DEBUG, INFO, WARN or ERROR; DEBUG has a line for each success")
	f.StringVar(&logFormat, "log-format", "json", "json or text")
	f.Usage = func() {
		_, _ = fmt.Fprint(stderr, "dispatcher takes events over HTTP and delivers them to the receivers of the routing table.\n\n") // like PrintDefaults
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		return opts, "", "", err
	}
	if f.NArg() > 0 {
		return opts, "", "", fmt.Errorf("%q is not a flag; see --help", f.Arg(0))
	}

	handler := &slog.HandlerOptions{Level: logLevel}
	switch logFormat {
	case "json":
		opts.Log = slog.New(slog.NewJSONHandler(stderr, handler))
	case "text":
		opts.Log = slog.New(slog.NewTextHandler(stderr, handler))
	default:
		return opts, "", "", fmt.Errorf("--log-format is %q; use json or text", logFormat)
	}
	slog.SetDefault(opts.Log) // for what net/http says on the side
	// client-go would print whole objects to stderr when a watch goes wrong,
	// and here those are Secrets with every credential.
	klog.SetLogger(logr.Discard())
	if storeMax < 16<<20 || storeSpare < 0 {
		return opts, "", "", errors.New("--store-max-bytes must be at least 16777216 and --store-min-free-bytes not negative")
	}
	opts.StoreMaxBytes, opts.StoreMinFree = storeMax, uint64(storeSpare)

	if opts.RoutesFile == "" || opts.TokenFile == "" {
		if opts.RoutesFile == "" && opts.Namespace == "" {
			return opts, "", "", errors.New("--namespace is missing: where does the operator publish the routing table?")
		}
		// Without a kubeconfig this is the configuration of the pod.
		if opts.Kubernetes, err = clientcmd.BuildConfigFromFlags("", kubeconfig); err != nil {
			return opts, "", "", fmt.Errorf("there is no API server to talk to; give --kubeconfig, or --routes-file and --token-file to run without: %w", err)
		}
	}
	return opts, events, admin, nil
}
