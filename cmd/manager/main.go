// Command manager is the control plane: it compiles the custom resources into
// the routing table, publishes it, and writes back what became of them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/config"

	"github.com/postrider/postrider/controllers"
	"github.com/postrider/postrider/version"
)

func main() {
	s, err := parse(os.Args[1:], os.Getenv, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case errors.Is(err, version.ErrAsked):
		fmt.Println(version.Line("manager"))
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "manager:", err) // nobody is left to tell when this fails
		os.Exit(2)
	}
	if err := run(s); err != nil {
		s.options.Log.Error("the manager stops", "err", err)
		os.Exit(1)
	}
}

// run works until a signal comes. The second one ends the process at once.
func run(s settings) error {
	logger := logr.FromSlogHandler(s.options.Log.Handler())
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)

	cfg, err := restConfig(s.kubeconfig)
	if err != nil {
		return fmt.Errorf("finding the API server (set --kubeconfig, or run inside a cluster): %w", err)
	}
	mgr, err := controllers.New(cfg, s.options)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	s.options.Log.Info("the manager starts", "namespace", s.options.Namespace, "dispatchers", s.options.DispatcherURLs)
	return mgr.Start(ctx)
}

// restConfig reads the file, or else looks where controllers usually look:
// $KUBECONFIG, the cluster that the process runs in, ~/.kube/config.
func restConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig != "" {
		return clientcmd.BuildConfigFromFlags("", kubeconfig)
	}
	return config.GetConfig()
}
