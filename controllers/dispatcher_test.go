package controllers_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/route"
)

// dispatcher does what a dispatcher does as seen by the manager: it loads the
// table from the Secrets and answers GET /report, over TLS with the certificate
// that the manager keeps for it. It delivers nothing; a test says what it reports.
type dispatcher struct {
	server *httptest.Server
	stop   context.Context

	mu        sync.Mutex
	shown     *tls.Certificate
	started   time.Time
	silent    bool
	fault     string // while set, it refuses new tables for this reason
	digest    string
	table     route.Table
	revision  uint64
	summaries map[string]outcome.Summary
	since     map[string]uint64
}

func newDispatcher(ctx context.Context) *dispatcher {
	d := &dispatcher{stop: ctx, revision: 1, summaries: map[string]outcome.Summary{}, since: map[string]uint64{}}
	d.server = httptest.NewUnstartedServer(http.HandlerFunc(d.report))
	d.server.TLS = &tls.Config{GetCertificate: d.certificate}
	d.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	d.server.StartTLS()
	context.AfterFunc(ctx, d.server.CloseClientConnections)
	return d
}

// certificate is the one of the Secret, the last good one when that is damaged.
func (d *dispatcher) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	var o corev1.Secret
	err := api.Get(hello.Context(), client.ObjectKey{Namespace: systemNamespace, Name: servingSecret}, &o)
	d.mu.Lock()
	defer d.mu.Unlock()
	if pair, broken := tls.X509KeyPair(o.Data["tls.crt"], o.Data["tls.key"]); err == nil && broken == nil {
		d.shown = &pair
	}
	return d.shown, nil
}

func (d *dispatcher) report(w http.ResponseWriter, r *http.Request) {
	since, err := strconv.ParseUint(r.URL.Query().Get("since"), 10, 64)
	hold, err2 := time.ParseDuration(r.URL.Query().Get("wait"))
	if err != nil || err2 != nil {
		http.Error(w, "since or wait is missing", http.StatusBadRequest)
		return
	}
	deadline := time.After(hold)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		d.load(r.Context())
		answer, silent := d.answer(since)
		if silent {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.Close() // that is the point
			}
			return
		}
		if answer.Revision == since {
			select {
			case <-tick.C:
				continue
			case <-deadline:
			case <-r.Context().Done():
				return
			case <-d.stop.Done():
				return
			}
		}
		_ = json.NewEncoder(w).Encode(answer) // whoever has gone asks again
		return
	}
}

// load does what a dispatcher does with the Secrets of the table.
func (d *dispatcher) load(ctx context.Context) {
	t, err := published(ctx)
	if err != nil {
		return // incomplete: the rest is on its way
	}
	router, err := route.Build(t)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fault != "" || err != nil {
		return
	}
	if router.Digest() != d.digest {
		d.digest, d.table = router.Digest(), t
		d.revision++
	}
}

func (d *dispatcher) answer(since uint64) (r outcome.Report, silent bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r = outcome.Report{Instance: "dispatcher-0", Started: d.started, Counted: true, Digest: d.digest, TableError: d.fault, Revision: d.revision}
	for id, s := range d.summaries {
		if d.since[id] > since {
			r.Summaries = append(r.Summaries, s)
		}
	}
	return r, d.silent
}

// set changes how the dispatcher behaves.
func (d *dispatcher) set(change func(*dispatcher)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
	d.revision++
}

// tell makes the dispatcher report s.
func (d *dispatcher) tell(s outcome.Summary) {
	d.set(func(d *dispatcher) { d.summaries[s.Route], d.since[s.Route] = s, d.revision+1 })
}

// restart makes the dispatcher another process, which has forgotten everything.
func (d *dispatcher) restart() {
	d.set(func(d *dispatcher) { d.started, d.summaries = time.Now(), map[string]outcome.Summary{} })
}

// published reads the table from the Secrets that carry it.
func published(ctx context.Context) (route.Table, error) {
	var list corev1.SecretList
	if err := api.List(ctx, &list, client.InNamespace(systemNamespace), client.HasLabels{route.SecretLabel}); err != nil {
		return route.Table{}, err
	}
	var blobs [][]byte
	for i := range list.Items {
		blobs = append(blobs, list.Items[i].Data[route.SecretKey])
	}
	return route.Decode(blobs)
}

// routeOf returns the published route with the id, the zero Route when there is none.
func routeOf(t *testing.T, id string) route.Route {
	t.Helper()
	table, err := published(t.Context())
	if err != nil {
		return route.Route{}
	}
	for _, r := range table.Routes {
		if r.ID == id {
			return r
		}
	}
	return route.Route{}
}
