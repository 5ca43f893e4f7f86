#!/usr/bin/env bash
# Builds kube-apiserver, etcd and kubectl from the Go module proxy, once per
# user and version, and prints the folder that holds them. No prebuilt binary
# is downloaded; go.sum pins every source. Progress goes to standard error.
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '%s\n' "$*" >&2; }

version=$(sed -n 's/^[[:space:]]*k8s.io\/kubernetes \(v[0-9.]*\)$/\1/p' go.mod)
home=${POSTRIDER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/postrider}
bin=$home/k8s-$version-$(cat go.mod go.sum build.sh | sha256sum | cut -c1-8)

complete() { [ -x "$bin/kube-apiserver" ] && [ -x "$bin/etcd" ] && [ -x "$bin/kubectl" ]; }
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

say "Building a real kube-apiserver, etcd and kubectl ($version) from source with Go."
say "This happens once for this user and takes about 6 minutes on 2 cores; later runs take seconds."
say "  downloading the sources (about 90 MB) ..."
if ! go mod download k8s.io/kubernetes go.etcd.io/etcd/server/v3 2>"$new/err"; then
	cat "$new/err" >&2
	say "The sources could not be downloaded. Check the network and GOPROXY ($(go env GOPROXY)), then run the same command again."
	exit 1
fi

# The version variables make the server report what it is; a constant date keeps the build reproducible and cached.
x=
for pkg in k8s.io/client-go/pkg/version k8s.io/component-base/version; do
	x+=" -X $pkg.gitVersion=$version -X $pkg.gitMajor=1 -X $pkg.gitMinor=$(cut -d. -f2 <<<"$version")"
	x+=" -X $pkg.gitTreeState=clean -X $pkg.buildDate=2026-01-01T00:00:00Z"
done

exec {silence}<> <(:) # nothing ever comes from here: a read with a timeout is a pause without a process
build() {             # name package
	local began=$SECONDS seconds=0
	say "  building $1 ..."
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w$x" -o "$new/$1" "$2" 9>&- &
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
build etcd go.etcd.io/etcd/server/v3
build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver
build kubectl k8s.io/kubernetes/cmd/kubectl

rm -rf "$new/err" "$bin"
mv "$new" "$bin"
say "  done in $SECONDS s: $bin"
echo "$bin"
