// Package natscluster runs a cluster of nats-server processes on loopback,
// with JetStream, for tests that kill its nodes. The program is built from the
// module that go.mod names.
package natscluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	patience = 60 * time.Second // for the slowest machine: only a failing test waits for it
	pause    = 50 * time.Millisecond
)

// Options of a [Cluster]. The zero Options suit most tests.
type Options struct {
	Nodes          int    // 0 = 3
	User, Password string // who may connect; empty = anyone
	TLS            bool   // clients need TLS and a certificate: see Files
}

// A Cluster syncs every write to its disks before it acknowledges it. It ends
// with the test; when that has failed, the ends of the nodes' logs are shown.
type Cluster struct {
	Options
	// Files is what clients need to know with TLS, empty without.
	Files struct{ CA, Cert, Key string }

	program string
	nodes   []*node
}

// A node is one server. Its addresses and its folder stay when it is started again.
type node struct {
	name                  string
	client, route, status string // addresses, like "127.0.0.1:4222"
	dir                   string

	cmd    *exec.Cmd
	exited chan struct{} // nil when it was never started
}

// Start starts a cluster and returns when it works.
func Start(tb testing.TB, o Options) *Cluster {
	tb.Helper()
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	c := &Cluster{Options: o, program: build(tb)}
	if o.TLS {
		c.Files.CA, c.Files.Cert, c.Files.Key = makeCertificates(tb)
	}
	ports := freePorts(tb, 3*o.Nodes)
	for i := range o.Nodes {
		c.nodes = append(c.nodes, &node{
			name: fmt.Sprintf("n%d", i), client: ports[3*i], route: ports[3*i+1], status: ports[3*i+2], dir: tb.TempDir(),
		})
	}
	tb.Cleanup(func() { c.close(tb) })
	for i, n := range c.nodes {
		if err := os.WriteFile(filepath.Join(n.dir, "nats.conf"), []byte(c.config(n)), 0o600); err != nil {
			tb.Fatal(err)
		}
		c.start(tb, i)
	}
	c.WaitHealthy(tb)
	return c
}

func build(tb testing.TB) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "nats-server")
	build := exec.CommandContext(tb.Context(), "go", "build", "-trimpath", "-o", path, "github.com/nats-io/nats-server/v2")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		tb.Fatalf("building nats-server: %v\n%s", err, out)
	}
	return path
}

// freePorts returns addresses that nobody listens at. They are below the ports
// that the kernel gives to others, for a node comes back to its own.
func freePorts(tb testing.TB, n int) []string {
	tb.Helper()
	var found []string
	for range 10_000 {
		if len(found) == n {
			return found
		}
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000)) //nolint:gosec // any port will do
		l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", address)
		if err != nil || slices.Contains(found, address) {
			continue
		}
		if err := l.Close(); err != nil {
			tb.Fatal(err)
		}
		found = append(found, address)
	}
	tb.Fatalf("only %d of %d ports are free", len(found), n)
	return nil
}

func (c *Cluster) config(n *node) string {
	routes := make([]string, len(c.nodes))
	for i, other := range c.nodes {
		routes[i] = fmt.Sprintf("%q", "nats-route://"+other.route)
	}
	conf := fmt.Sprintf(`
server_name: %s
listen: %q
http: %q
max_payload: 8MB
jetstream { store_dir: %q, sync_interval: always }
cluster { name: test, listen: %q, routes: [%s] }
`, n.name, n.client, n.status, filepath.Join(n.dir, "data"), n.route, strings.Join(routes, ", "))
	if c.User != "" {
		conf += fmt.Sprintf("authorization { user: %q, password: %q }\n", c.User, c.Password)
	}
	if c.TLS {
		conf += fmt.Sprintf("tls { ca_file: %q, cert_file: %q, key_file: %q, verify: true }\n", c.Files.CA, c.Files.Cert, c.Files.Key)
	}
	return conf
}

// start starts node i, which does not run.
func (c *Cluster) start(tb testing.TB, i int) {
	tb.Helper()
	n := c.nodes[i]
	log, err := os.OpenFile(filepath.Join(n.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	n.cmd = exec.Command(c.program, "-c", filepath.Join(n.dir, "nats.conf")) //nolint:noctx // killed by hand
	n.cmd.Stderr = log
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := n.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	if err := log.Close(); err != nil {
		tb.Fatal(err)
	}
	exited, cmd := make(chan struct{}), n.cmd
	n.exited = exited
	go func() {
		defer close(exited)
		_ = cmd.Wait() // being killed is its fate
	}()
}

// Kill ends node i with SIGKILL.
func (c *Cluster) Kill(tb testing.TB, i int) {
	tb.Helper()
	c.end(tb, i, syscall.SIGKILL)
}

// Stop ends node i in an orderly way.
func (c *Cluster) Stop(tb testing.TB, i int) {
	tb.Helper()
	c.end(tb, i, syscall.SIGTERM)
}

func (c *Cluster) end(tb testing.TB, i int, signal os.Signal) {
	tb.Helper()
	n := c.nodes[i]
	if !n.runs() {
		tb.Fatalf("node %d does not run", i)
	}
	if err := n.cmd.Process.Signal(signal); err != nil {
		tb.Fatal(err)
	}
	select {
	case <-n.exited:
	case <-time.After(patience):
		tb.Fatalf("node %d has not ended %s after %s", i, patience, signal)
	}
}

// Restart starts node i again on its data, and returns at once: see WaitHealthy.
func (c *Cluster) Restart(tb testing.TB, i int) {
	tb.Helper()
	if c.nodes[i].runs() {
		tb.Fatalf("node %d runs already", i)
	}
	c.start(tb, i)
}

func (n *node) runs() bool {
	if n.exited == nil {
		return false
	}
	select {
	case <-n.exited:
		return false
	default:
		return true
	}
}

// URLs are where clients connect, those of nodes that do not run included.
func (c *Cluster) URLs() []string {
	urls := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		urls[i] = "nats://" + n.client
	}
	return urls
}

// Connect connects a client of the test, as the options ask for.
func (c *Cluster) Connect(tb testing.TB) *nats.Conn {
	tb.Helper()
	options := []nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(pause)}
	if c.User != "" {
		options = append(options, nats.UserInfo(c.User, c.Password))
	}
	if c.TLS {
		options = append(options, nats.RootCAs(c.Files.CA), nats.ClientCert(c.Files.Cert, c.Files.Key))
	}
	nc, err := nats.Connect(strings.Join(c.URLs(), ","), options...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	return nc
}

// WaitHealthy returns when the nodes that run have a leader and hold what they should.
func (c *Cluster) WaitHealthy(tb testing.TB) {
	tb.Helper()
	c.await(tb, "the cluster to be healthy", func(ctx context.Context) error {
		for _, n := range c.nodes {
			if !n.runs() {
				continue
			}
			if err := n.healthy(ctx, len(c.nodes)); err != nil {
				return fmt.Errorf("%s: %w", n.name, err)
			}
		}
		return nil
	})
}

// Leader returns the node that leads a stream.
func (c *Cluster) Leader(tb testing.TB, stream string) int {
	tb.Helper()
	js, err := jetstream.New(c.Connect(tb))
	if err != nil {
		tb.Fatal(err)
	}
	leader := -1
	c.await(tb, "a leader of "+stream, func(ctx context.Context) error {
		s, err := js.Stream(ctx, stream)
		if err != nil {
			return err
		}
		cluster := s.CachedInfo().Cluster
		leader = slices.IndexFunc(c.nodes, func(n *node) bool { return cluster != nil && n.name == cluster.Leader && n.runs() })
		if leader < 0 {
			return errors.New("nobody leads it")
		}
		return nil
	})
	return leader
}

// await tries until it works.
func (c *Cluster) await(tb testing.TB, what string, try func(context.Context) error) {
	tb.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(tb.Context(), 2*time.Second)
		err := try(ctx)
		cancel()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("waited in vain for %s: %v", what, err)
		}
	}
}

var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// healthy returns nil when n knows the leader of a cluster of so many nodes,
// and what n holds is up to date.
func (n *node) healthy(ctx context.Context, nodes int) error {
	var state struct {
		Meta struct {
			Leader string `json:"leader"`
			Size   int    `json:"cluster_size"`
		} `json:"meta_cluster"`
	}
	if err := n.ask(ctx, "/jsz", &state); err != nil {
		return err
	}
	if state.Meta.Leader == "" || state.Meta.Size != nodes {
		return fmt.Errorf("it knows %d nodes and the leader %q", state.Meta.Size, state.Meta.Leader)
	}
	return n.ask(ctx, "/healthz", &struct{}{})
}

func (n *node) ask(ctx context.Context, path string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.status+path, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

// close ends the nodes and, after a failure, shows their logs.
func (c *Cluster) close(tb testing.TB) {
	tb.Helper()
	for i, n := range c.nodes {
		if n.runs() {
			c.Kill(tb, i)
		}
		if !tb.Failed() {
			continue
		}
		if text, err := os.ReadFile(filepath.Join(n.dir, "log")); err == nil {
			tb.Logf("the end of the log of %s:\n%s", n.name, text[max(0, len(text)-4000):])
		}
	}
}
