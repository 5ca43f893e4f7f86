// Package build compiles Go programs so that equal sources make equal bytes:
// nothing of the machine, of the checkout or of the environment gets into them
// but the version of Go.
package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// Program is a Go main package.
type Program struct {
	Name       string // the last part of the import path, or what somebody calls it
	ImportPath string
	Module     string // that it is part of
}

// Find asks the go command about a package: an import path, or a folder like ./cmd/manager.
func Find(ctx context.Context, pkg string) (Program, error) {
	out, err := goCommand(ctx, nil, "list", "-json=Name,ImportPath,Module", pkg)
	if err != nil {
		return Program{}, err
	}
	var found struct {
		Name, ImportPath string
		Module           struct{ Path string }
	}
	if err := json.Unmarshal(out, &found); err != nil {
		return Program{}, fmt.Errorf("%s must be one package, not a pattern: %w", pkg, err)
	}
	if found.Name != "main" {
		return Program{}, fmt.Errorf("%s is no program: its package is %q, not main", pkg, found.Name)
	}
	return Program{path.Base(found.ImportPath), found.ImportPath, found.Module.Path}, nil
}

// stamp is the variable that programs of Postrider tell their version from;
// the linker passes over it in programs that have no such variable.
const stamp = "github.com/postrider/postrider/version.stamped"

// Compile builds the program without cgo for an operating system and an
// architecture, as Go names them, and returns the binary.
func (p Program) Compile(ctx context.Context, goos, goarch, version string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what stays of a temporary folder does no harm
	binary := filepath.Join(dir, p.Name)
	env := []string{"GOOS=" + goos, "GOARCH=" + goarch, "CGO_ENABLED=0", "GOFLAGS=-trimpath", "GOAMD64=v1", "GOARM64=v8.0"}
	if _, err := goCommand(ctx, env, "build", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X "+stamp+"="+version, "-o", binary, p.ImportPath); err != nil {
		return nil, err
	}
	return os.ReadFile(binary)
}

// goCommand runs the go command with additional variables and returns its output.
func goCommand(ctx context.Context, env []string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil, fmt.Errorf("go %s: %w\n%s", args[0], err, strings.TrimSpace(string(failed.Stderr)))
	}
	return out, err
}
