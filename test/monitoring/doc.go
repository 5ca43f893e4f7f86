// Package monitoring holds the tests of the alert rules and the dashboard that
// the chart ships, with the engine of Prometheus itself. It is a module of its
// own: what Prometheus needs is of no use to Postrider.
package monitoring
