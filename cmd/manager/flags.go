package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/postrider/postrider/controllers"
	"github.com/postrider/postrider/version"
)

// settings are what the command line says.
type settings struct {
	kubeconfig string
	options    controllers.Options
}

const usage = `manager compiles Webhooks, AuthorizationItems and WebhookPolicies into the routing
table of the dispatchers, and writes back on each object what became of it.

Flags:
`

// parse reads the command line. It prints help to out, and then the error is
// flag.ErrHelp; it is version.ErrAsked when --version is given.
func parse(args []string, getenv func(string) string, out io.Writer) (settings, error) {
	var s settings
	var service, eventsService, level, format string
	o := &s.options

	f := flag.NewFlagSet("manager", flag.ContinueOnError)
	f.SetOutput(out)
	f.Usage = func() {
		_, _ = fmt.Fprint(out, usage) // nobody is left to tell when this fails
		f.PrintDefaults()
	}
	f.StringVar(&s.kubeconfig, "kubeconfig", "", "`file` with the address of the API server; default: $KUBECONFIG, the cluster around, ~/.kube/config")
	f.StringVar(&o.Namespace, "namespace", ownNamespace(getenv), "`namespace` in which the table is published, where the dispatchers run")
	f.Func("dispatcher-url", "admin `address` of a dispatcher, such as http://127.0.0.1:8081; may be repeated", func(v string) error {
		u, err := url.Parse(v)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
			return errors.New("it must look like http://127.0.0.1:8081")
		case u.User != nil:
			return errors.New("it must not carry a password: give a token with --dispatcher-token-file")
		}
		o.DispatcherURLs = append(o.DispatcherURLs, v)
		return nil
	})
	f.StringVar(&service, "dispatcher-service", "", "headless Service (`namespace/name`) whose ready endpoints are dispatchers")
	f.StringVar(&o.AdminPortName, "dispatcher-admin-port-name", controllers.DefaultAdminPortName, "`name` of the admin port of that Service")
	f.StringVar(&o.TokenFile, "dispatcher-token-file", "", "`file` with the bearer token for the dispatchers' reports, read anew each time")
	f.StringVar(&o.TLSSecret, "dispatcher-tls-secret", "", "`name` of the Secret, in --namespace, in which the manager keeps a certificate for the dispatchers, by an authority of its own that it publishes as ConfigMap "+controllers.CAName)
	f.StringVar(&eventsService, "events-service", controllers.DefaultEventsService, "Service (`name` or namespace/name) of the dispatchers for producers, which is named in that certificate")
	f.StringVar(&o.ClusterDomain, "cluster-domain", controllers.DefaultClusterDomain, "`domain` of the cluster, for the names in that certificate")
	f.StringVar(&o.CAFile, "dispatcher-ca-file", "", "`file` with the authorities of the dispatchers' certificates, in PEM, where another than the manager keeps them; read anew for each connection. With neither this nor --dispatcher-tls-secret the dispatchers of --dispatcher-service are asked over plain HTTP")
	f.DurationVar(&o.Grace, "dispatcher-grace", controllers.DefaultGrace, "how long a dispatcher may be silent before Programmed becomes Unknown")
	f.DurationVar(&o.ActivityInterval, "activity-interval", controllers.DefaultActivityInterval, "how often times and counters of a Webhook's status are written at most")
	f.BoolVar(&o.LeaderElect, "leader-elect", false, "let only one of several managers work")
	f.StringVar(&o.MetricsAddress, "metrics-bind-address", "0", "`address` of the metrics, such as :8080; 0 for none")
	f.StringVar(&o.ProbeAddress, "health-probe-bind-address", "0", "`address` of /healthz and /readyz, such as :8081; 0 for none")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&format, "log-format", "json", "json or text")
	askVersion := f.Bool("version", false, "print the version and end")
	if err := f.Parse(args); err != nil {
		return settings{}, err
	}
	if *askVersion {
		return settings{}, version.ErrAsked
	}
	if f.NArg() > 0 {
		return settings{}, fmt.Errorf("%q is not a flag; see --help", f.Arg(0))
	}

	if err := check(o); err != nil {
		return settings{}, err
	}
	var err error
	if o.DispatcherService, err = parseService("dispatcher-service", service, o.Namespace); err != nil {
		return settings{}, err
	}
	if o.EventsService, err = parseService("events-service", eventsService, o.Namespace); err != nil {
		return settings{}, err
	}
	if err := checkTLS(o); err != nil {
		return settings{}, err
	}
	o.Log, err = newLogger(out, level, format)
	return s, err
}

// check refuses what cannot work.
func check(o *controllers.Options) error {
	switch {
	case o.Namespace == "":
		return errors.New("--namespace is empty; give the one where the dispatchers run, such as postrider-system")
	case o.AdminPortName == "":
		return errors.New("--dispatcher-admin-port-name is empty; give the name of the port in the Service, such as admin")
	case o.ActivityInterval < time.Second || o.Grace < time.Second:
		return errors.New("--activity-interval and --dispatcher-grace must be at least 1s")
	}
	for name, address := range map[string]string{"metrics-bind-address": o.MetricsAddress, "health-probe-bind-address": o.ProbeAddress} {
		if _, _, err := net.SplitHostPort(address); err != nil && address != "0" {
			return fmt.Errorf("--%s is %q; give an address such as :8080, or 0 for none", name, address)
		}
	}
	return nil
}

// checkTLS refuses what no certificate can be kept by.
func checkTLS(o *controllers.Options) error {
	switch {
	case o.TLSSecret != "" && o.CAFile != "":
		return errors.New("--dispatcher-tls-secret and --dispatcher-ca-file exclude each other: give the first to have the manager keep the certificate, the second when another keeps it")
	case o.TLSSecret == "":
		return nil
	case len(validation.IsDNS1123Subdomain(o.TLSSecret)) > 0 || o.TLSSecret == controllers.CAName:
		return fmt.Errorf("--dispatcher-tls-secret is %q; give the name of a Secret other than %s, such as postrider-dispatcher-tls", o.TLSSecret, controllers.CAName)
	case len(validation.IsDNS1123Subdomain(o.ClusterDomain)) > 0:
		return fmt.Errorf("--cluster-domain is %q; give a domain such as %s", o.ClusterDomain, controllers.DefaultClusterDomain)
	case o.EventsService.Name == "":
		return fmt.Errorf("--events-service is empty; give the Service that producers call, such as %s", controllers.DefaultEventsService)
	}
	return nil
}

// parseService reads "namespace/name", or a name in the namespace.
func parseService(flag, v, namespace string) (types.NamespacedName, error) {
	if v == "" {
		return types.NamespacedName{}, nil
	}
	ns, name, ok := strings.Cut(v, "/")
	if !ok {
		ns, name = namespace, v
	}
	if ns == "" || name == "" || strings.Contains(name, "/") {
		return types.NamespacedName{}, fmt.Errorf("--%s %q must look like postrider-system/dispatcher", flag, v)
	}
	return types.NamespacedName{Namespace: ns, Name: name}, nil
}

func newLogger(out io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q must be debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(out, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(out, options)), nil
	}
	return nil, fmt.Errorf("--log-format %q must be json or text", format)
}

// namespaceFile is where a pod finds the name of its namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

func ownNamespace(getenv func(string) string) string {
	b, err := os.ReadFile(namespaceFile)
	if err != nil {
		b = nil // not in a pod
	}
	return cmp.Or(getenv("POD_NAMESPACE"), strings.TrimSpace(string(b)), "postrider-system")
}
