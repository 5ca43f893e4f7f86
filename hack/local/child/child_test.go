package child_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/hack/local/child"
)

// A wire is a named pipe that programs write to. A program that has it open is
// alive; when all have ended, however they did, reading meets the end.
type wire struct {
	path string
	in   *bufio.Scanner
}

func newWire(t *testing.T) *wire {
	t.Helper()
	path := filepath.Join(t.TempDir(), "wire")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return &wire{path: path}
}

// next returns the next line, or "the end".
func (w *wire) next(t *testing.T) string {
	t.Helper()
	if w.in == nil {
		f, err := os.Open(w.path) // waits for the first program
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() }) // it was only read
		if err := f.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		w.in = bufio.NewScanner(f)
	}
	if w.in.Scan() {
		return w.in.Text()
	}
	if err := w.in.Err(); err != nil {
		t.Fatalf("a program neither speaks nor ends: %v", err)
	}
	return "the end"
}

// shell is a program that says "up" on w, runs script, and waits. Its own
// child, which does the waiting, holds w too.
func shell(name string, w *wire, script string) child.Command {
	return child.Command{Name: name, Path: "/bin/sh", Args: []string{"-c",
		`exec >'` + w.path + `'; ` + script + `; echo up; while :; do sleep 600 & wait; done`}}
}

// group is one whose members are expected to end only when they are told to.
func group(t *testing.T) *child.Group {
	t.Helper()
	g := child.NewGroup(t.TempDir(), func(f *child.Failure) { t.Errorf("ended unasked: %v", f) })
	t.Cleanup(g.Kill)
	return g
}

func start(t *testing.T, g *child.Group, c child.Command) {
	t.Helper()
	if err := g.Start(c); err != nil {
		t.Fatal(err)
	}
}

func TestMembersAreStoppedInReverseOrderWithAllThatTheyStarted(t *testing.T) {
	g, w := group(t), newWire(t)
	for _, name := range []string{"first", "second", "third"} {
		start(t, g, shell(name, w, `trap "echo `+name+`; exit" TERM`))
	}
	said := []string{w.next(t), w.next(t), w.next(t)}
	g.Stop(30 * time.Second)
	said = append(said, w.next(t), w.next(t), w.next(t), w.next(t))
	if diff := cmp.Diff([]string{"up", "up", "up", "third", "second", "first", "the end"}, said); diff != "" {
		t.Error(diff)
	}
}

func TestMemberThatIgnoresTheRequestToEndIsKilled(t *testing.T) {
	g, w := group(t), newWire(t)
	start(t, g, shell("stubborn", w, `trap "" TERM`))
	said := []string{w.next(t)}
	g.Stop(10 * time.Millisecond)
	said = append(said, w.next(t))
	if diff := cmp.Diff([]string{"up", "the end"}, said); diff != "" {
		t.Error(diff)
	}
}

func TestMemberThatEndsUnaskedIsReportedWithItsLog(t *testing.T) {
	failures := make(chan *child.Failure, 1)
	g := child.NewGroup(t.TempDir(), func(f *child.Failure) { failures <- f })
	t.Cleanup(g.Kill)
	start(t, g, child.Command{Name: "weak", Path: "/bin/sh", Args: []string{"-c", "echo one; echo two; echo three >&2; exit 7"}})

	f := <-failures
	if f.Name != "weak" || !strings.Contains(f.Error(), "exit status 7") {
		t.Errorf("failure: %v", f)
	}
	lines, err := child.Tail(f.Log, 2)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"two", "three"}, lines); diff != "" {
		t.Error(diff)
	}
}

func TestMembersEndWhenTheirParentIsKilled(t *testing.T) {
	if os.Getenv("CHILD_TEST_WIRE") != "" {
		w := &wire{path: os.Getenv("CHILD_TEST_WIRE")}
		start(t, group(t), child.Command{Name: "orphan", Path: "/bin/sh", Args: []string{"-c", `exec >'` + w.path + `'; echo up; exec sleep 600`}})
		select {} // until the kill
	}
	w := newWire(t)
	parent := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	parent.Env = append(os.Environ(), "CHILD_TEST_WIRE="+w.path)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	said := []string{w.next(t)}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	said = append(said, w.next(t))
	if diff := cmp.Diff([]string{"up", "the end"}, said); diff != "" {
		t.Error(diff)
	}
	if err := parent.Wait(); err == nil {
		t.Error("the parent was not killed")
	}
}

func TestRunReturnsWhatWasWritten(t *testing.T) {
	out, err := child.Run(t.Context(), child.Command{Name: "cat", Path: "/bin/sh", Args: []string{"-c", "cat; echo $WORD"},
		Env: []string{"WORD=two"}, Stdin: "one\n"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("one\ntwo\n", out); diff != "" {
		t.Error(diff)
	}
}

func TestRunFailsWithWhatTheProgramComplainedAbout(t *testing.T) {
	_, err := child.Run(t.Context(), child.Command{Name: "grumbler", Path: "/bin/sh", Args: []string{"-c", "echo no such luck >&2; exit 1"}})
	if err == nil || err.Error() != "grumbler: no such luck" {
		t.Errorf("error %v", err)
	}
}

func TestRunEndsTheProgramAndItsChildrenWhenItIsCalledOff(t *testing.T) {
	calledOff := errors.New("called off")
	ctx, cancel := context.WithCancelCause(t.Context())
	w := newWire(t)
	ended := make(chan error)
	go func() {
		_, err := child.Run(ctx, shell("endless", w, ":"))
		ended <- err
	}()
	said := []string{w.next(t)}
	cancel(calledOff)
	said = append(said, w.next(t))
	if diff := cmp.Diff([]string{"up", "the end"}, said); diff != "" {
		t.Error(diff)
	}
	if err := <-ended; !errors.Is(err, calledOff) {
		t.Errorf("error %v", err)
	}
}
