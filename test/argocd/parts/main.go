// Command parts is the parts of Argo CD that sync: its application controller, its
// repository server, and a Redis for what they cache. Argo CD's own program holds the
// user interface too, which its module lacks.
//
//	parts application-controller|repo-server FLAGS...
//	parts redis ADDRESS
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alicebob/miniredis/v2"
	controller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	reposerver "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
)

func main() {
	if err := run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("which part: application-controller, repo-server or redis")
	}
	switch part, rest := args[1], args[2:]; part {
	case "application-controller":
		cmd := controller.NewCommand()
		cmd.SetArgs(rest)
		return cmd.Execute()
	case "repo-server":
		cmd := reposerver.NewCommand()
		cmd.SetArgs(rest)
		return cmd.Execute()
	case "redis":
		if len(rest) != 1 {
			return fmt.Errorf("redis wants its address, not %q", rest)
		}
		m := miniredis.NewMiniRedis()
		if err := m.StartAddr(rest[0]); err != nil {
			return err
		}
		defer m.Close()
		end := make(chan os.Signal, 1)
		signal.Notify(end, os.Interrupt, syscall.SIGTERM)
		<-end
		return nil
	default:
		return fmt.Errorf("there is no part %q: application-controller, repo-server or redis", part)
	}
}
