package child

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes gives a child a process group of its own, so that Ctrl-C reaches
// this process alone and it can stop its children in order, and the signal
// death when this process dies, by kill -9 too.
func attributes(death syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: death}
}

// EndWithParent asks for SIGTERM when the process that started this one dies.
func EndWithParent() error {
	failed := make(chan error)
	forks() <- func() {
		failed <- unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0)
	}
	return <-failed
}
