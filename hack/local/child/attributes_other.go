//go:build unix && !linux

package child

import "syscall"

// attributes gives a child a process group of its own, so that Ctrl-C reaches
// this process alone and it can stop its children in order. Only Linux can
// also end a child when its parent is killed.
func attributes(syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// EndWithParent does nothing: only Linux can do what it is for.
func EndWithParent() error { return nil }
