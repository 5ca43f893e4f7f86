package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/postrider/postrider/hack/local/child"
)

// buildPause makes the archive of the one image that Kubernetes itself needs
// and returns its path. The name is that of the setting pauseImage.
func buildPause(ctx context.Context) (string, error) {
	const out = "bin/images"
	repository, tag, _ := strings.Cut(strings.TrimPrefix(pauseImage, "docker.io/"), ":")
	_, err := child.Run(ctx, child.Command{
		Name: "go run ./hack/images", Path: "go",
		Args: []string{"run", "-trimpath", "./hack/images", "--repository", filepath.Dir(repository), "--version", tag,
			"--platforms", "linux/" + runtime.GOARCH, "--out", out, "./hack/cluster/pause"},
		Env:    []string{"CGO_ENABLED=0"},
		Stderr: os.Stderr,
	})
	return filepath.Join(out, filepath.Base(repository)+".tar"), err
}
