package resilience_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// A fileSystem has a size of its own, and something in it that can be removed. It is one in memory, mounted by a shell in
// namespaces where it may do so; others reach it through the shell's /proc folder.
type fileSystem struct {
	dir     string // for the store
	ballast string // a file
}

// newFileSystem makes one with so much room.
func newFileSystem(t *testing.T, mib int) *fileSystem {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig:   syscall.SIGKILL,
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	shell, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("a file system of a small size needs user namespaces, and this machine does not allow them (user.max_user_namespaces, or the profile of the container): %v", err)
	}
	t.Cleanup(func() {
		_ = shell.Close() // ends the shell, and with it the file system
		_ = cmd.Wait()    // it has nothing to say
	})
	const ballast = 32 << 20
	mounted := t.TempDir()
	if _, err := fmt.Fprintf(shell, "mount -t tmpfs -o size=%d,mode=700 tmpfs '%s' 2>&1 && echo mounted\n", mib<<20+ballast, mounted); err != nil {
		t.Fatal(err)
	}
	if answer, err := bufio.NewReader(answers).ReadString('\n'); err != nil || answer != "mounted\n" {
		t.Fatalf("mounting a small file system: %s %v", answer, err)
	}
	root := filepath.Join("/proc", fmt.Sprint(cmd.Process.Pid), "root", mounted)
	fs := &fileSystem{dir: filepath.Join(root, "data"), ballast: filepath.Join(root, "ballast")}
	if err := os.WriteFile(fs.ballast, make([]byte, ballast), 0o600); err != nil {
		t.Fatal(err)
	}
	return fs
}

// makeRoom removes what is not of the store.
func (fs *fileSystem) makeRoom(t *testing.T) {
	t.Helper()
	if err := os.Remove(fs.ballast); err != nil {
		t.Fatal(err)
	}
}
