// The kinds of others that the chart uses: the test takes their CRDs out of these
// modules. A module of its own, so that their requirements never reach the product's.
module github.com/postrider/postrider/test/chart/crds

go 1.26.0

require (
	github.com/cert-manager/cert-manager v1.21.2
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
