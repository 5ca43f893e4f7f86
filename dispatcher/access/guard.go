package access

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/problem"
)

// maxToken bounds a bearer token, in bytes: ServiceAccount tokens have about
// 1 KiB, and one that an API server would choke on is not worth asking about.
const maxToken = 8 << 10

// undecided labels what an Authority could not decide.
const undecided = "Unavailable"

// A Gate stands before HTTP handlers and lets allowed callers through.
type Gate struct {
	authority Authority
	log       *slog.Logger
	failing   rate.Sometimes // so that an outage does not flood the log
	decisions map[string]prometheus.Counter
}

// NewGate makes a Gate that asks authority, and registers its metrics.
func NewGate(authority Authority, metrics prometheus.Registerer, log *slog.Logger) *Gate {
	decisions := promauto.With(metrics).NewCounterVec(prometheus.CounterOpts{
		Name: "postrider_access_decisions_total",
		Help: "Calls by whether they were let through.",
	}, []string{"decision"})
	g := &Gate{
		authority: authority,
		log:       log,
		failing:   rate.Sometimes{Interval: time.Second},
		decisions: map[string]prometheus.Counter{},
	}
	for _, decision := range []string{string(Allowed), string(Unauthenticated), string(Denied), undecided} {
		g.decisions[decision] = decisions.WithLabelValues(decision)
	}
	return g
}

// Guard calls next for requests whose bearer token may do what attributesOf
// says, without that token, and before anything of the body is read. It
// answers the others with 401, 403 or, when it cannot tell, 503, and with 400
// when the attributes hold a namespace or a name that cannot exist. Behind it,
// [User] tells who is calling.
func (g *Gate) Guard(attributesOf func(*http.Request) Attributes, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := bearer(r.Header)
		if !ok {
			g.decisions[string(Unauthenticated)].Inc()
			w.Header().Set("WWW-Authenticate", "Bearer")
			problem.Write(w, problem.Problem{
				Name:   problem.Unauthenticated,
				Detail: `There is no bearer token. Send one header "Authorization: Bearer TOKEN".`,
			})
			return
		}

		attributes := attributesOf(r)
		if attributes.Namespace != "" && !event.IsLabel(attributes.Namespace) {
			// Nobody has a right there, and asking would fill the memory with
			// whatever a path can hold.
			problem.Write(w, problem.Problem{
				Name:   problem.InvalidNamespace,
				Detail: "The path holds no name of a namespace: use up to 63 of a-z, 0-9 and -, neither first nor last a -.",
			})
			return
		}
		if attributes.Name != "" && len(validation.IsDNS1123Subdomain(attributes.Name)) > 0 {
			problem.Write(w, problem.Problem{
				Name:   problem.InvalidName,
				Detail: "The path holds no name of an object: use up to 253 of a-z, 0-9, - and ., neither first nor last a - or a dot.",
			})
			return
		}
		decision, err := g.authority.Decide(r.Context(), token, attributes)
		if err != nil {
			g.decisions[undecided].Inc()
			if r.Context().Err() == nil { // otherwise it is the caller who has gone
				g.failing.Do(func() {
					g.log.LogAttrs(r.Context(), slog.LevelError, "rights of a caller could not be checked", slog.Any("err", err))
				})
			}
			w.Header().Set("Retry-After", "5")
			problem.Write(w, problem.Problem{
				Name:   problem.AuthorizationUnavailable,
				Detail: "Whether the call is allowed could not be found out. Send it again later.",
			})
			return
		}

		switch decision.Verdict {
		case Allowed:
			g.decisions[string(Allowed)].Inc()
			r.Header.Del("Authorization") // nothing behind the gate needs it, so nothing can leak it
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, decision.User)))
		case Denied:
			g.decisions[string(Denied)].Inc()
			problem.Write(w, problem.Problem{
				Name:   problem.Forbidden,
				Detail: fmt.Sprintf("User %q may not %s. %s", decision.User, attributes, decision.Remedy),
			})
		default:
			g.decisions[string(Unauthenticated)].Inc()
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`) // RFC 6750, 3.1
			problem.Write(w, problem.Problem{
				Name:   problem.Unauthenticated,
				Detail: "The bearer token is not valid here. " + decision.Remedy,
			})
		}
	})
}

type userKey struct{}

// User returns the name of the caller whose request has passed a [Gate], empty
// when it has passed none. It is for the log.
func User(ctx context.Context) string {
	user, _ := ctx.Value(userKey{}).(string)
	return user
}

// bearer returns the token of the one Authorization header (RFC 6750, 2.1).
func bearer(header http.Header) (string, bool) {
	values := header["Authorization"]
	if len(values) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && token != "" && len(token) <= maxToken
}
