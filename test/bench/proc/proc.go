// Package proc starts the processes of a benchmark, gives them orders, and
// reads what they cost. They end when the benchmark does, however it ends.
package proc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// A Command says what to start.
type Command struct {
	Name   string // as a person calls it
	Path   string
	Args   []string
	Log    string     // file that what it complains about is appended to
	Orders bool       // it takes orders; see [Process.Ask]
	Files  []*os.File // it finds them from descriptor 3 on
}

// A Process is a running program. Its methods are for one goroutine, but for
// those that measure.
type Process struct {
	name   string
	log    string
	cmd    *exec.Cmd
	orders *json.Encoder
	answer *json.Decoder
	exited chan struct{}
}

// Start starts c. The process is killed when ctx is done, and when this process
// dies, by kill -9 too. Its group is its own, so that Ctrl-C reaches this
// process alone.
func Start(ctx context.Context, c Command) (*Process, error) {
	log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting the %s: %w", c.Name, err)
	}
	defer func() { _ = log.Close() }() // the process has its own by then
	p := &Process{name: c.Name, log: c.Log, cmd: exec.CommandContext(ctx, c.Path, c.Args...), exited: make(chan struct{})}
	p.cmd.Stderr, p.cmd.ExtraFiles = log, c.Files
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if c.Orders {
		in, inErr := p.cmd.StdinPipe()
		out, outErr := p.cmd.StdoutPipe()
		if err := errors.Join(inErr, outErr); err != nil {
			return nil, fmt.Errorf("starting the %s: %w", c.Name, err)
		}
		p.orders, p.answer = json.NewEncoder(in), json.NewDecoder(out)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the %s: %w", c.Name, err)
	}
	if !c.Orders { // else Wait would close the pipe before the answer is read
		go func() {
			defer close(p.exited)
			_ = p.cmd.Wait() // being killed is its fate
		}()
	}
	return p, nil
}

// Exited is closed when a process without orders has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// An Answer is what a process that takes orders says to each of them.
type Answer struct {
	Error  string          `json:"error,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
}

// Ask gives an order and waits for the answer, whose result it puts into result.
func (p *Process) Ask(order, result any) error {
	if err := p.orders.Encode(order); err != nil {
		return fmt.Errorf("the %s takes no orders any more: %w\n%s", p.name, err, p.Complaints())
	}
	var a Answer
	if err := p.answer.Decode(&a); err != nil {
		return fmt.Errorf("the %s ended: %w\n%s", p.name, err, p.Complaints())
	}
	if a.Error != "" {
		return fmt.Errorf("the %s failed: %s", p.name, a.Error)
	}
	if err := json.Unmarshal(a.Result, result); err != nil {
		return fmt.Errorf("the %s answers what nobody understands: %w", p.name, err)
	}
	return nil
}

// Complaints is the end of what the process wrote to its log.
func (p *Process) Complaints() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return ""
	}
	return string(text[max(0, len(text)-2000):])
}

// Kill ends the process with SIGKILL and returns when it has ended. It may be
// called more than once.
func (p *Process) Kill() {
	if err := p.cmd.Process.Kill(); errors.Is(err, os.ErrProcessDone) {
		return
	}
	if p.orders != nil {
		_ = p.cmd.Wait() // being killed is its fate
		return
	}
	<-p.exited
}

// Obey is the other side of Ask: it takes orders from in, does each, and
// answers on out, until there are no more. That is also so when the process at
// the other end has died.
func Obey(in io.Reader, out io.Writer, do func(order json.RawMessage) (any, error)) error {
	orders, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var order json.RawMessage
		if err := orders.Decode(&order); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading an order: %w", err)
		}
		var a Answer
		result, err := do(order)
		if err == nil {
			a.Result, err = json.Marshal(result)
		}
		if err != nil {
			a.Error = err.Error()
		}
		if err := answers.Encode(a); err != nil {
			return fmt.Errorf("answering: %w", err)
		}
	}
}
