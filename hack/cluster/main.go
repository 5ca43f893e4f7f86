// Command cluster runs a real Kubernetes of one node on this Linux machine
// ("make cluster-up"), without a container engine and without a registry: the
// programs are built from source, and images come from archives. The node has
// namespaces of its own; when its first process ends, so does everything in it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/postrider/postrider/hack/local/child"
)

const usage = `usage: cluster [-dir FOLDER] COMMAND

  up               start the cluster, print the path of its kubeconfig
  load FILE...     import archives of images
  down             end the cluster and remove its folder

`

func main() {
	flags := flag.NewFlagSet("cluster", flag.ExitOnError)
	dir := flags.String("dir", ".cluster", "folder that holds all of the cluster")
	flags.Usage = func() {
		_, _ = fmt.Fprint(flags.Output(), usage) // nobody is left to tell when this fails
		flags.PrintDefaults()
	}
	_ = flags.Parse(os.Args[1:]) // it ends the program itself
	if flags.NArg() == 0 {
		flags.Usage()
		os.Exit(2)
	}
	if err := run(flags.Arg(0), *dir, flags.Args()[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(command, dir string, args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch command {
	case firstProcess: // started by up, in the namespaces of the node
		if len(args) != 2 {
			return errors.New("this command is for up alone")
		}
		return runNode(args[0], args[1])
	case volumesProcess: // started by the first process
		return provideVolumes(ctx)
	}

	if os.Getuid() != 0 {
		return errors.New("a node needs namespaces, mounts and a network of its own: run this as root (sudo make ...)")
	}
	if err := child.EndWithParent(); err != nil {
		return err
	}
	c, err := openCluster(dir)
	if err != nil {
		return err
	}
	switch command {
	case "up":
		return c.up(ctx)
	case "load":
		return c.load(ctx, args)
	case "down":
		return c.down(ctx)
	default:
		return fmt.Errorf("no command %q; -h lists what there is", command)
	}
}
