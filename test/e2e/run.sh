#!/usr/bin/env bash
# Runs the end-to-end test ("make e2e"): on the cluster that KUBECONFIG names,
# or on one that is started for it and ended afterwards, unless KEEP is set.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ -z "${KUBECONFIG-}" ]; then
	go build -o bin/cluster ./hack/cluster
	[ -n "${KEEP-}" ] || trap 'bin/cluster down' EXIT
	eval "$(bin/cluster up)"
	[ -n "${KUBECONFIG-}" ] || exit 1 # up has said why
	export E2E_LOAD="bin/cluster load"
fi

helm() { go build -C hack/helm"$1" -trimpath -o "$PWD/bin/helm$1" helm.sh/helm/v"$1"/cmd/helm; }
helm 4
helm 3
export E2E_HELM="${E2E_HELM:-bin/helm4;bin/helm3}"
E2E_KUBECTL=${E2E_KUBECTL:-$(hack/k8s/build.sh)/kubectl}
KUBECONFIG=$(realpath "$KUBECONFIG")
export E2E_KUBECTL KUBECONFIG

go test -tags e2e -count=1 -v -timeout 20m ./test/e2e
