package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Run runs c to its end and returns what it wrote to standard output. When ctx
// is done it is ended, with all that it has started, and the cause returned.
func Run(ctx context.Context, c Command) (string, error) {
	const patience = 5 * time.Second // between the request to end and the kill
	var out, complaint strings.Builder
	cmd := exec.CommandContext(ctx, c.Path, c.Args...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdin = strings.NewReader(c.Stdin)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if c.Stderr != nil {
		cmd.Stderr = c.Stderr
	}
	// A one-shot program may have children of its own; SIGTERM lets it end them.
	cmd.SysProcAttr = attributes(syscall.SIGTERM)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = patience
	if err := start(cmd); err != nil {
		return "", fmt.Errorf("starting %s: %w", c.Name, err)
	}
	err := cmd.Wait()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it has left behind; mostly there is nothing
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		if text := strings.TrimSpace(complaint.String()); text != "" {
			err = errors.New(text)
		}
		return "", fmt.Errorf("%s: %w", c.Name, err)
	}
	return out.String(), nil
}
