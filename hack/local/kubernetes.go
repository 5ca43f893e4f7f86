package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/postrider/postrider/hack/await"
	"github.com/postrider/postrider/hack/local/child"
	"github.com/postrider/postrider/hack/local/pki"
)

// startKubernetes starts etcd and kube-apiserver with fresh keys on the data
// of the last run, and waits until the API answers.
func (l *local) startKubernetes(ctx context.Context) error {
	if err := pki.Write(l.state.keys()); err != nil {
		return fmt.Errorf("making the keys and certificates: %w", err)
	}
	if err := l.servers.Start(child.Command{Name: "etcd", Path: filepath.Join(l.assets, "etcd"), Args: l.etcdArgs()}); err != nil {
		return err
	}
	if err := l.servers.Start(child.Command{Name: "kube-apiserver", Path: filepath.Join(l.assets, "kube-apiserver"), Args: l.apiServerArgs()}); err != nil {
		return err
	}
	if _, err := l.state.write("kubeconfig", l.kubeconfig("admin", fmt.Sprintf("{client-certificate: %q, client-key: %q}",
		l.key(pki.AdminCert), l.key(pki.AdminKey)))); err != nil {
		return err
	}

	ca, err := os.ReadFile(l.key(pki.CA))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}}
	defer client.CloseIdleConnections()
	return l.waitFor(ctx, "kube-apiserver", time.Minute, func(ctx context.Context) error {
		return await.OK(ctx, client, l.server()+"/readyz")
	})
}

// etcdArgs lets only holders of a certificate in: others on this machine can
// reach the port too, and all Secrets lie there.
func (l *local) etcdArgs() []string {
	client, peer := "https://"+l.ports.address(portEtcd), "https://"+l.ports.address(portEtcdPeer)
	return []string{
		"--name=local", "--data-dir=" + l.state.path("etcd"),
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=local=" + peer,
		"--client-cert-auth", "--trusted-ca-file=" + l.key(pki.CA),
		"--cert-file=" + l.key(pki.ServerCert), "--key-file=" + l.key(pki.ServerKey),
		"--peer-client-cert-auth", "--peer-trusted-ca-file=" + l.key(pki.CA),
		"--peer-cert-file=" + l.key(pki.ServerCert), "--peer-key-file=" + l.key(pki.ServerKey),
		"--unsafe-no-fsync", // data outlives a kill of the process, and need not outlive a power failure
		"--log-level=warn",
	}
}

func (l *local) apiServerArgs() []string {
	return []string{
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port=" + l.ports.number(portKubernetes),
		"--endpoint-reconciler-type=none", // it would look for an address that is not loopback
		"--etcd-servers=https://" + l.ports.address(portEtcd), "--etcd-cafile=" + l.key(pki.CA),
		"--etcd-certfile=" + l.key(pki.ServerCert), "--etcd-keyfile=" + l.key(pki.ServerKey),
		"--client-ca-file=" + l.key(pki.CA),
		"--tls-cert-file=" + l.key(pki.ServerCert), "--tls-private-key-file=" + l.key(pki.ServerKey),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + l.key(pki.ServiceAccountKey),
		"--service-account-signing-key-file=" + l.key(pki.ServiceAccountKey),
		"--service-cluster-ip-range=10.0.0.0/24",
		"--authorization-mode=RBAC",
	}
}

func (l *local) key(name string) string { return filepath.Join(l.state.keys(), name) }

// server is the address of the API server.
func (l *local) server() string { return "https://" + l.ports.address(portKubernetes) }

// kubeconfig is one for a user who proves itself by credentials, in YAML flow style.
func (l *local) kubeconfig(user, credentials string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: local, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: %s, user: %s}]
contexts: [{name: local, context: {cluster: local, user: %s, namespace: %s}}]
current-context: local
`, l.server(), l.key(pki.CA), user, credentials, user, samplesNamespace)
}

// waitFor asks until the component answers, for at most patience.
func (l *local) waitFor(ctx context.Context, name string, patience time.Duration, ask func(context.Context) error) error {
	err := await.Until(ctx, patience, name, ask)
	if err != nil && ctx.Err() == nil {
		return l.inLog(name, err)
	}
	return err
}

// inLog points to the log of the component that may say why.
func (l *local) inLog(name string, err error) error {
	return &child.Failure{Name: name, Log: l.servers.Log(name), Err: err}
}
