package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// state is the folder that a local run keeps everything in: the data of etcd
// and of the dispatcher, which the next run goes on with, and what is made anew
// at each start. "make clean" removes it.
type state struct {
	dir  string // absolute
	lock *os.File
}

// openState makes the folder and takes it for this process alone.
func openState(dir string) (*state, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s := &state{dir: dir}
	for _, folder := range []string{s.logs(), s.keys(), s.path("etcd"), s.path("dispatcher")} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, err
		}
	}
	s.lock, err = os.OpenFile(s.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		pid, _ := os.ReadFile(s.lock.Name()) // the number is a courtesy
		s.close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking %s: %w", dir, err)
		}
		return nil, fmt.Errorf("make run is under way here already, as process %s.\n"+
			"  Stop it with Ctrl-C in its terminal, or use it:\n    export KUBECONFIG=%s", strings.TrimSpace(string(pid)), word(s.kubeconfig()))
	}
	if err := s.lock.Truncate(0); err != nil {
		return nil, err
	}
	_, err = s.lock.WriteAt(fmt.Appendln(nil, os.Getpid()), 0)
	return s, err
}

// close gives the folder to others. The lock also ends with this process.
func (s *state) close() { _ = s.lock.Close() } // nothing was written that could be lost

func (s *state) path(name string) string { return filepath.Join(s.dir, name) }
func (s *state) logs() string            { return s.path("log") }
func (s *state) keys() string            { return s.path("pki") }
func (s *state) kubeconfig() string      { return s.path("kubeconfig") } // of the administrator

// write keeps text in a file that only this user can read, and returns its path.
func (s *state) write(name, text string) (string, error) {
	path := s.path(name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}
