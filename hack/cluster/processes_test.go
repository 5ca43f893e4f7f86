package main

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTheFirstProcessHearsOfItsOwnAndReapsOrphans(t *testing.T) {
	// Like PID 1, this process gets what others leave behind.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	p := newProcesses()
	log := filepath.Join(t.TempDir(), "log")
	failing, err := p.start(log, "/bin/sh", "-c", "exit 3")
	if err != nil {
		t.Fatal(err)
	}
	killed, err := p.start(log, "/bin/sh", "-c", "kill -KILL $$")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.start(log, "/bin/sh", "-c", "true & exit 0"); err != nil { // true may end as an orphan
		t.Fatal(err)
	}
	if err := p.reap(); !errors.Is(err, syscall.ECHILD) {
		t.Errorf("reaping ended with %v, not because nobody is left", err)
	}
	for want, ended := range map[string]<-chan syscall.WaitStatus{"exit status 3": failing, "ended by signal: killed": killed} {
		if got := describe(<-ended); got != want {
			t.Errorf("it was told %q, not %q", got, want)
		}
	}

	done := make(chan error)
	go func() { done <- p.run(log, "/bin/sh", "-c", "exit 4") }()
	for {
		_ = p.reap() // until there is somebody to wait for
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), "exit status 4") {
				t.Errorf("a program that failed made the error %v", err)
			}
			return
		default:
		}
	}
}
