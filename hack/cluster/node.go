package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/postrider/postrider/hack/await"
)

// firstProcess is the command of the node's PID 1.
const firstProcess = "first-process"

// node is what PID 1 does: it prepares its namespaces, starts the components
// and ends, and with it everything, when one of them does.
type node struct {
	processes *processes
	failed    chan error
}

// runNode takes the folder of the cluster and that of the programs, and the
// lock as a descriptor. It returns when the node is to end.
func runNode(folder, programs string) error {
	unix.CloseOnExec(lockFile)
	if err := prepareMounts(folder, programs); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(nodeName)); err != nil {
		return fmt.Errorf("naming the node: %w", err)
	}
	if err := os.Setenv("PATH", inside+"/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"); err != nil {
		return err
	}
	// The machine's end of the cable has to know this process first.
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return fmt.Errorf("waiting for the network: %w", err)
	}

	n := &node{processes: newProcesses(), failed: make(chan error, 1)}
	go n.supervise()
	go func() {
		if err := n.boot(); err != nil {
			n.fail(err)
		}
	}()
	return <-n.failed
}

func (n *node) fail(err error) {
	select {
	case n.failed <- err:
	default: // the first failure is the cause of the others
	}
}

// supervise reaps. Before anything is started there is nothing to wait for.
func (n *node) supervise() {
	const pause = 50 * time.Millisecond
	for {
		if err := n.processes.reap(); !errors.Is(err, unix.ECHILD) {
			n.fail(fmt.Errorf("waiting for processes: %w", err))
		}
		time.Sleep(pause)
	}
}

// prepareMounts gives the node file systems of its own, so that what programs
// write to fixed paths lands in the folder of the cluster.
func prepareMounts(folder, programs string) error {
	// Opened now, so that they are found also where a mount will cover them.
	sources := map[string]string{}
	for _, dir := range []string{folder, programs} {
		opened, err := os.Open(dir)
		if err != nil {
			return err
		}
		defer func() { _ = opened.Close() }() // it was only read
		sources[dir] = fmt.Sprintf("/proc/self/fd/%d", opened.Fd())
	}
	var err error
	do := func(what string, f func() error) {
		if err == nil {
			if err = f(); err != nil {
				err = fmt.Errorf("%s: %w", what, err)
			}
		}
	}
	mount := func(source, target, kind string, flags uintptr) {
		do("mounting "+target, func() error { return unix.Mount(source, target, kind, flags, "") })
	}
	mkdir := func(path string) { do("making a folder", func() error { return os.MkdirAll(path, 0o755) }) }

	mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE) // nothing gets out to the machine
	mount("", "/", "", unix.MS_REC|unix.MS_SHARED)  // volumes do get into the pods
	// The descriptors are reached through /proc: this must be that of the new PID namespace.
	mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC)
	mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV)
	mkdir(inside)
	mount(sources[folder], inside, "", unix.MS_BIND)
	mount(sources[programs], inside+"/bin", "", unix.MS_BIND)
	for _, path := range []string{"/var", "/tmp"} {
		mount(inside+path, path, "", unix.MS_BIND)
	}
	do("setting the kernel's parameters", prepareSysctls)
	return err
}

// prepareSysctls lets the node forward between pods. The kubelet also wants
// six parameters of the whole machine set: it is shown files that hold the
// wanted values, so that it writes nothing and the machine's own stay.
func prepareSysctls() error {
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600); err != nil {
		return err
	}
	for parameter, value := range map[string]string{
		"vm/overcommit_memory":      "1",
		"vm/panic_on_oom":           "0",
		"kernel/panic":              "10",
		"kernel/panic_on_oops":      "1",
		"kernel/keys/root_maxkeys":  "1000000",
		"kernel/keys/root_maxbytes": "25000000",
	} {
		shown := filepath.Join("/run", filepath.Base(parameter))
		if err := os.WriteFile(shown, []byte(value+"\n"), 0o600); err != nil {
			return err
		}
		if err := unix.Mount(shown, filepath.Join("/proc/sys", parameter), "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("covering %s: %w", parameter, err)
		}
	}
	return nil
}

// boot connects the network and starts the components; those that give up
// without an API server have to wait for it.
func (n *node) boot() error {
	program, err := exec.LookPath("ip")
	if err != nil {
		return err
	}
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"addr", "add", nodeIP + linkPrefix, "dev", nodeLink},
		{"link", "set", nodeLink, "up"},
		{"route", "add", "default", "via", hostIP},
	} {
		if err := n.processes.run(logFile("network"), program, args...); err != nil {
			return err
		}
	}
	for _, c := range standalone() {
		if err := n.start(c); err != nil {
			return err
		}
	}
	if err := apiServerReady(time.Minute); err != nil {
		return err
	}
	for _, c := range clients() {
		if err := n.start(c); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) start(c component) error {
	ended, err := n.processes.start(logFile(c.name), c.program, c.args...)
	if err != nil {
		return err
	}
	go func() { n.fail(fmt.Errorf("%s ended: %s; log/%s.log may say why", c.name, describe(<-ended), c.name)) }()
	return nil
}

func logFile(name string) string { return filepath.Join(inside, "log", name+".log") }

// apiServerReady waits until the API server answers.
func apiServerReady(patience time.Duration) error {
	ca, err := os.ReadFile(inside + "/pki/ca.crt")
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}}
	defer client.CloseIdleConnections()
	return await.Until(context.Background(), patience, "the API server", func(ctx context.Context) error {
		return await.OK(ctx, client, apiServer+"/readyz")
	})
}
