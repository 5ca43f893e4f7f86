package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// tools are the programs of the machine that a node uses; everything else is
// built from source.
type tools struct {
	runc string
	cni  string // folder of the plugins
}

// findTools looks for all tools before anything is started, and says at once
// all that is missing.
func findTools() (tools, error) {
	var t tools
	var missing []string
	look := func(program, pkg string) string {
		for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
			if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
				return path
			}
		}
		missing = append(missing, pkg)
		return ""
	}
	t.runc = look("runc", "runc")
	look("nft", "nftables")
	look("ip", "iproute2")
	look("nsenter", "util-linux")
	for _, dir := range []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"} {
		if _, err := os.Stat(filepath.Join(dir, "ptp")); err == nil {
			t.cni = dir
			break
		}
	}
	if t.cni == "" {
		missing = append(missing, "containernetworking-plugins")
	}
	if len(missing) > 0 {
		return t, fmt.Errorf("programs that a node needs are missing. On Debian and Ubuntu:\n  apt-get install -y --no-install-recommends %s", strings.Join(missing, " "))
	}
	return t, nil
}

// snapshotter is what containerd keeps the file systems of containers with: an
// overlay cannot lie on another one, as in a container.
func snapshotter(dir string) (string, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return "", fmt.Errorf("looking at the file system of %s: %w", dir, err)
	}
	if s.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return "native", nil
	}
	return "overlayfs", nil
}
