package main

import "path/filepath"

// A component is a program that runs as long as the node does.
type component struct {
	name    string
	program string
	args    []string
}

func built(name string, args ...string) component {
	return component{name: name, program: filepath.Join(inside, "bin", name), args: args}
}

// users are those that have a kubeconfig: the administrator, and the
// components that call the API server.
var users = []string{"admin", "kubelet", "kube-controller-manager", "kube-scheduler", "kube-proxy", "coredns", "volumes"}

func kubeconfig(user string) string { return filepath.Join(inside, user+".kubeconfig") }

func key(name string) string { return filepath.Join(inside, "pki", name) }

// standalone are the components that need no API server to start.
func standalone() []component {
	const etcd, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380" // nobody else is on the node's loopback
	return []component{
		built("etcd", "--data-dir="+inside+"/etcd", "--listen-client-urls="+etcd, "--advertise-client-urls="+etcd,
			"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer,
			"--unsafe-no-fsync", // the cluster need not outlive a power failure
			"--log-level=warn"),
		built("kube-apiserver", "--etcd-servers="+etcd, "--advertise-address="+nodeIP, "--secure-port=6443",
			"--service-cluster-ip-range="+serviceCIDR,
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
			"--client-ca-file="+key("ca.crt"), "--tls-cert-file="+key("apiserver.crt"), "--tls-private-key-file="+key("apiserver.key"),
			"--kubelet-client-certificate="+key("apiserver.crt"), "--kubelet-client-key="+key("apiserver.key"),
			"--kubelet-certificate-authority="+key("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
			"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
			"--service-account-key-file="+key("service-account.key"), "--service-account-signing-key-file="+key("service-account.key")),
		built("containerd", "--config="+inside+"/config/containerd.toml"),
	}
}

// clients are the components that need the API server to start.
func clients() []component {
	asUser := func(name string) []string {
		return []string{"--kubeconfig=" + kubeconfig(name), "--authentication-kubeconfig=" + kubeconfig(name), "--authorization-kubeconfig=" + kubeconfig(name), "--leader-elect=false"}
	}
	return []component{
		built("kube-controller-manager", append(asUser("kube-controller-manager"), "--use-service-account-credentials",
			"--root-ca-file="+key("ca.crt"), "--service-account-private-key-file="+key("service-account.key"))...),
		built("kube-scheduler", asUser("kube-scheduler")...),
		built("kubelet", "--config="+inside+"/config/kubelet.yaml", "--kubeconfig="+kubeconfig("kubelet"), "--root-dir="+inside+"/kubelet",
			"--hostname-override="+nodeName, "--node-ip="+nodeIP),
		built("kube-proxy", "--config="+inside+"/config/kube-proxy.yaml"),
		built("coredns", "-conf="+inside+"/config/Corefile"),
		{name: "volumes", program: "/proc/self/exe", args: []string{volumesProcess}},
	}
}
