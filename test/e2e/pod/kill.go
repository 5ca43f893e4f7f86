package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// kill ends the program of another pod, which sees nothing of it coming.
func kill(uid, program string) error {
	pid, err := find(uid, program)
	if err != nil {
		return err
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// weigh prints how much memory the program of another pod has resident, in kB.
func weigh(uid, program string) error {
	pid, err := find(uid, program)
	if err != nil {
		return err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		if kB, found := strings.CutPrefix(line, "VmRSS:"); found {
			_, err := fmt.Fprintln(os.Stdout, strings.TrimSuffix(strings.TrimSpace(kB), " kB"))
			return err
		}
	}
	return errors.New("the kernel does not tell how much memory is resident")
}

// find returns the process id of a program in the pod with a uid. The caller is
// in the process namespace of the node.
func find(uid, program string) (int, error) {
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	for _, proc := range procs {
		cgroups, errGroups := os.ReadFile(filepath.Join(proc, "cgroup"))
		name, errName := os.ReadFile(filepath.Join(proc, "comm"))
		if errors.Join(errGroups, errName) != nil { // it has ended meanwhile
			continue
		}
		inPod := bytes.Contains(cgroups, []byte(uid)) || bytes.Contains(cgroups, []byte(strings.ReplaceAll(uid, "-", "_")))
		if inPod && strings.TrimSpace(string(name)) == program {
			return strconv.Atoi(filepath.Base(proc))
		}
	}
	return 0, fmt.Errorf("no process %q of the pod %s was found", program, uid)
}
