// Package process runs a dispatcher as a process of its own, for tests that
// look at it from outside: they start it, change its routes, kill it and start
// it again on the same data.
package process

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/postrider/postrider/dispatcher/route"
)

// What callers show. A producer may create whatever there is to create, in
// every namespace, and an operator may read whatever there is to read.
const (
	ProducerToken = "producer-Tq7mX2vLc9RbWz4K"
	OperatorToken = "operator-Hn5sJ8dFy3GpQe6U"
)

const tokens = ProducerToken + ", producer, *, create\n" + OperatorToken + ", operator, *, get\n"

const (
	startPatience = 30 * time.Second
	stopPatience  = 60 * time.Second
)

// Options of a [Dispatcher].
type Options struct {
	Routes []route.Route // in force at the first start; see SetRoutes
	Args   []string      // flags beside those that every test needs
	Data   string        // folder of the store; empty = one of its own
	// Cert and Key are the files of the certificate that it shows; empty = plain HTTP.
	Cert, Key string
	// Guarded keeps the guard as it is in production: no loopback address is
	// dialled, so no receiver of a test is.
	Guarded bool
	// Wrap, when set, is a shell command line that ends by running "$@": it
	// limits the process.
	Wrap string
	// Launch, when set, starts the process instead of [exec.Cmd.Start], and its
	// result waits for it instead of [exec.Cmd.Wait]: it follows what the process does.
	Launch func(*exec.Cmd) (wait func(), err error)
}

// A Dispatcher can be killed and started again on the same data. Its methods
// are for one goroutine, but for the addresses, which are for any.
type Dispatcher struct {
	Options // Args and Wrap may be changed for the next start

	dir    string
	log    *os.File
	cmd    *exec.Cmd
	exited chan struct{}

	events, admin atomic.Pointer[string]
}

// New prepares a dispatcher that [Dispatcher.Start] starts. It ends with the
// test; when that has failed, the end of its log is shown.
func New(tb testing.TB, o Options) *Dispatcher {
	tb.Helper()
	d := &Dispatcher{Options: o, dir: tb.TempDir()}
	if err := os.WriteFile(d.path("tokens.csv"), []byte(tokens), 0o600); err != nil {
		tb.Fatal(err)
	}
	d.SetRoutes(tb, o.Routes...)
	var err error
	if d.log, err = os.Create(d.path("log")); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		d.Kill(tb)
		if tb.Failed() {
			d.showLog(tb)
		}
		if err := d.log.Close(); err != nil {
			tb.Error(err)
		}
	})
	return d
}

// DataDir is the folder of its store.
func (d *Dispatcher) DataDir() string {
	if d.Data != "" {
		return d.Data
	}
	return d.path("data")
}

func (d *Dispatcher) path(name string) string { return filepath.Join(d.dir, name) }

func (d *Dispatcher) args() []string {
	args := []string{
		"--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir", d.DataDir(),
		"--routes-file", d.RoutesFile(), "--token-file", d.path("tokens.csv"),
	}
	if d.Cert != "" {
		args = append(args, "--tls-cert-file", d.Cert, "--tls-key-file", d.Key)
	}
	if !d.Guarded {
		args = append(args, "--egress-allow-cidr", "127.0.0.0/8")
	}
	return append(args, d.Args...)
}

// Start starts the process and returns when it takes events.
func (d *Dispatcher) Start(tb testing.TB) {
	tb.Helper()
	path := build(tb)
	d.cmd = exec.Command(path, d.args()...) //nolint:noctx // killed by hand
	if d.Wrap != "" {
		d.cmd = exec.Command("sh", append([]string{"-c", d.Wrap, "sh", path}, d.args()...)...) //nolint:noctx // killed by hand
	}
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		tb.Fatal(err)
	}
	wait, err := d.launch()
	if err != nil {
		tb.Fatal(err)
	}
	d.exited = make(chan struct{})
	ready := make(chan struct{})
	go func() {
		defer close(d.exited)
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			_, _ = fmt.Fprintln(d.log, lines.Text()) // it is for people only
			var line struct{ Msg, Address, Admin string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready for events" {
				d.events.Store(new(d.scheme() + line.Address))
				d.admin.Store(new(d.scheme() + line.Admin))
				close(ready)
			}
		}
		wait()
	}()
	select {
	case <-ready:
	case <-d.exited:
		d.showLog(tb)
		tb.Fatal("the dispatcher ended before it was ready")
	case <-time.After(startPatience):
		tb.Fatalf("the dispatcher is not ready after %s", startPatience)
	}
}

func (d *Dispatcher) launch() (wait func(), err error) {
	if d.Launch != nil {
		return d.Launch(d.cmd)
	}
	cmd := d.cmd
	return func() { _ = cmd.Wait() }, cmd.Start() // being killed is its fate
}

// Signal sends s, which must be one that ends the process, and returns when it has.
func (d *Dispatcher) Signal(tb testing.TB, s os.Signal) {
	tb.Helper()
	d.send(tb, s)
	d.Wait(tb)
}

func (d *Dispatcher) send(tb testing.TB, s os.Signal) {
	tb.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		tb.Fatal(err)
	}
}

// Wait returns when the process has ended.
func (d *Dispatcher) Wait(tb testing.TB) {
	tb.Helper()
	select {
	case <-d.exited:
	case <-time.After(stopPatience):
		tb.Fatalf("the dispatcher has not ended after %s", stopPatience)
	}
}

// Freeze stops the process where it stands, until [Dispatcher.Thaw].
func (d *Dispatcher) Freeze(tb testing.TB) {
	tb.Helper()
	d.send(tb, syscall.SIGSTOP)
}

// Thaw has a frozen process go on.
func (d *Dispatcher) Thaw(tb testing.TB) {
	tb.Helper()
	d.send(tb, syscall.SIGCONT)
}

// Kill ends the process with SIGKILL, if it runs.
func (d *Dispatcher) Kill(tb testing.TB) {
	tb.Helper()
	if d.cmd == nil {
		return
	}
	select {
	case <-d.exited:
	default:
		d.Signal(tb, syscall.SIGKILL)
	}
}

func (d *Dispatcher) scheme() string {
	if d.Cert != "" {
		return "https://"
	}
	return "http://"
}

// Events is the address for producers, like "http://127.0.0.1:41234". It
// changes with each start.
func (d *Dispatcher) Events() string { return *d.events.Load() }

// Admin is the address for health, metrics and report. It changes with each start.
func (d *Dispatcher) Admin() string { return *d.admin.Load() }

// Log is all that the process has written so far.
func (d *Dispatcher) Log(tb testing.TB) string {
	tb.Helper()
	text, err := os.ReadFile(d.log.Name())
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

func (d *Dispatcher) showLog(tb testing.TB) {
	tb.Helper()
	text := d.Log(tb)
	tb.Logf("the end of the dispatcher's log:\n%s", text[max(0, len(text)-8000):])
}
