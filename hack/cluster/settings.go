package main

import (
	"bytes"
	"embed"
	"io/fs"
	"os"
	"path/filepath"
	"text/template"
)

// Names and addresses. The node sees its folder as inside, wherever it lies on
// the machine, so that paths in configuration are constant and sockets' paths short.
const (
	nodeName     = "postrider-node"
	inside       = "/run/node"
	cgroup       = "postrider-node"
	hostLink     = "postrider0" // the machine's end of the cable to the node
	nodeLink     = "eth0"       // the node's
	hostIP       = "10.90.0.1"
	nodeIP       = "10.90.0.2"
	linkPrefix   = "/24"
	podCIDR      = "10.244.0.0/24"
	serviceCIDR  = "10.96.0.0/16"
	apiServiceIP = "10.96.0.1"
	apiServer    = "https://" + nodeIP + ":6443"
	containerd   = inside + "/containerd.sock"
	storageClass = "standard"
	pauseImage   = "docker.io/postrider/pause:v0.1.0"
)

//go:embed config
var configFiles embed.FS

// settings are what the files in config are filled with.
type settings struct {
	Node, NodeIP, Dir, Cgroup, PodCIDR string
	Containerd, Snapshotter            string
	Runc, CNIPlugins, PauseImage       string
	StorageClass, Provisioner          string
	User                               string
}

// write fills each file of config and writes it to dir, and a kubeconfig for
// each user to the folder above.
func (s settings) write(dir string, users []string) error {
	files, err := fs.Sub(configFiles, "config")
	if err != nil {
		return err
	}
	if err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "kubeconfig" {
			return err
		}
		target := filepath.Join(dir, path)
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		return s.fill(files, path, target)
	}); err != nil {
		return err
	}
	for _, s.User = range users {
		if err := s.fill(files, "kubeconfig", filepath.Join(dir, "..", s.User+".kubeconfig")); err != nil {
			return err
		}
	}
	return nil
}

func (s settings) fill(files fs.FS, path, target string) error {
	t, err := template.New(filepath.Base(path)).Option("missingkey=error").ParseFS(files, path)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := t.Execute(&text, s); err != nil {
		return err
	}
	return os.WriteFile(target, text.Bytes(), 0o600)
}
