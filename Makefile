# Postrider. "make" or "make help" lists what can be done. It needs Go, git and
# make; every tool is a Go module, pinned in hack/tools.mod and hack/k8s/go.mod.
# The tests need Apache httpd too, which hack/apache/fetch.sh finds or has apt
# download.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The same flags everywhere, so that all builds and tests share one build cache.
export CGO_ENABLED := 0
export GOFLAGS := $(strip $(shell go env GOFLAGS) -trimpath)

TOOL := go tool -modfile=hack/tools.mod
KUBECTL ?= kubectl
VERSION ?= $(file <VERSION)
PLATFORMS ?= linux/amd64,linux/arm64
FUZZTIME ?= 1m
FOR ?= 5m

##@ Use

.PHONY: help
help: ## Show this list.
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z][a-z0-9-]*:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## Run all of Postrider on this machine, on a real API server, until Ctrl-C.
	@go build -o bin/local ./hack/local || { echo "If the lines above speak of the network: check it and GOPROXY, then run the same command again." >&2; exit 1; }
	@exec bin/local

.PHONY: clean
clean: ## Remove what was built and the data of "make run".
	@[ ! -e .local/lock ] || flock -n .local/lock true || { echo "make run is running here; stop it with Ctrl-C first." >&2; exit 1; }
	rm -rf bin .local

##@ Develop

.PHONY: build
build: ## Build manager, dispatcher, kubectl-postrider and sitecore-convert into bin/.
	go build -o bin/ ./cmd/manager ./cmd/dispatcher ./cmd/kubectl-postrider ./cmd/sitecore-convert

.PHONY: test
test: ## Run all tests, on a real API server that is built once per user.
	@assets=$$(hack/k8s/build.sh); export KUBEBUILDER_ASSETS=$$assets; set -x; \
	go test -timeout 15m ./... && cd test/monitoring && go test ./...

.PHONY: test-argocd
test-argocd: ## Hold what is made for Argo CD against its own code, which takes minutes to build at first.
	@assets=$$(hack/k8s/build.sh); export KUBEBUILDER_ASSETS=$$assets; set -x; \
	cd test/argocd && go test -timeout 15m .

.PHONY: race
race: export CGO_ENABLED := 1
race: ## Run the tests of the data plane under the race detector (needs a C compiler).
	@assets=$$(hack/k8s/build.sh); export KUBEBUILDER_ASSETS=$$assets; set -x; \
	go test -race -timeout 30m ./dispatcher/...

.PHONY: generate
generate: ## Write what is generated: deepcopy functions, CRDs, the manager's role, the chart's copies, parts of the pages.
	$(TOOL) controller-gen object paths=./api/...
	$(TOOL) controller-gen crd paths=./api/... output:crd:artifacts:config=config/crd/bases
	$(TOOL) controller-gen rbac:roleName=postrider-manager paths=./controllers/... output:rbac:artifacts:config=config/rbac
	hack/chart.sh
	go run ./hack/docs

.PHONY: lint
lint: ## Check the code with golangci-lint and kube-api-linter.
	$(TOOL) golangci-lint-kube-api-linter run

.PHONY: verify
verify: lint ## Check that what is generated is fresh, formatted, tidy, and that each overlay renders.
	@hack/verify.sh

.PHONY: fuzz
fuzz: ## Fuzz each parser for FUZZTIME (1m).
	@grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | while IFS=: read -r file func; do \
		(set -x; go test -run '^$$' -fuzz "^$${func#func }$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x "$$(dirname "$$file")"); \
	done

.PHONY: bench
bench: ## Measure the dispatcher: BENCH_SHORT=1, BENCH_ONLY=, BENCH_OUT=, BENCH_PROFILE= (docs/performance.md).
	@go build -o bin/ ./test/bench
	@exec bin/bench

.PHONY: bench-parts
bench-parts: ## Run the benchmarks of single packages.
	go test -run '^$$' -bench . -benchmem $$(grep -rl --include='*_test.go' '^func Benchmark' . | xargs -n1 dirname | sort -u)

.PHONY: resilience
resilience: ## Kill, starve and cut off real processes for FOR (5m) and count what is lost; SEED repeats a run.
	RESILIENCE_FOR=$(FOR) RESILIENCE_SEED=$(SEED) go test -count=1 -v -timeout 0 -tags resilience ./test/natscluster/... ./test/resilience/...

.PHONY: e2e-argocd
e2e-argocd: ## Let Argo CD, built from source, deploy webhooks from a Git repository to a real API server.
	@assets=$$(hack/k8s/build.sh); export KUBEBUILDER_ASSETS=$$assets; set -x; \
	cd test/argocd && go test -count=1 -timeout 30m -tags e2e -run '^TestArgoCDDeploysWebhooks$$' -v .

##@ Release

# Equal commits make equal bytes: the time is that of the commit, and so is the revision.
.PHONY: images
images: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)
images: ## Write OCI archives of manager and dispatcher to bin/images, without a container engine: VERSION=, PLATFORMS=, REPOSITORY=.
	@go run ./hack/images --version '$(VERSION)' --revision "$$(git describe --always --abbrev=40 --exclude='*' --dirty)" \
		--platforms '$(PLATFORMS)' --repository '$(or $(REPOSITORY),postrider)' ./cmd/manager ./cmd/dispatcher

.PHONY: plugin-archives
plugin-archives: ## Write archives of the kubectl plugin, and the manifest by which krew installs them, to bin/plugin: VERSION=.
	@go run ./hack/krew --version '$(VERSION)' ./cmd/kubectl-postrider
##@ Cluster (the one that your kubeconfig names)

.PHONY: install
install: ## Install the CRDs.
	$(KUBECTL) apply --server-side -k config/crd

.PHONY: uninstall
uninstall: ## Remove the CRDs and, with them, every Webhook.
	$(KUBECTL) delete --ignore-not-found -k config/crd

.PHONY: deploy
deploy: ## Deploy all of Postrider; MANAGER_IMG and DISPATCHER_IMG name other images.
	@mkdir -p bin/deploy
	@{ printf 'resources: [../../config/default]\nimages:\n'; \
		for image in manager=$(MANAGER_IMG) dispatcher=$(DISPATCHER_IMG); do \
			name=$${image%%=*} other=$${image#*=}; [ -z "$$other" ] || \
			printf -- '- {name: postrider/%s, newName: "%s", newTag: "%s"}\n' "$$name" "$${other%:*}" "$${other##*:}"; \
		done; } >bin/deploy/kustomization.yaml
	$(KUBECTL) apply --server-side -k bin/deploy

.PHONY: undeploy
undeploy: ## Remove all of Postrider, every Webhook and what is stored.
	$(KUBECTL) delete --ignore-not-found -k config/default

##@ A cluster of this machine's own (needs root, runc, CNI plugins and nftables)

.PHONY: cluster-up
cluster-up: ## Start a real Kubernetes of one node, without a container engine, in .cluster.
	@go build -o bin/cluster ./hack/cluster
	@bin/cluster up

.PHONY: cluster-down
cluster-down: ## End it and remove all that it kept.
	@go build -o bin/cluster ./hack/cluster
	@bin/cluster down

.PHONY: kind-up
kind-up: ## Start a cluster with kind instead, which has to be installed, and say how to test on it.
	kind create cluster --name postrider --wait 2m --kubeconfig bin/kind.kubeconfig
	@echo 'make e2e KUBECONFIG=$$PWD/bin/kind.kubeconfig E2E_LOAD="kind load image-archive --name postrider"'

.PHONY: e2e
e2e: ## Install the chart and break things on a real cluster: that of KUBECONFIG, or one of its own; KEEP=1 keeps that.
	@test/e2e/run.sh

.PHONY: e2e-docs
e2e-docs: ## Run the commands of the pages on such a cluster.
	@test/e2e/run.sh docs
