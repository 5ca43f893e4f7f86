#!/usr/bin/env bash
# Runs the end-to-end test ("make e2e"), or with the argument "docs" the commands
# of the pages ("make e2e-docs"): on the cluster that KUBECONFIG names, or on one
# that is started for it and ended afterwards, unless KEEP is set.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ -z "${KUBECONFIG-}" ]; then
	go build -o bin/cluster ./hack/cluster
	[ -n "${KEEP-}" ] || trap 'bin/cluster down' EXIT
	eval "$(bin/cluster up)"
	[ -n "${KUBECONFIG-}" ] || exit 1 # up has said why
	export E2E_LOAD="bin/cluster load"
fi
KUBECONFIG=$(realpath "$KUBECONFIG")
export KUBECONFIG

helm() { go build -C hack/helm"$1" -trimpath -o "$PWD/bin/helm$1" helm.sh/helm/v"$1"/cmd/helm; }
helm 4
helm 3
programs=$(hack/k8s/build.sh)

pages() {
	local version out replace program
	version=$(<VERSION) out=$(mktemp -d)
	images() { go run ./hack/images --version "$version" --platforms "linux/$(go env GOARCH)" --out "$out" "$@" >/dev/null; }
	images ./cmd/manager ./cmd/dispatcher
	images --name e2e ./test/e2e/pod
	for archive in "$out"/*.tar; do
		${E2E_LOAD:?has to be a command that gives archives of images to the nodes of your cluster} "$archive"
	done
	rm -rf "$out"

	# As a reader calls them, and without a registry to pull from.
	mkdir -p bin/path
	ln -sf ../helm4 bin/path/helm
	ln -sf "$programs/kubectl" bin/path/kubectl
	replace="registry.k8s.io/e2e-test-images/agnhost:2.53=>postrider/e2e:$version"$'\n'"netexec, --http-port=8080=>receiver"
	PATH=$PWD/bin/path:$PATH DOCS_REPLACE=$replace go test -tags e2e -count=1 -v -timeout 20m -run Cluster ./test/docs
}

case "${1-}" in
docs) pages ;;
*)
	E2E_HELM="${E2E_HELM:-bin/helm4;bin/helm3}" E2E_KUBECTL="${E2E_KUBECTL:-$programs/kubectl}" \
		go test -tags e2e -count=1 -v -timeout 20m ./test/e2e
	;;
esac
