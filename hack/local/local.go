package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/postrider/postrider/hack/local/child"
	"github.com/postrider/postrider/hack/local/receiver"
)

// local is one run: what it has started and what it has found out.
type local struct {
	terminal *terminal
	state    *state
	ports    ports
	servers  *child.Group

	assets       string // folder of kube-apiserver, etcd and kubectl
	deliveries   chan receiver.Delivery
	receiver     *receiver.Receiver
	stopReceiver func()
	story        story
	question     question
}

// run starts everything in order, tells the story and then what happens, until
// ctx is done. It returns why it ended.
func (l *local) run(ctx context.Context) error {
	began := time.Now()
	l.terminal.say(l.terminal.title("Postrider on this machine.") + " It listens on 127.0.0.1 only and keeps everything in " + l.state.dir + ".")
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"ports free", l.ports.check},
		{"kube-apiserver, etcd and kubectl at hand", l.buildKubernetes},
		{"manager and dispatcher built", l.buildPostrider},
		{"Kubernetes API ready", l.startKubernetes},
		{"CRDs and access rights installed", l.install},
		{"sample receiver, dispatcher and manager ready", l.startPostrider},
		{"samples applied, their webhooks programmed", l.applySamples},
		{"event posted and delivered", l.postEvent},
		{"webhook that fails tested", l.askWhy},
	} {
		done := l.terminal.step(step.what)
		if err := step.do(ctx); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx) // why it ended matters, not where
			}
			return err
		}
		done()
	}
	l.terminal.say(l.terminal.good("Ready in " + seconds(time.Since(began)) + "."))
	l.tell()
	return l.follow(ctx)
}

// stop ends in the reverse order of the start; the receiver is last, so that
// attempts under way still find it.
func (l *local) stop() {
	l.servers.Stop(grace)
	if l.stopReceiver != nil {
		l.stopReceiver()
	}
}

// buildKubernetes builds what make run and make test need of Kubernetes, once
// for each user and version.
func (l *local) buildKubernetes(ctx context.Context) error {
	folder, err := child.Run(ctx, child.Command{Name: "hack/k8s/build.sh", Path: "hack/k8s/build.sh", Stderr: l.terminal})
	l.assets = strings.TrimSpace(folder)
	return err
}

// buildPostrider builds both binaries into bin, with the flags of the Makefile.
func (l *local) buildPostrider(ctx context.Context) error {
	_, err := child.Run(ctx, child.Command{
		Name: "go build", Path: "go",
		Args:   []string{"build", "-trimpath", "-o", "bin/", "./cmd/manager", "./cmd/dispatcher"},
		Env:    []string{"CGO_ENABLED=0"},
		Stderr: l.terminal,
	})
	return err
}

// install brings the kinds and the rights of both programs into the cluster.
// Their Deployments stay out: nothing here could run a pod.
func (l *local) install(ctx context.Context) error {
	if _, err := l.kubectl(ctx, "apply", "--server-side", "--force-conflicts", "-k", "config/local"); err != nil {
		return err
	}
	_, err := l.kubectl(ctx, "wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
	return err
}

// kubectl runs the kubectl that was built as the administrator.
func (l *local) kubectl(ctx context.Context, args ...string) (string, error) {
	return l.kubectlWith(ctx, "", args...)
}

// kubectlWith is kubectl with something to read on its standard input.
func (l *local) kubectlWith(ctx context.Context, input string, args ...string) (string, error) {
	return child.Run(ctx, child.Command{
		Name:  "kubectl " + args[0],
		Path:  filepath.Join(l.assets, "kubectl"),
		Args:  append([]string{"--kubeconfig", l.state.kubeconfig()}, args...),
		Stdin: input,
	})
}

// token issues one for a ServiceAccount, as a kubelet or a user would ask for
// it. An empty audience is the API server itself.
func (l *local) token(ctx context.Context, namespace, account, audience string) (string, error) {
	const life = "168h" // each start issues new ones
	args := []string{"create", "token", account, "--namespace", namespace, "--duration", life}
	if audience != "" {
		args = append(args, "--audience", audience)
	}
	token, err := l.kubectl(ctx, args...)
	if err != nil {
		return "", fmt.Errorf("a token for %s/%s: %w", namespace, account, err)
	}
	return strings.TrimSpace(token), nil
}
