package docs

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// patience is for one command. What asks is asked again for as long, until
	// it says what the page shows.
	patience = 60 * time.Second
	// clusterPatience is for one command that may install, and pull images.
	clusterPatience = 5 * time.Minute
	pause           = 200 * time.Millisecond
)

// A replacement is what a page says, and what stands for it where it is run.
type replacement struct {
	page *regexp.Regexp
	here string
}

// A shell runs the commands of one page, one after the other: variables stay.
type shell struct {
	in       io.WriteCloser
	out      *bufio.Reader
	mark     string // of the end of a command; nobody else prints it
	kill     context.CancelFunc
	replaced []replacement
	patience time.Duration
	ended    bool
}

// newShell starts bash in a folder that looks like the checkout, and has what
// the page has the reader write. It ends with the test.
func newShell(tb testing.TB, root string, p Page, env []string, replaced []replacement) *shell {
	tb.Helper()
	dir := tb.TempDir()
	entries, err := os.ReadDir(root)
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range entries {
		if err := os.Symlink(filepath.Join(root, e.Name()), filepath.Join(dir, e.Name())); err != nil {
			tb.Fatal(err)
		}
	}
	s := &shell{mark: "end-of-" + rand.Text(), replaced: replaced, patience: patience}
	for name, text := range p.Files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s.replace(text)), 0o600); err != nil {
			tb.Fatal(err)
		}
	}

	ctx, kill := context.WithCancel(context.WithoutCancel(tb.Context())) // the cleanups of the page come first
	cmd := exec.CommandContext(ctx, "bash", "--noprofile", "--norc")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), append(env, "HOME="+tb.TempDir())...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	out, w, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if s.in, err = cmd.StdinPipe(); err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	s.out, s.kill = bufio.NewReader(out), kill
	tb.Cleanup(func() {
		kill()
		_ = cmd.Wait() // killed, with what it left running
		if err := errors.Join(w.Close(), out.Close()); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func (s *shell) replace(text string) string {
	for _, r := range s.replaced {
		text = r.page.ReplaceAllString(text, r.here)
	}
	return text
}

// run runs one command and returns what it printed and its exit code.
func (s *shell) run(command string) (printed string, code int, err error) {
	// A command must not read those that follow; one that reads <<EOF does not.
	if s.ended {
		return "", 0, errors.New("the shell has ended before")
	}
	if _, err := fmt.Fprintf(s.in, "{ %s\n} </dev/null\nprintf '\\n%s %%d\\n' $?\n", s.replace(command), s.mark); err != nil {
		return "", 0, fmt.Errorf("the shell has ended: %w", err)
	}
	timer := time.AfterFunc(s.patience, s.kill)
	defer timer.Stop()
	var all strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		if rest, ok := strings.CutPrefix(line, s.mark+" "); ok {
			code, err := strconv.Atoi(strings.TrimSpace(rest))
			return strings.TrimSuffix(all.String(), "\n"), code, err
		}
		all.WriteString(line)
		if err != nil {
			s.ended = true
			return all.String(), 0, fmt.Errorf("it ended the shell, or took longer than %s: %w", s.patience, err)
		}
	}
}

// asks are commands that change nothing, so that they can be run until what
// they wait for has come.
var asks = regexp.MustCompile(`^kubectl( -n \S+)? (get|describe|logs|diff) |^curl -`)

// problem is in what the dispatcher answers to a call that it refuses: curl is
// content with that.
const problem = "https://postrider.dev/problems/"

// changes are options by which curl changes something.
var changes = regexp.MustCompile(` (-X|-d|--data\S*) ?`)

// follow runs a step and compares what it prints.
func (s *shell) follow(step Step) error {
	deadline := time.Now().Add(s.patience)
	again := asks.MatchString(step.Command) && !changes.MatchString(step.Command)
	for {
		printed, code, err := s.run(step.Command)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, printed)
		}
		switch {
		case code != 0 && !step.mayFail():
			err = fmt.Errorf("it ends with %d and prints\n\t%s", code, strings.ReplaceAll(strings.TrimSpace(printed), "\n", "\n\t"))
		case code == 0 && step.mayFail() && !strings.HasPrefix(step.Command, "curl "):
			err = fmt.Errorf("it does not fail, as the page shows, but prints\n\t%s", printed)
		case strings.Contains(printed, problem) && !strings.Contains(strings.Join(step.Shown, ""), problem):
			err = fmt.Errorf("the dispatcher refuses it:\n\t%s", printed)
		default:
			shown := make([]string, len(step.Shown))
			for i, line := range step.Shown {
				shown[i] = s.replace(line)
			}
			err = compare(shown, printed)
		}
		if err == nil || !again || time.Now().After(deadline) {
			return err
		}
		time.Sleep(pause)
	}
}
