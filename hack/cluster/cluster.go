package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/postrider/postrider/hack/await"
	"github.com/postrider/postrider/hack/local/child"
)

// cluster is a folder, and the first process of the node when it runs: that
// holds the lock.
type cluster struct {
	dir  string // absolute
	lock *os.File
}

func openCluster(dir string) (*cluster, error) {
	dir, err := filepath.Abs(dir)
	return &cluster{dir: dir}, err
}

func (c *cluster) path(name string) string { return filepath.Join(c.dir, name) }
func (c *cluster) kubeconfig() string      { return c.path("admin.kubeconfig") }

var errRunning = errors.New("the cluster is up already")

// take takes the lock. It returns errRunning while a node holds it.
func (c *cluster) take() error {
	var err error
	c.lock, err = os.OpenFile(c.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	err = unix.Flock(int(c.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return errRunning
	}
	return err
}

// pid is that of the node's first process, as the machine counts. It says
// something only while the lock is held.
func (c *cluster) pid() (int, error) {
	text, err := os.ReadFile(c.path("pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// load imports archives of images: Kubernetes finds them by name from then on.
func (c *cluster) load(ctx context.Context, archives []string) error {
	if len(archives) == 0 {
		return errors.New("load wants archives of images; make images writes some to bin/images")
	}
	if _, err := os.Stat(c.dir); err != nil {
		return fmt.Errorf("there is no cluster in %s; start one with make cluster-up", c.dir)
	}
	switch err := c.take(); {
	case err == nil:
		return fmt.Errorf("the cluster in %s is not up; start it with make cluster-up", c.dir)
	case !errors.Is(err, errRunning):
		return err
	}
	return c.importImages(ctx, archives)
}

func (c *cluster) importImages(ctx context.Context, archives []string) error {
	pid, err := c.pid()
	if err != nil {
		return err
	}
	for _, archive := range archives {
		text, err := os.ReadFile(archive)
		if err != nil {
			return err
		}
		if _, err := child.Run(ctx, child.Command{
			Name:  "importing " + archive,
			Path:  "nsenter",
			Args:  []string{"--target", strconv.Itoa(pid), "--mount", "--", inside + "/bin/ctr", "--address", containerd, "--namespace", "k8s.io", "images", "import", "-"},
			Stdin: string(text),
		}); err != nil {
			return err
		}
	}
	return nil
}

// down ends the node and removes what is left of it. It is no error when there
// is none.
func (c *cluster) down(ctx context.Context) error {
	if _, err := os.Stat(c.dir); errors.Is(err, os.ErrNotExist) {
		fmt.Fprintln(os.Stderr, "There is no cluster in", c.dir+".")
		return nil
	}
	if err := c.take(); errors.Is(err, errRunning) {
		if err := c.kill(ctx); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	return c.remove(ctx)
}

// kill ends the first process, and with it the kernel ends all that the node runs.
func (c *cluster) kill(ctx context.Context) error {
	pid, err := c.pid()
	if err != nil {
		return fmt.Errorf("the cluster runs, but its process is not known: %w", err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("ending process %d: %w", pid, err)
	}
	// It is gone from the process table, or a zombie there, once everything in its namespace has ended.
	return await.Until(ctx, time.Minute, "the end of the node", func(context.Context) error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, rest, found := strings.Cut(string(stat), ") "); found && strings.HasPrefix(rest, "Z") {
			return nil
		}
		return fmt.Errorf("process %d is still there", pid)
	})
}

func (c *cluster) remove(ctx context.Context) error {
	if err := c.unplug(ctx); err != nil {
		return err
	}
	if err := await.Until(ctx, 10*time.Second, "the cgroups of the node to become empty", func(context.Context) error {
		return removeCgroups()
	}); err != nil {
		return err
	}
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("removing the cluster's folder: %w", err)
	}
	return nil
}
