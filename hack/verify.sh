#!/usr/bin/env bash
# Fails when something in the tree is not what it would be if it were made
# anew. What it makes anew stays, so that the next run passes.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
fail() {
	printf '%s\n' "$*" >&2
	failed=1
}
files() { git ls-files --cached --others --exclude-standard -- "$@"; }
# What is there, committed or not: a change of someone who is working is no fault, a stale file is.
sums() { files api charts config docs | while read -r f; do [ ! -e "$f" ] || sha256sum "$f"; done; }

before=$(sums)
make generate
stale=$(diff <(echo "$before") <(sums) | sed -n 's/^[<>] [0-9a-f]*  //p' | sort -u)
[ -z "$stale" ] || fail "These were not what \"make generate\" writes, and are now; commit them:" $stale

unformatted=$(files '*.go' | xargs gofmt -l)
[ -z "$unformatted" ] || fail "These are not formatted; run gofmt -w on them:" $unformatted

for module in . test/argocd test/authservers/provider test/monitoring; do
	(cd "$module" && go mod tidy -diff) || fail "go.mod in $module is not tidy; run go mod tidy there."
done

for overlay in config/crd config/rbac config/samples config/local config/default config/argocd; do
	go tool -modfile=hack/tools.mod kustomize build "$overlay" >/dev/null || fail "$overlay does not render."
done

[ $failed = 0 ] && echo "Everything generated is fresh; go.mod is tidy; each overlay renders."
exit $failed
