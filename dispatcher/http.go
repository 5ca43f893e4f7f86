package dispatcher

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/postrider/postrider/dispatcher/access"
	"github.com/postrider/postrider/dispatcher/admin"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/ingest"
	"github.com/postrider/postrider/dispatcher/problem"
)

func newServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		MaxHeaderBytes:    event.MaxHeader,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// secure returns l, with TLS if there is a certificate to show. A server bounds
// the handshake of what it gets from it by the time that headers may take.
func (d *dispatcher) secure(l net.Listener) net.Listener {
	if d.certificate == nil {
		return l
	}
	return tls.NewListener(l, d.certificate.Config())
}

func serve(s *http.Server, l net.Listener) error {
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving %s: %w", l.Addr(), err)
	}
	return nil
}

// nothingHere answers callers who have the path wrong.
func nothingHere(w http.ResponseWriter, _ *http.Request) {
	problem.Write(w, problem.Problem{
		Name: problem.NotFound, Detail: "Events go to /v1/namespaces/NAMESPACE/events, workflow commands to /v1/namespaces/NAMESPACE/workflow-commands, and what is about a webhook is below /v1/namespaces/NAMESPACE/webhooks/NAME; health, metrics and report are on the other listener.",
	})
}

// newAuthority says who may call.
func newAuthority(o Options) (access.Authority, error) {
	if o.TokenFile != "" {
		return access.ReadStatic(o.TokenFile)
	}
	return access.NewKubernetes(access.KubernetesOptions{Config: o.Kubernetes, Audience: o.Audience, Log: o.Log})
}

func mayPublish(r *http.Request) access.Attributes {
	return access.Attributes{Verb: "create", Resource: "events", Namespace: r.PathValue(ingest.Namespace)}
}

func mayReadReport(*http.Request) access.Attributes {
	return access.Attributes{Verb: "get", NonResourcePath: admin.ReportPath}
}

func mayReadProfiles(*http.Request) access.Attributes {
	return access.Attributes{Verb: "get", NonResourcePath: admin.ProfilesPath}
}
