// Package admin is the dispatcher's second listener: health, readiness,
// metrics, and the report that the operator follows.
package admin

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/postrider/postrider/dispatcher/problem"
)

const (
	// ReportPath is where the report is.
	ReportPath = "/report"
	// ProfilesPath is where Go's profiles are, see [Options].
	ProfilesPath = "/debug/pprof/"
)

// Options are the options of [New]; all but GuardProfiles are needed.
type Options struct {
	Live     []Check // a failure means that only a restart can help
	Ready    []Check // a failure means that no traffic should come for now
	Metrics  *prometheus.Registry
	Reporter Reporter
	// Guard stands before the report: statuses of all namespaces are in it.
	Guard func(http.Handler) http.Handler
	// GuardProfiles stands before the profiles: they show what the process does
	// and cost it time. There are none when it is nil.
	GuardProfiles func(http.Handler) http.Handler
}

// New makes the handler of the listener:
//
//	GET /healthz  200 while alive, 503 otherwise, and a line for each check
//	GET /readyz   200 while ready, 503 otherwise, and a line for each check
//	GET /metrics  Prometheus metrics
//	GET /report   outcome.Report as JSON, see [Reporter]
//	GET /debug/pprof/  profiles of net/http/pprof, if they are wanted
func New(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", health(o.Live))
	mux.Handle("GET /readyz", health(o.Ready))
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{}))
	mux.Handle("GET "+ReportPath, o.Guard(newReport(o.Reporter)))
	if o.GuardProfiles != nil {
		mux.Handle("GET "+ProfilesPath, o.GuardProfiles(profiles()))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			problem.Write(w, problem.Problem{Name: problem.MethodNotAllowed, Detail: "This listener is for reading: send GET."})
			return
		}
		problem.Write(w, problem.Problem{
			Name:   problem.NotFound,
			Detail: "This listener has /healthz, /readyz, /metrics and " + ReportPath + "; events go to the other one.",
		})
	})
	return mux
}

// NewRegistry makes a registry with the metrics of the process and of Go.
func NewRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}
