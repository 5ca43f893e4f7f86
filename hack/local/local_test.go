package main_test

import (
	"bufio"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience is for all that a run does on a busy machine, the first build of
// the Kubernetes binaries left out: "make test" has made them.
const patience = 3 * time.Minute

// checkout is the root of the repository, where "make run" starts.
func checkout(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	// The test cache does not see what the command reads and builds. Walking
	// the tree makes a change of anything run these tests again.
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != dir {
			return fs.SkipDir
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// program builds the command once for all tests.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "local")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %s", out)
	}
	return path
}

// freePorts finds as many consecutive free ports as a run needs.
func freePorts(t *testing.T) int {
	t.Helper()
	const count = 7
	for first := 19400; first < 20400; first += count {
		if busyPort(t, first, count) == 0 {
			return first
		}
	}
	t.Fatal("no free ports")
	return 0
}

// busyPort returns the first port that something listens on, 0 for none.
func busyPort(t *testing.T, first, count int) int {
	t.Helper()
	for port := first; port < first+count; port++ {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return port
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return 0
}

// An instance is one start of the command.
type instance struct {
	cmd  *exec.Cmd
	out  *bufio.Scanner
	said strings.Builder
}

func start(t *testing.T, program, state string, port int) *instance {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Dir = checkout(t)
	cmd.Env = append(os.Environ(), "POSTRIDER_STATE="+state, "POSTRIDER_PORT="+strconv.Itoa(port))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // a failed test leaves nothing running either
	cmd.WaitDelay = time.Minute
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &instance{cmd: cmd, out: bufio.NewScanner(r)}
}

// until reads on to a line that contains text.
func (s *instance) until(t *testing.T, text string) {
	t.Helper()
	for s.out.Scan() {
		s.said.WriteString(s.out.Text() + "\n")
		if strings.Contains(s.out.Text(), text) {
			return
		}
	}
	t.Fatalf("it never said %q, but:\n%s", text, s.said.String())
}

// end reads all that is left and returns how the command ended.
func (s *instance) end(t *testing.T) error {
	t.Helper()
	for s.out.Scan() {
		s.said.WriteString(s.out.Text() + "\n")
	}
	return s.cmd.Wait()
}

func (s *instance) mustHaveSaid(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(s.said.String(), text) {
			t.Errorf("it did not say %q, but:\n%s", text, s.said.String())
		}
	}
}

// interrupt does what Ctrl-C does and checks that nothing is left.
func (s *instance) interrupt(t *testing.T, port int) {
	t.Helper()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := s.end(t); err != nil {
		t.Errorf("it ended with %v after:\n%s", err, s.said.String())
	}
	if busy := busyPort(t, port, 7); busy != 0 {
		t.Errorf("port %d is still in use", busy)
	}
}

func TestStoryIsToldAndToldAgainAfterAKill(t *testing.T) {
	program, state, port := program(t), t.TempDir(), freePorts(t)
	const last = "Press Ctrl-C to stop"
	story := []string{"202 Accepted", "signature verified", "bearer token correct", "404 Not Found", "Check the path of the URL", "operator.token", "export KUBECONFIG="}

	first := start(t, program, state, port)
	first.until(t, last)
	first.mustHaveSaid(t, story...)

	second := start(t, program, state, port)
	if err := second.end(t); err == nil {
		t.Error("a second run in the same folder did not fail")
	}
	second.mustHaveSaid(t, "under way here already, as process "+strconv.Itoa(first.cmd.Process.Pid))

	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := first.end(t); err == nil {
		t.Error("it was not killed")
	}

	again := start(t, program, state, port)
	again.until(t, last)
	again.mustHaveSaid(t, story...)
	again.interrupt(t, port)
}

func TestPortInUseIsNamedAtOnce(t *testing.T) {
	program, port := program(t), freePorts(t)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+1)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // it served its purpose
	s := start(t, program, t.TempDir(), port)
	if err := s.end(t); err == nil {
		t.Error("it did not fail")
	}
	s.mustHaveSaid(t, "port "+strconv.Itoa(port+1)+" (for the dispatcher's events) is in use by another program", "POSTRIDER_PORT=")
}

func TestInterruptedHalfwayItLeavesNothing(t *testing.T) {
	program, port := program(t), freePorts(t)
	s := start(t, program, t.TempDir(), port)
	s.until(t, "manager and dispatcher built")
	s.interrupt(t, port)
	s.mustHaveSaid(t, "Nothing is left running")
}
