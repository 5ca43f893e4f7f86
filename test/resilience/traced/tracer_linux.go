// Package traced runs a process that cannot trust its kernel: its disk forgets
// what was not synced ([Disk]), its clock jumps ([Clock]). The process is any
// program as it is; its system calls are followed with ptrace(2).
package traced

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Tracer follows one process, which starts no others.
type Tracer struct {
	parts []part
	pid   int
	known map[int]bool // threads

	ended chan struct{}
	err   error // readable then
}

// A part of the kernel looks at every call of the process, in the goroutine
// that traces. The thread that makes it waits meanwhile; the others do not.
type part interface {
	begin(pid int) error             // the process is at its first instruction
	enter(thread int, s *stop) error // the kernel is about to do a call...
	leave(thread int, s *stop) error // ...and has done it
}

// New makes a Tracer for a process that is about to be launched, with a [Disk],
// a [Clock], or both.
func New(parts ...part) *Tracer {
	return &Tracer{parts: parts, known: map[int]bool{}, ended: make(chan struct{})}
}

// Launch starts cmd and follows it until it has ended: wait returns then.
func (t *Tracer) Launch(cmd *exec.Cmd) (wait func(), err error) {
	started := make(chan error)
	go func() {
		defer close(t.ended)
		// Only the thread that started it may trace it. The thread must not end
		// afterwards: it may have started others that die with it (Pdeathsig).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := t.start(cmd)
		started <- err
		if err != nil {
			return
		}
		if err := t.follow(); err != nil {
			t.err = fmt.Errorf("tracing the process: %w", err)
			_ = cmd.Process.Kill() // it may have ended
			t.drain()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return func() {
		<-t.ended
		_ = cmd.Wait() // closes its pipes; it cannot say more than that the process has gone
	}, nil
}

// Err waits for the end of the process and says why it could not be followed, if so.
func (t *Tracer) Err() error {
	<-t.ended
	return t.err
}

// start starts the process and stops it at its first instruction.
func (t *Tracer) start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Ptrace = true
	if err := cmd.Start(); err != nil {
		return err
	}
	t.pid = cmd.Process.Pid
	var status unix.WaitStatus
	if _, err := unix.Wait4(t.pid, &status, unix.WALL, nil); err != nil {
		return os.NewSyscallError("wait4", err)
	}
	if !status.Stopped() {
		return errors.New("the process ended before it began")
	}
	t.known[t.pid] = true
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL
	if err := unix.PtraceSetOptions(t.pid, options); err != nil {
		return os.NewSyscallError("PTRACE_SETOPTIONS", err)
	}
	for _, p := range t.parts {
		if err := p.begin(t.pid); err != nil {
			return err
		}
	}
	return resume(t.pid, 0)
}

// resume lets a thread go on to its next system call. A thread that was killed
// meanwhile needs nothing.
func resume(thread, signal int) error {
	if err := unix.PtraceSyscall(thread, signal); err != nil && !errors.Is(err, unix.ESRCH) {
		return os.NewSyscallError("PTRACE_SYSCALL", err)
	}
	return nil
}

// follow takes one stop after the other until the process has ended.
func (t *Tracer) follow() error {
	for {
		var status unix.WaitStatus
		// Without WNOTHREAD this would take the ends of other processes too, which others wait for.
		thread, err := unix.Wait4(-1, &status, unix.WALL|unix.WNOTHREAD, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECHILD):
			return nil
		case err != nil:
			return os.NewSyscallError("wait4", err)
		case !status.Stopped():
			if thread == t.pid {
				return nil
			}
			continue
		}
		if err := t.stopped(thread, status.StopSignal()); err != nil && !killed(thread) {
			return err
		}
	}
}

// killed reports whether a thread that was stopped has been killed meanwhile:
// then what it was asked could not be answered.
func killed(thread int) bool {
	_, err := unix.PtraceGetEventMsg(thread)
	return errors.Is(err, unix.ESRCH)
}

const syscallStop = unix.SIGTRAP | 0x80 // PTRACE_O_TRACESYSGOOD

func (t *Tracer) stopped(thread int, signal unix.Signal) error {
	fresh := !t.known[thread]
	t.known[thread] = true
	switch {
	case signal == syscallStop:
		if err := t.called(thread); err != nil {
			return err
		}
		return resume(thread, 0)
	case signal == unix.SIGTRAP: // it made a thread
		return resume(thread, 0)
	case signal == unix.SIGSTOP && fresh: // every new thread begins with it
		return resume(thread, 0)
	default:
		return resume(thread, int(signal))
	}
}

func (t *Tracer) called(thread int) error {
	s, err := readStop(thread)
	if err != nil {
		return err
	}
	for _, p := range t.parts {
		switch s.op {
		case stopEntry:
			err = p.enter(thread, s)
		case stopExit:
			err = p.leave(thread, s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// drain waits until a process that was killed has gone.
func (t *Tracer) drain() {
	for {
		var status unix.WaitStatus
		thread, err := unix.Wait4(-1, &status, unix.WALL|unix.WNOTHREAD, nil)
		if err != nil && !errors.Is(err, unix.EINTR) || thread == t.pid && !status.Stopped() {
			return
		}
	}
}
