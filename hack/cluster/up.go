package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/postrider/postrider/hack/await"
	"github.com/postrider/postrider/hack/local/child"
	"github.com/postrider/postrider/hack/local/pki"
)

// lockFile is the descriptor that the first process finds the lock at.
const lockFile = 3

// up starts a cluster and waits until pods can run, have names and volumes.
func (c *cluster) up(ctx context.Context) (err error) {
	tools, err := findTools()
	if err != nil {
		return err
	}
	programs, err := child.Run(ctx, child.Command{Name: "hack/k8s/build.sh", Path: "hack/k8s/build.sh", Args: []string{"node"}, Stderr: os.Stderr})
	if err != nil {
		return err
	}
	programs = strings.TrimSpace(programs)
	pause, err := buildPause(ctx)
	if err != nil {
		return err
	}

	began := time.Now()
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	switch err := c.take(); {
	case errors.Is(err, errRunning):
		fmt.Fprintln(os.Stderr, "The cluster is up already. It runs until make cluster-down. To use it:")
		fmt.Printf("export KUBECONFIG=%s\n", c.kubeconfig())
		return nil
	case err != nil:
		return err
	}
	if err := errors.Join(c.unplug(ctx), addressesFree()); err != nil {
		return err
	}
	if err := removeCgroups(); err != nil {
		return fmt.Errorf("a cluster that was ended has left something: %w", err)
	}
	if err := c.fill(tools); err != nil {
		return err
	}
	ended, err := c.startNode(ctx, programs)
	if err != nil {
		return err
	}
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		<-ended
		cancel(c.postMortem())
	}()
	if err := c.complete(limited, programs, pause); err != nil {
		return fmt.Errorf("%w\nThe logs are in %s; make cluster-down removes them, and what runs", err, c.path("log"))
	}
	fmt.Fprintf(os.Stderr, "The cluster is ready after %.1f s. It runs until make cluster-down. To use it:\n", time.Since(began).Seconds())
	fmt.Printf("export KUBECONFIG=%s\n", c.kubeconfig())
	return nil
}

// fill makes all folders and files anew: nothing of a cluster that was killed
// is to be found by the next one.
func (c *cluster) fill(t tools) error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == filepath.Base(c.lock.Name()) {
			continue
		}
		if err := os.RemoveAll(c.path(e.Name())); err != nil {
			return err
		}
	}
	for _, folder := range []string{"bin", "config", "etcd", "log", "pki", "tmp", "var/lib", "var/log", "volumes"} {
		if err := os.MkdirAll(c.path(folder), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(c.path("tmp"), os.ModeSticky|0o777); err != nil {
		return err
	}
	if err := writeKeys(c.path("pki")); err != nil {
		return fmt.Errorf("making the keys and certificates: %w", err)
	}
	s := settings{
		Node: nodeName, NodeIP: nodeIP, Dir: inside, Cgroup: cgroup, PodCIDR: podCIDR,
		Containerd: containerd, Runc: t.runc, CNIPlugins: t.cni, PauseImage: pauseImage,
		StorageClass: storageClass, Provisioner: provisioner,
	}
	if s.Snapshotter, err = snapshotter(c.dir); err != nil {
		return err
	}
	return s.write(c.path("config"), users)
}

func writeKeys(dir string) error {
	authority, err := pki.NewAuthority(dir, nodeName)
	if err != nil {
		return err
	}
	identities := map[string]pki.Identity{
		"admin":                   {Name: "admin", Groups: []string{"system:masters"}},
		"kubelet":                 {Name: "system:node:" + nodeName, Groups: []string{"system:nodes"}, Hosts: []string{nodeName, nodeIP}},
		"kube-controller-manager": {Name: "system:kube-controller-manager"},
		"kube-scheduler":          {Name: "system:kube-scheduler"},
		"kube-proxy":              {Name: "system:kube-proxy"},
		"coredns":                 {Name: "coredns"},
		"volumes":                 {Name: "volumes"},
		// It is also who the kubelet is asked as, for logs and port-forwards.
		"apiserver": {Name: "kube-apiserver", Groups: []string{"system:masters"}, Hosts: []string{
			"127.0.0.1", nodeIP, apiServiceIP,
			"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		}},
	}
	for file, identity := range identities {
		if err := authority.Issue(file, identity); err != nil {
			return err
		}
	}
	return pki.WriteServiceAccountKey(dir)
}

// startNode starts the first process in namespaces of its own and connects it
// to the machine. The process outlives this one; ended is closed when it ends.
func (c *cluster) startNode(ctx context.Context, programs string) (ended <-chan struct{}, err error) {
	if err := makeCgroups(); err != nil {
		return nil, err
	}
	log, err := os.Create(c.path("log/node.log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()                                   // the process has a descriptor of its own
	cmd := exec.Command("/proc/self/exe", firstProcess, c.dir, programs) //nolint:noctx // it ends when somebody ends the cluster
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{c.lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
	}
	connected, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the node in namespaces of its own: %w", err)
	}
	over := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(over)
	}()
	pid := strconv.Itoa(cmd.Process.Pid)
	if err := os.WriteFile(c.path("pid"), []byte(pid+"\n"), 0o600); err != nil {
		return nil, err
	}
	if err := c.plug(ctx, pid); err != nil {
		return nil, err
	}
	_, err = fmt.Fprintln(connected)
	return over, err
}

// complete waits for what the components do, and adds what Kubernetes lacks by itself.
func (c *cluster) complete(ctx context.Context, programs, pause string) error {
	kubectl := func(ctx context.Context, args ...string) error {
		_, err := child.Run(ctx, child.Command{
			Name: "kubectl " + args[0], Path: filepath.Join(programs, "kubectl"), Args: append([]string{"--kubeconfig", c.kubeconfig()}, args...),
		})
		return err
	}
	dns := &http.Client{Timeout: time.Second}
	defer dns.CloseIdleConnections()
	for _, step := range []struct {
		what string
		ask  func(context.Context) error
	}{
		{"containerd", func(ctx context.Context) error { return c.importImages(ctx, []string{pause}) }},
		{"the API server", func(ctx context.Context) error { return kubectl(ctx, "get", "--raw", "/readyz") }},
		{"volumes and rights", func(ctx context.Context) error { return kubectl(ctx, "apply", "-f", c.path("config/addons.yaml")) }},
		{"DNS", func(ctx context.Context) error { return await.OK(ctx, dns, "http://"+nodeIP+":8181/ready") }},
		{"the node", func(ctx context.Context) error {
			return kubectl(ctx, "wait", "--for=condition=Ready", "node/"+nodeName, "--timeout=1s")
		}},
	} {
		began := time.Now()
		if err := await.Until(ctx, time.Minute, step.what, step.ask); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "  %-20s ready after %4.1f s\n", step.what, time.Since(began).Seconds())
	}
	return nil
}

// postMortem says why the first process ended.
func (c *cluster) postMortem() error {
	lines, err := child.Tail(c.path("log/node.log"), 5)
	if err != nil {
		return fmt.Errorf("the node ended, and its log cannot be read: %w", err)
	}
	return fmt.Errorf("the node ended:\n  %s", strings.Join(lines, "\n  "))
}
