// Command local runs all of Postrider on this machine ("make run"): a real
// etcd and kube-apiserver, the manager, the dispatcher and a sample receiver.
// It posts one event, tells what happened to it, and keeps running until
// Ctrl-C. All that it keeps is in one folder, all that it listens on is loopback.
package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/postrider/postrider/hack/local/child"
)

// grace is how long a component may take to end in order.
const grace = 15 * time.Second

var errStopped = errors.New("stopped")

func main() {
	t := newTerminal(os.Stdout)
	err := run(t)
	switch {
	case errors.Is(err, errStopped):
	case err != nil:
		t.failure(err)
		os.Exit(1)
	}
}

func run(t *terminal) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)

	// From here on a signal, or the end of the process that started this one, ends everything in order.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	if err := child.EndWithParent(); err != nil {
		return err
	}

	ports, err := choosePorts()
	if err != nil {
		return err
	}
	s, err := openState(cmp.Or(os.Getenv("POSTRIDER_STATE"), ".local"))
	if err != nil {
		return err
	}
	defer s.close()

	servers := child.NewGroup(s.logs(), func(f *child.Failure) { cancel(f) })
	go func() {
		<-signals
		t.say("", "Stopping. Press Ctrl-C once more to stop at once.")
		cancel(errStopped)
		<-signals
		servers.Kill()
		os.Exit(130) //nolint:revive // whoever asks twice does not want to wait for main
	}()

	l := &local{terminal: t, state: s, ports: ports, servers: servers}
	err = l.run(ctx)
	began := time.Now()
	l.stop()
	if errors.Is(err, errStopped) {
		t.say("Stopped in " + seconds(time.Since(began)) + ". Nothing is left running.")
	}
	return err
}
