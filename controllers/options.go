// Package controllers is where spec and facts meet: it reads the custom
// resources, has them compiled, publishes the table, and writes to each object
// what became of it. The thinking is in its sub-packages.
package controllers

import (
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Options are what the manager can be told.
type Options struct {
	// Namespace is the operator's own: the table is published there.
	Namespace string

	// DispatcherURLs are the admin addresses of dispatchers.
	DispatcherURLs []string
	// DispatcherService is a headless Service whose endpoints are further
	// dispatchers; none when its name is empty.
	DispatcherService types.NamespacedName
	// AdminPortName names the admin port of DispatcherService.
	AdminPortName string
	// TokenFile holds the bearer token for the dispatchers' reports; none when empty.
	TokenFile string

	// TLSSecret is where the manager keeps a certificate for the dispatchers, which
	// is signed by an authority of its own; it keeps none when that is empty.
	TLSSecret string
	// EventsService is the Service for producers, ClusterDomain the domain of the
	// cluster: both are for the names in that certificate.
	EventsService types.NamespacedName
	ClusterDomain string
	// CAFile holds the authorities of certificates that others keep, instead of
	// TLSSecret. With neither, DispatcherService is asked over plain HTTP.
	CAFile string

	// ActivityInterval is how often the times and counters of a Webhook's
	// status may be written.
	ActivityInterval time.Duration
	// Grace is how long a dispatcher may be silent before Programmed says so.
	Grace time.Duration

	LeaderElect    bool
	MetricsAddress string // "0" for none
	ProbeAddress   string // "0" for none

	Log *slog.Logger
}

// Defaults of what the flags leave open.
const (
	// DefaultActivityInterval keeps thousands of busy Webhooks from being
	// thousands of writes a minute.
	DefaultActivityInterval = 5 * time.Minute
	// DefaultGrace is longer than a pod of a dispatcher takes to be replaced.
	DefaultGrace         = 30 * time.Second
	DefaultAdminPortName = "admin"
	DefaultEventsService = "postrider-events"
	DefaultClusterDomain = "cluster.local"
)

const (
	// debounce is how long changes are collected before the table is compiled:
	// long enough for an apply of many objects, too short to be noticed.
	debounce = 50 * time.Millisecond
	// statusWorkers write statuses at the same time; a write takes some 10 ms.
	statusWorkers = 4
	// maxRetry is the longest pause after failures in a row: what failed for
	// want of an API server is to go on soon after that is back.
	firstRetry, maxRetry = 50 * time.Millisecond, 30 * time.Second
	// secretReaders read Secrets at the same time, at the start mostly.
	secretReaders = 8
)

// controllerOptions are those of every controller.
func controllerOptions(workers int) controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: workers,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](firstRetry, maxRetry),
	}
}

// secure reports whether the dispatchers of the Service speak TLS.
func (o *Options) secure() bool { return o.TLSSecret != "" || o.CAFile != "" }
