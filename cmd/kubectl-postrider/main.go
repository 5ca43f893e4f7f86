// Command kubectl-postrider is the kubectl plugin "kubectl postrider": it shows,
// tests and repairs webhooks of Postrider. Under the name kubectl_complete-postrider
// it completes command lines for kubectl.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/postrider/postrider/cli"
	"github.com/postrider/postrider/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second Ctrl-C ends it at once
	args := os.Args[1:]
	if isCompletion(os.Args[0]) {
		args = append([]string{"__complete"}, args...)
	}
	os.Exit(cli.Run(ctx, version.String(), args, genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}))
}

// isCompletion tells by the name that it was called by whether kubectl asks for
// completions: a link of that name makes it do so.
func isCompletion(name string) bool {
	return strings.TrimSuffix(filepath.Base(name), ".exe") == "kubectl_complete-postrider"
}
