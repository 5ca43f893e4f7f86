package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/test/bench/proc"
	"github.com/postrider/postrider/test/bench/role"
)

const (
	producerToken = "producer-Tq7mX2vLc9RbWz4K"
	operatorToken = "operator-Hn5sJ8dFy3GpQe6U"

	startPatience = 2 * time.Minute
	pollPause     = time.Millisecond
)

// A dispatcher is the real one, as a process, with its defaults and what it
// needs to run without a cluster and to dial loopback.
type dispatcher struct {
	*proc.Process
	dir     string
	path    string
	pprof   bool
	events  string // host:port for producers
	admin   string // host:port of health, metrics and report
	client  *http.Client
	context context.Context // whose end is that of the process
}

func (b *Bench) newDispatcher(ctx context.Context, dir string, routes []route.Route) (*dispatcher, error) {
	table, err := json.Marshal(map[string]any{"routes": routes})
	if err != nil {
		return nil, fmt.Errorf("writing the routes: %w", err)
	}
	tokens := fmt.Sprintf("%s, producer, %s, create\n%s, operator, *, get\n", producerToken, role.Namespace, operatorToken)
	for name, text := range map[string][]byte{"routes.json": table, "tokens.csv": []byte(tokens)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return nil, fmt.Errorf("preparing the dispatcher: %w", err)
		}
	}
	d := &dispatcher{dir: dir, path: b.Dispatcher, client: &http.Client{}, context: ctx}
	if b.Profiles != "" {
		if d.pprof, err = hasPprof(ctx, b.Dispatcher); err != nil {
			return nil, err
		}
	}
	return d, d.start()
}

// start starts the process, the first time or again after a kill, and returns
// when it takes events.
func (d *dispatcher) start() error {
	args := []string{
		"--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir", filepath.Join(d.dir, "data"),
		"--routes-file", filepath.Join(d.dir, "routes.json"), "--token-file", filepath.Join(d.dir, "tokens.csv"),
		"--egress-allow-cidr", "127.0.0.0/8",
	}
	if d.pprof {
		args = append(args, pprofFlag)
	}
	log := filepath.Join(d.dir, "dispatcher.log")
	if err := os.Remove(log); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the log of the dispatcher: %w", err)
	}
	var err error
	if d.Process, err = proc.Start(d.context, proc.Command{Name: "dispatcher", Path: d.path, Args: args, Log: log}); err != nil {
		return err
	}
	return d.awaitReady(log)
}

// awaitReady reads the addresses from the log. The log is a file, so that
// whoever reads it does not take part in the measurement.
func (d *dispatcher) awaitReady(log string) error {
	for deadline := time.Now().Add(startPatience); time.Now().Before(deadline); time.Sleep(pollPause) {
		text, err := os.ReadFile(log)
		if err != nil {
			return fmt.Errorf("reading the log of the dispatcher: %w", err)
		}
		for line := range bytes.Lines(text) {
			var l struct{ Msg, Address, Admin string }
			if json.Unmarshal(line, &l) == nil && l.Msg == "ready for events" {
				d.events, d.admin = l.Address, l.Admin
				return nil
			}
		}
		select {
		case <-d.Exited():
			return fmt.Errorf("the dispatcher ended before it was ready:\n%s", d.Complaints())
		default:
		}
	}
	return fmt.Errorf("the dispatcher is not ready after %s:\n%s", startPatience, d.Complaints())
}

// get reads a path of the admin listener.
func (d *dispatcher) get(path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(d.context, http.MethodGet, "http://"+d.admin+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+operatorToken)
	resp, err := d.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the dispatcher: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the status is %s: %.200s", resp.Status, text)
	}
	if err != nil {
		return nil, fmt.Errorf("asking the dispatcher for %s: %w", path, err)
	}
	return text, nil
}

// owed is how many deliveries the dispatcher says are pending or dead letters, by route.
func (d *dispatcher) owed() (map[string]int, error) {
	text, err := d.get("/report")
	if err != nil {
		return nil, err
	}
	var report outcome.Report
	if err := json.Unmarshal(text, &report); err != nil {
		return nil, fmt.Errorf("reading the report: %w", err)
	}
	owed := map[string]int{}
	for _, s := range report.Summaries {
		owed[s.Route] = s.Pending + s.Stored + s.DeadLetters
	}
	return owed, nil
}

// pprofFlag makes the admin listener serve profiles, in dispatchers that have it.
const pprofFlag = "--pprof"

func hasPprof(ctx context.Context, path string) (bool, error) {
	help, err := exec.CommandContext(ctx, path, "--help").CombinedOutput()
	if err != nil {
		return false, fmt.Errorf("asking %s for its flags: %w", path, err)
	}
	return strings.Contains(string(help), strings.TrimPrefix(pprofFlag, "-")), nil
}

// profile saves what the CPU does from now on for that long.
func (d *dispatcher) profile(length time.Duration, file string) error {
	text, err := d.get(fmt.Sprintf("/debug/pprof/profile?seconds=%d", max(int(length.Seconds()), 1)))
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, text, 0o644); err != nil { //nolint:gosec // for everybody to read
		return fmt.Errorf("saving the profile: %w", err)
	}
	return nil
}
