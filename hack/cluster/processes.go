package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// processes is what the first process of a PID namespace has to care for: what
// it has started, and every orphan, which it must take off the process table.
// Package os/exec would wait for the same processes, so it is not used here.
type processes struct {
	mu      sync.Mutex
	waiting map[int]chan<- syscall.WaitStatus
}

func newProcesses() *processes {
	p := &processes{waiting: map[int]chan<- syscall.WaitStatus{}}
	return p
}

// start starts a program that writes to log, and returns what its end will be
// told on.
func (p *processes) start(log string, program string, args ...string) (<-chan syscall.WaitStatus, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer func() { _ = null.Close() }() // the process has a descriptor of its own
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // likewise

	p.mu.Lock() // until it is known who waits, the end of the process must not be seen
	defer p.mu.Unlock()
	pid, err := syscall.ForkExec(program, append([]string{program}, args...), &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{null.Fd(), out.Fd(), out.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	ended := make(chan syscall.WaitStatus, 1)
	p.waiting[pid] = ended
	return ended, nil
}

// run runs a program to its end.
func (p *processes) run(log string, program string, args ...string) error {
	ended, err := p.start(log, program, args...)
	if err != nil {
		return err
	}
	if status := <-ended; status.ExitStatus() != 0 {
		return fmt.Errorf("%s %s: %s", filepath.Base(program), strings.Join(args, " "), describe(status))
	}
	return nil
}

// reap takes processes that have ended off the table until there is none left.
func (p *processes) reap() error {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		p.mu.Lock()
		if ended := p.waiting[pid]; ended != nil {
			delete(p.waiting, pid)
			ended <- status
		}
		p.mu.Unlock()
	}
}

func describe(s syscall.WaitStatus) string {
	if s.Signaled() {
		return "ended by signal: " + s.Signal().String()
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}
