// Command dispatcher takes events over HTTP and delivers them to receivers as
// the routing table says, which the operator publishes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/postrider/postrider/dispatcher"
	"github.com/postrider/postrider/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, version.ErrAsked):
		fmt.Println(version.Line("dispatcher"))
	default:
		fmt.Fprintln(os.Stderr, "dispatcher:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stderr io.Writer) error {
	opts, events, admin, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if opts.Events, err = listen(ctx, events); err != nil {
		return err
	}
	if opts.Admin, err = listen(ctx, admin); err != nil {
		return errors.Join(err, opts.Events.Close())
	}
	limitMemory(ctx, opts.Log)
	go giveBack(ctx)
	return dispatcher.Run(ctx, opts)
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening: %w; is another program there already?", err)
	}
	return l, nil
}
