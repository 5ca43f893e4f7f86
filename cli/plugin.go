package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/postrider/postrider/cli/cluster"
	"github.com/postrider/postrider/cli/face"
)

// A plugin is one run: the flags of all commands, and what was made by them.
type plugin struct {
	genericiooptions.IOStreams
	version string
	now     func() time.Time
	begun   bool // the command line made sense

	config                                            *genericclioptions.ConfigFlags
	flags                                             *pflag.FlagSet // of all commands
	system, serviceAccount, tokenFile, server, caFile string

	made    *cluster.Cluster
	account *cluster.Account // that the dispatcher is called as, nil with a token file
}

func newPlugin(version string, streams genericiooptions.IOStreams) *plugin {
	return &plugin{IOStreams: streams, version: version, now: time.Now}
}

// say writes a line to standard output, which is for results.
func (p *plugin) say(format string, args ...any) error {
	_, err := fmt.Fprintf(p.Out, format+"\n", args...)
	return err
}

// note writes a line to standard error, which is for everything else.
func (p *plugin) note(format string, args ...any) {
	_, _ = fmt.Fprintln(p.ErrOut, printable(fmt.Sprintf(format, args...))) // nobody is left to tell when this fails
}

// namespace is the one that the user works in.
func (p *plugin) namespace() (string, error) {
	namespace, _, err := p.config.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return "", fmt.Errorf("reading the kubeconfig: %w", err)
	}
	return namespace, nil
}

// cluster is the API server of the kubeconfig.
func (p *plugin) cluster() (*cluster.Cluster, error) {
	if p.made != nil {
		return p.made, nil
	}
	config, err := p.config.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	p.made, err = cluster.New(config)
	return p.made, err
}

// reach is the dispatcher, and the namespace that is asked about.
func (p *plugin) reach(ctx context.Context) (d *face.Client, namespace string, err error) {
	if namespace, err = p.namespace(); err != nil {
		return nil, "", err
	}
	d, err = p.dispatcher(ctx, namespace)
	return d, namespace, err
}

// dispatcher is the one to call about webhooks of a namespace. What it is called
// with has nothing of the kubeconfig: neither its transport nor its credentials.
func (p *plugin) dispatcher(ctx context.Context, namespace string) (*face.Client, error) {
	token, err := p.tokens(namespace)
	if err != nil {
		return nil, err
	}
	if p.server != "" {
		transport, err := p.direct(p.server)
		if err != nil {
			return nil, err
		}
		return &face.Client{Server: p.server, HTTP: client(transport), Token: token}, nil
	}
	c, err := p.cluster()
	if err != nil {
		return nil, err
	}
	tunnel := c.Tunnel(ctx, p.system)
	server, transport, err := p.through(ctx, c, tunnel)
	if err != nil {
		return nil, err
	}
	transport.DialContext = tunnel.Dial
	return &face.Client{Server: server, HTTP: client(transport), Token: token}, nil
}

// tokens is where what the dispatcher is shown comes from.
func (p *plugin) tokens(namespace string) (func(context.Context) (string, error), error) {
	if p.tokenFile != "" {
		return p.readToken, nil
	}
	c, err := p.cluster()
	if err != nil {
		return nil, err
	}
	p.account = &cluster.Account{Namespace: namespace, Name: p.serviceAccount}
	return c.Tokens(*p.account), nil
}

// maxToken bounds a token, in bytes, as the dispatcher does.
const maxToken = 8 << 10

func (p *plugin) readToken(context.Context) (string, error) {
	b, err := os.ReadFile(p.tokenFile)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" || len(token) > maxToken || strings.ContainsAny(token, " \t\r\n") {
		return "", fmt.Errorf("--token-file: %s holds no token; it is one line, as kubectl create token NAME --audience=%s writes it", p.tokenFile, cluster.Audience)
	}
	return token, nil
}

// client follows no redirect: what it sends is for one server alone.
func client(t http.RoundTripper) *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// direct is a transport to an address that the user has given.
func (p *plugin) direct(server string) (*http.Transport, error) {
	u, err := url.Parse(server)
	if err == nil && u.User != nil {
		return nil, usagef("the address of a dispatcher has no user name and password, which it does not take; leave them out")
	}
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, usagef("%q is no address of a dispatcher; it looks like https://postrider.example.com", server)
	}
	t := transport()
	t.Proxy = http.ProxyFromEnvironment
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		p.note("warning: %s is not encrypted: everyone on the way can read the token", server)
	}
	if p.caFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(p.caFile)
	if err != nil {
		return nil, fmt.Errorf("--ca-file: %w", err)
	}
	t.TLSClientConfig, err = trust(pem, "")
	return t, err
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// through is a transport that a tunnel carries, and the address to give it: the name
// that the certificates of dispatchers are made for.
func (p *plugin) through(ctx context.Context, c *cluster.Cluster, tunnel *cluster.Tunnel) (string, *http.Transport, error) {
	name := cluster.EventsService + "." + p.system + ".svc"
	t := transport()
	secure, err := tunnel.Secure(ctx)
	if err != nil || !secure {
		return "http://" + name, t, err
	}
	var pem []byte
	if p.caFile != "" {
		pem, err = os.ReadFile(p.caFile)
	} else {
		pem, err = c.Authority(ctx, p.system)
	}
	if err != nil {
		return "", nil, err
	}
	t.TLSClientConfig, err = trust(pem, name)
	return "https://" + name, t, err
}

func transport() *http.Transport {
	return &http.Transport{
		TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 4,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
}

// trust verifies by the certificates in PEM alone.
func trust(pem []byte, serverName string) (*tls.Config, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bytes.TrimSpace(pem)) {
		return nil, errors.New("what the dispatcher's certificate is to be verified by holds no certificate in PEM; give another --ca-file")
	}
	return &tls.Config{RootCAs: roots, ServerName: serverName, MinVersion: tls.VersionTLS12}, nil
}
