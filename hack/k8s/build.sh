#!/usr/bin/env bash
# Builds Kubernetes from the Go module proxy, once per user and version, and
# prints the folder that holds the programs: kube-apiserver, etcd and kubectl,
# or with the argument "node" also all else that a node needs. No prebuilt
# binary is downloaded; go.sum pins every source. Progress goes to standard error.
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '%s\n' "$*" >&2; }

programs="etcd kube-apiserver kubectl"
what="a real kube-apiserver, etcd and kubectl"
cost="about 6 minutes on 2 cores"
case "${1-}" in
"") ;;
node)
	programs+=" kube-controller-manager kube-scheduler kube-proxy kubelet containerd containerd-shim-runc-v2 ctr coredns"
	what="a real Kubernetes, containerd and CoreDNS"
	cost="about 10 minutes on 2 cores, less after \"make run\" or \"make test\""
	;;
*)
	say "usage: build.sh [node]"
	exit 2
	;;
esac

version=$(sed -n 's/^[[:space:]]*k8s.io\/kubernetes \(v[0-9.]*\)$/\1/p' go.mod)
containerd=$(sed -n 's/^require github.com\/containerd\/containerd\/v2 \(v[0-9.]*\)$/\1/p' containerd/go.mod)
home=${POSTRIDER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/postrider}
bin=$home/k8s-$version-$(cat go.mod go.sum */go.mod */go.sum coredns/main.go build.sh | sha256sum | cut -c1-8)

missing() { for name in $programs; do [ -x "$bin/$name" ] || echo "$name"; done; }
complete() { [ -z "$(missing)" ]; }
complete && { echo "$bin"; exit; }

mkdir -p "$home"
exec 9>"$home/build.lock"
flock -n 9 || { say "Another build of the Kubernetes binaries is under way; waiting for it ..."; flock 9; }
complete && { echo "$bin"; exit; }

rm -rf "$home"/building.* # of a build that was killed: the lock says that none is under way
new=$(mktemp -d "$home/building.XXXXXX")
job=
# What an interrupted build has compiled stays in Go's own cache, so the next one goes on from there.
trap 'kill $job 2>/dev/null || true; rm -rf "$new"' EXIT

say "Building $what ($version) from source with Go."
say "This happens once for this user and takes $cost; later runs take seconds."
say "  downloading the sources (about 90 MB) ..."
if ! go mod download k8s.io/kubernetes go.etcd.io/etcd/server/v3 2>"$new/err"; then
	cat "$new/err" >&2
	say "The sources could not be downloaded. Check the network and GOPROXY ($(go env GOPROXY)), then run the same command again."
	exit 1
fi

# The version variables make the programs report what they are; a constant date keeps the build reproducible and cached.
x=
for pkg in k8s.io/client-go/pkg/version k8s.io/component-base/version; do
	x+=" -X $pkg.gitVersion=$version -X $pkg.gitMajor=1 -X $pkg.gitMinor=$(cut -d. -f2 <<<"$version")"
	x+=" -X $pkg.gitTreeState=clean -X $pkg.buildDate=2026-01-01T00:00:00Z"
done

exec {silence}<> <(:) # nothing ever comes from here: a read with a timeout is a pause without a process
build() {             # name of a program, package of its main, folder of the module that pins it
	local began=$SECONDS seconds=0
	say "  building $1 ..."
	CGO_ENABLED=0 go build -C "${3-.}" -trimpath -ldflags "-s -w$x" -o "$new/$1" "$2" 9>&- &
	job=$!
	while kill -0 $job 2>/dev/null; do
		read -rt 1 -u "$silence" || true
		((++seconds % 20)) || say "    still building $1 (since $((SECONDS - began)) s; this happens only once) ..."
	done
	if ! wait $job; then
		say "$1 could not be built. If the lines above speak of the network, check it and GOPROXY ($(go env GOPROXY))."
		say "The same command goes on from here: what is compiled already is kept."
		exit 1
	fi
	job=
}
for name in $(missing); do
	case $name in
	etcd) build etcd go.etcd.io/etcd/server/v3 ;;
	kube*) build "$name" "k8s.io/kubernetes/cmd/$name" ;;
	coredns) build coredns . coredns ;;
	*) x=" -X github.com/containerd/containerd/v2/version.Version=$containerd" build "$name" "github.com/containerd/containerd/v2/cmd/$name" containerd ;;
	esac
	mkdir -p "$bin"
	mv "$new/$name" "$bin/$name"
done

say "  done in $SECONDS s: $bin"
echo "$bin"
