package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const cgroupRoot = "/sys/fs/cgroup"

// cgroupV2 tells whether the machine has the one tree of version 2, and not a
// tree for each controller.
func cgroupV2() (bool, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(cgroupRoot, &s); err != nil {
		return false, fmt.Errorf("looking at %s: %w", cgroupRoot, err)
	}
	return s.Type == unix.CGROUP2_SUPER_MAGIC, nil
}

// makeCgroups makes the cgroup that all pods are below.
func makeCgroups() error {
	v2, err := cgroupV2()
	if err != nil {
		return err
	}
	if v2 {
		return makeCgroupV2()
	}
	hierarchies, err := hierarchies()
	if err != nil {
		return err
	}
	if len(hierarchies) == 0 {
		return fmt.Errorf("no cgroup controller is mounted below %s; a kubelet cannot work without", cgroupRoot)
	}
	for _, h := range hierarchies {
		if err := os.MkdirAll(filepath.Join(h, cgroup), 0o755); err != nil {
			return fmt.Errorf("making a cgroup: %w", err)
		}
		// A new cpuset is empty, and nothing can run in it.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			all, err := os.ReadFile(filepath.Join(h, file))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(h, cgroup, file), bytes.TrimSpace(all), 0o600); err != nil {
				return fmt.Errorf("filling a cgroup: %w", err)
			}
		}
	}
	return nil
}

func makeCgroupV2() error {
	controllers, err := os.ReadFile(filepath.Join(cgroupRoot, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for c := range strings.FieldsSeq(string(controllers)) {
		err := os.WriteFile(filepath.Join(cgroupRoot, "cgroup.subtree_control"), []byte("+"+c), 0o600)
		switch {
		case errors.Is(err, unix.EBUSY): // the root of a container's tree, with processes in it
			return fmt.Errorf("the cgroup controller %s cannot be passed on, because processes are in the root of the cgroup tree; "+
				"move them first:\n  mkdir -p %[2]s/init && xargs -rn1 <%[2]s/cgroup.procs sh -c 'echo $0 >%[2]s/init/cgroup.procs'", c, cgroupRoot)
		case err != nil:
			return fmt.Errorf("passing on the cgroup controller %s: %w", c, err)
		}
	}
	if err := os.MkdirAll(filepath.Join(cgroupRoot, cgroup), 0o755); err != nil {
		return fmt.Errorf("making a cgroup: %w", err)
	}
	return nil
}

// hierarchies are the folders of the trees of version 1, and of the tree of
// version 2 that may be mounted beside them.
func hierarchies() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(cgroupRoot, "*", "cgroup.procs"))
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, f := range files {
		var s unix.Statfs_t
		dir := filepath.Dir(f)
		if err := unix.Statfs(dir, &s); err == nil && (s.Type == unix.CGROUP_SUPER_MAGIC || s.Type == unix.CGROUP2_SUPER_MAGIC) {
			dirs = append(dirs, dir)
		}
	}
	return dirs, nil
}

// removeCgroups removes what makeCgroups and the kubelet have made. It fails
// while a process is left in one.
func removeCgroups() error {
	parents, err := hierarchies()
	if err != nil {
		return err
	}
	var failed error
	for _, parent := range append(parents, cgroupRoot) {
		failed = errors.Join(failed, removeCgroup(filepath.Join(parent, cgroup)))
	}
	return failed
}

func removeCgroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if err := removeCgroup(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return unix.Rmdir(dir)
}
