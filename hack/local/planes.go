package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/postrider/postrider/hack/await"
	"github.com/postrider/postrider/hack/local/child"
	"github.com/postrider/postrider/hack/local/receiver"
)

// systemNamespace is where Postrider itself lives; audience is what the
// dispatcher wants its callers' tokens to be for.
const (
	systemNamespace = "postrider-system"
	audience        = "postrider"
)

// startPostrider starts the receiver, the dispatcher and the manager. The two
// programs call the API server as their own ServiceAccounts, with no more
// rights than they have in a cluster.
func (l *local) startPostrider(ctx context.Context) error {
	l.deliveries = make(chan receiver.Delivery, 64)
	l.receiver = receiver.New(l.deliveries)
	var err error
	if l.stopReceiver, err = l.receiver.Serve(ctx, l.ports.address(portReceiver)); err != nil {
		return err
	}

	dispatcherConfig, err := l.identity(ctx, "postrider-dispatcher")
	if err != nil {
		return err
	}
	managerConfig, err := l.identity(ctx, "postrider-manager")
	if err != nil {
		return err
	}
	reports, err := l.token(ctx, systemNamespace, "postrider-manager", audience)
	if err != nil {
		return err
	}
	reportsFile, err := l.state.write("postrider-manager.reports.token", reports)
	if err != nil {
		return err
	}

	if err := l.servers.Start(child.Command{Name: "dispatcher", Path: "bin/dispatcher", Args: []string{
		"--listen=" + l.ports.address(portEvents), "--admin-listen=" + l.ports.address(portAdmin),
		"--data-dir=" + l.state.path("dispatcher"), "--namespace=" + systemNamespace, "--kubeconfig=" + dispatcherConfig,
		"--audience=" + audience,
		"--egress-allow-cidr=127.0.0.0/8", // the sample receiver listens there; elsewhere loopback is refused
		"--log-format=text",
	}}); err != nil {
		return err
	}
	if err := l.servers.Start(child.Command{Name: "manager", Path: "bin/manager", Args: []string{
		"--namespace=" + systemNamespace, "--kubeconfig=" + managerConfig,
		"--dispatcher-url=http://" + l.ports.address(portAdmin), "--dispatcher-token-file=" + reportsFile,
		"--health-probe-bind-address=" + l.ports.address(portHealth), "--metrics-bind-address=0",
		"--activity-interval=2s", // the story shows a status seconds after the delivery
		"--log-format=text",
	}}); err != nil {
		return err
	}
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	for name, port := range map[string]int{"dispatcher": portAdmin, "manager": portHealth} {
		if err := l.waitFor(ctx, name, 30*time.Second, func(ctx context.Context) error {
			return await.OK(ctx, client, "http://"+l.ports.address(port)+"/readyz")
		}); err != nil {
			return err
		}
	}
	return nil
}

// identity writes a kubeconfig for a ServiceAccount of Postrider and returns
// its path.
func (l *local) identity(ctx context.Context, account string) (string, error) {
	token, err := l.token(ctx, systemNamespace, account, "")
	if err != nil {
		return "", err
	}
	return l.state.write(account+".kubeconfig", l.kubeconfig(account, fmt.Sprintf("{token: %q}", token)))
}
