package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/postrider/postrider/hack/local/child"
)

// A terminal is where the story is told. It is safe for concurrent use.
type terminal struct {
	mu     sync.Mutex
	out    io.Writer
	colour bool
	inLine bool // a step has been announced and its line is still open
}

func newTerminal(out *os.File) *terminal {
	info, err := out.Stat()
	tty := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &terminal{out: out, colour: tty && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// Write takes what a program that is part of a step has to say.
func (t *terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endLine()
	return t.out.Write(p)
}

// say prints lines.
func (t *terminal) say(lines ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endLine()
	for _, line := range lines {
		t.print("%s\n", line)
	}
}

// step announces what is being done; done tells how long it took.
func (t *terminal) step(what string) (done func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endLine()
	t.print("  %-52s", what+" ...")
	t.inLine = true
	began := time.Now()
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if !t.inLine { // something was printed meanwhile
			t.print("  %-52s", what)
		}
		t.inLine = false
		t.print("%s %s\n", t.good("✓"), seconds(time.Since(began)))
	}
}

func (t *terminal) print(format string, args ...any) {
	_, _ = fmt.Fprintf(t.out, format, args...) // to whom could one complain that nobody is there?
}

func (t *terminal) endLine() {
	if t.inLine {
		t.print("\n")
		t.inLine = false
	}
}

// failure prints what went wrong, with the end of the log that may say why.
func (t *terminal) failure(err error) {
	t.say("", t.bad("✗ ")+err.Error())
	f, ok := errors.AsType[*child.Failure](err)
	if !ok {
		return
	}
	lines, err := child.Tail(f.Log, 15)
	if err != nil {
		t.say("  Its log cannot be read: " + err.Error())
		return
	}
	t.say("  The end of its log, " + f.Log + ":")
	for _, line := range lines {
		t.say("    " + line)
	}
}

func (t *terminal) title(s string) string { return t.paint("1", s) }
func (t *terminal) good(s string) string  { return t.paint("32", s) }
func (t *terminal) bad(s string) string   { return t.paint("31", s) }
func (t *terminal) quiet(s string) string { return t.paint("2", s) }

// paint wraps s in an SGR sequence (ECMA-48, section 8.3.117).
func (t *terminal) paint(code, s string) string {
	if !t.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// indent puts four spaces before each line of s that is not empty.
func indent(s string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimRight(s, "\n")) {
		if line != "\n" {
			b.WriteString("    ")
		}
		b.WriteString(line)
	}
	return b.String()
}
