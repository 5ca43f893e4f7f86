package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

func TestEveryComponentFindsWhatItIsStartedWith(t *testing.T) {
	c := &cluster{dir: t.TempDir()}
	lock, err := os.Create(c.path("lock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Close() })
	c.lock = lock
	if err := c.fill(tools{runc: "/usr/sbin/runc", cni: "/usr/lib/cni"}); err != nil {
		t.Fatal(err)
	}
	for _, component := range append(standalone(), clients()...) {
		for _, arg := range component.args {
			_, value, _ := strings.Cut(arg, "=")
			path, within := strings.CutPrefix(value, inside+"/")
			if !within || path == "kubelet" { // which the kubelet makes
				continue
			}
			if _, err := os.Stat(c.path(path)); err != nil {
				t.Errorf("%s: %v", component.name, err)
			}
		}
	}
	for _, user := range users {
		config, err := clientcmd.BuildConfigFromFlags("", c.path(user+".kubeconfig"))
		if err != nil {
			t.Fatal(err)
		}
		if config.Host != apiServer {
			t.Errorf("%s calls %s", user, config.Host)
		}
		for _, file := range []string{config.CAFile, config.CertFile, config.KeyFile} {
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: %v", user, err)
			}
		}
	}
}

func TestConfigurationIsWellFormed(t *testing.T) {
	dir := t.TempDir()
	s := settings{
		Node: nodeName, NodeIP: nodeIP, Dir: inside, Cgroup: cgroup, PodCIDR: podCIDR, Containerd: containerd, Snapshotter: "overlayfs",
		Runc: "/usr/sbin/runc", CNIPlugins: "/usr/lib/cni", PauseImage: pauseImage, StorageClass: storageClass, Provisioner: provisioner,
	}
	if err := s.write(filepath.Join(dir, "config"), nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kubelet.yaml", "kube-proxy.yaml", "cni/10-node.conflist"} {
		text, err := os.ReadFile(filepath.Join(dir, "config", name))
		if err != nil {
			t.Fatal(err)
		}
		var v map[string]any
		if err := yaml.UnmarshalStrict(text, &v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(string(text), "<no value>") {
			t.Errorf("%s lacks a value:\n%s", name, text)
		}
	}
}
