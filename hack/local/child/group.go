package child

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A Group is a set of servers that stand and fall together. Its zero value is
// not usable, see [NewGroup].
type Group struct {
	logs   string
	failed func(*Failure)

	mu      sync.Mutex
	members []*member // in the order of their start
	ending  bool
}

type member struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed once it has ended
}

// NewGroup makes an empty group that writes what its members say to files in
// the folder logs, and calls failed for each that ends unasked.
func NewGroup(logs string, failed func(*Failure)) *Group {
	return &Group{logs: logs, failed: failed}
}

// Log is the file that takes what the component called name writes.
func (g *Group) Log(name string) string { return filepath.Join(g.logs, name+".log") }

// Start starts c as a member and returns at once. Its log begins anew.
func (g *Group) Start(c Command) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ending {
		return errors.New("the group is being stopped")
	}
	log, err := os.OpenFile(g.Log(c.Name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the child has a descriptor of its own

	cmd := exec.Command(c.Path, c.Args...) //nolint:noctx // a member ends by Stop, in order, not when a context says so
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = attributes(syscall.SIGKILL)
	if err := start(cmd); err != nil {
		return fmt.Errorf("starting %s: %w", c.Name, err)
	}
	m := &member{name: c.Name, cmd: cmd, done: make(chan struct{})}
	g.members = append(g.members, m)
	go g.await(m)
	return nil
}

func (g *Group) await(m *member) {
	err := m.cmd.Wait()
	_ = syscall.Kill(-m.cmd.Process.Pid, syscall.SIGKILL) // what it has left behind; mostly there is nothing
	close(m.done)
	g.mu.Lock()
	unasked := !g.ending
	g.mu.Unlock()
	if unasked {
		if err == nil {
			err = errors.New("exit status 0")
		}
		g.failed(&Failure{Name: m.name, Log: g.Log(m.name), Err: fmt.Errorf("ended unexpectedly: %w", err)})
	}
}

// Stop ends the members one after the other, the last started first. Each may
// take up to grace, then it is killed.
func (g *Group) Stop(grace time.Duration) {
	for _, m := range slices.Backward(g.end()) {
		m.signal(syscall.SIGTERM)
		select {
		case <-m.done:
		case <-time.After(grace):
			m.signal(syscall.SIGKILL)
			<-m.done
		}
	}
}

// Kill ends the members at once.
func (g *Group) Kill() {
	members := g.end()
	for _, m := range members {
		m.signal(syscall.SIGKILL)
	}
	for _, m := range members {
		<-m.done
	}
}

func (g *Group) end() []*member {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ending = true
	return slices.Clone(g.members)
}

// signal reaches the whole process group: also what the member has started.
func (m *member) signal(s syscall.Signal) {
	select {
	case <-m.done:
		return
	default:
	}
	_ = syscall.Kill(-m.cmd.Process.Pid, s) // it fails when it has ended meanwhile, which is what is wanted
}
