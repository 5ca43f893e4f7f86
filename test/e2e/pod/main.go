// Command pod is what the end-to-end test runs in pods: a receiver of webhooks,
// a producer of events that proves itself by the token which the kubelet has put
// into its pod, or a neighbour that weighs or kills the program of another pod.
// The first two are asked over HTTP what they have seen.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	args := append(os.Args[1:], "", "", "")
	switch args[0] {
	case "receiver":
		return serve(ctx, newReceiver())
	case "producer":
		p, err := newProducer(slog.New(slog.NewTextHandler(os.Stderr, nil)))
		if err != nil {
			return err
		}
		return serve(ctx, p.routes())
	case "kill":
		return kill(args[1], args[2])
	case "weigh":
		return weigh(args[1], args[2])
	default:
		return errors.New("usage: pod receiver | producer | kill|weigh POD-UID PROGRAM")
	}
}

// serve answers on port 8080 until ctx is done.
func serve(ctx context.Context, h http.Handler) error {
	const patience = 10 * time.Second
	server := &http.Server{Addr: ":8080", Handler: h, ReadHeaderTimeout: patience}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		stopped <- server.Shutdown(limited)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}
