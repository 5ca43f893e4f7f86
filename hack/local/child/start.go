package child

import (
	"os/exec"
	"runtime"
	"sync"
)

// forks hands commands to one operating system thread that never ends: Linux
// sends the death signal when the thread that forked is gone, not the process.
var forks = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

func start(cmd *exec.Cmd) error {
	failed := make(chan error)
	forks() <- func() { failed <- cmd.Start() }
	return <-failed
}
