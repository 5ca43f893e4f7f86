// Package dispatcher wires the rooms of the data plane together and starts and
// stops them in order.
package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/postrider/postrider/dispatcher/access"
	"github.com/postrider/postrider/dispatcher/admin"
	"github.com/postrider/postrider/dispatcher/authorize"
	"github.com/postrider/postrider/dispatcher/certificate"
	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/egress"
	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/fanout"
	"github.com/postrider/postrider/dispatcher/ingest"
	"github.com/postrider/postrider/dispatcher/operate"
	"github.com/postrider/postrider/dispatcher/outcome"
	"github.com/postrider/postrider/dispatcher/queue"
	"github.com/postrider/postrider/dispatcher/queue/embedded"
	"github.com/postrider/postrider/dispatcher/route"
	"github.com/postrider/postrider/dispatcher/sitecore"
	"github.com/postrider/postrider/dispatcher/source"
	"github.com/postrider/postrider/dispatcher/trace"
	"github.com/postrider/postrider/dispatcher/validate"
	"github.com/postrider/postrider/dispatcher/workflow"
)

// DefaultAudience is what callers' tokens must be issued for.
const DefaultAudience = access.DefaultAudience

// The time for all that is asked about one workflow command.
const (
	DefaultValidationBudget = validate.DefaultBudget
	MaxValidationBudget     = validate.MaxBudget
)

// A Rate is so many attempts in so much time; the zero Rate is no limit.
type Rate = route.Rate

// TLSFiles are a certificate and its key, in PEM, which are read again when they change.
type TLSFiles = certificate.Files

// Options of a dispatcher.
type Options struct {
	Events net.Listener // for producers; taken over
	Admin  net.Listener // for health, metrics and report; taken over
	TLS    TLSFiles     // what both listeners show; zero for plain HTTP

	Store Store

	Kubernetes *rest.Config // nil when RoutesFile and TokenFile are both given
	Namespace  string       // of the Secrets that carry the table
	RoutesFile string       // the table, instead of the Secrets
	Audience   string       // of callers' tokens
	TokenFile  string       // callers' tokens, instead of asking the API server

	AnySitecoreData bool // take events of Sitecore's types whatever their data looks like

	PerWebhook bool // metrics of each webhook
	Pprof      bool // profiles on the admin listener
	Tracing    bool // export traces, as the environment variables of OpenTelemetry say

	EgressAllow     []netip.Prefix // addresses that may be dialled although they are not public
	HostConcurrency int            // attempts under way to one host and port; 0 = no bound
	HostRate        Rate           // attempts begun to one host and port

	ValidationBudget time.Duration // for all that is asked about one workflow command; 0 = [DefaultValidationBudget]

	Log *slog.Logger
}

const (
	// apiPatience is how long the table is awaited from the API server before
	// the remembered one is put in force.
	apiPatience = 3 * time.Second
	// drainTime is how long producers' requests may go on after a stop.
	drainTime = 10 * time.Second
	// traceTime is how long the last traces may take to be exported.
	traceTime = 2 * time.Second

	// What a producer's connection may take its time for.
	headerTimeout, readTimeout, idleTimeout = 10 * time.Second, 30 * time.Second, 2 * time.Minute
)

// Run runs a dispatcher until ctx is done, then stops it in order: no more
// requests, no more events out of the store, attempts in flight end, what waited
// goes to the backlog, the store closes. It returns an error when it cannot
// start or cannot go on.
func Run(ctx context.Context, o Options) error {
	d, err := start(ctx, o)
	if err != nil {
		return err
	}
	return d.run(ctx)
}

// dispatcher is what start has opened and run closes.
type dispatcher struct {
	Options
	budget  budget
	started time.Time
	counted atomic.Bool // what the store kept from before the start

	lock   *os.File
	server *embedded.Server
	queue  *queue.Queue

	tracer      *trace.Tracer // nil when off
	client      *egress.Client
	router      *route.Current
	recorder    outcome.Recorder
	keeper      *source.Keeper
	lanes       *deliver.Lanes
	fanout      *fanout.Fanout
	certificate *certificate.Keeper // nil for plain HTTP
	producers   *http.Server
	operator    *http.Server
}

func start(ctx context.Context, o Options) (_ *dispatcher, err error) {
	d := &dispatcher{Options: o, budget: newBudget(), started: time.Now().UTC(), router: new(route.Current), recorder: outcome.NewRecorder()}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if d.lock, err = lockDir(o.Store.DataDir); err != nil {
		return nil, err
	}
	if err = d.openStore(ctx); err != nil {
		return nil, err
	}

	authority, err := newAuthority(o)
	if err != nil {
		return nil, err
	}
	if o.Tracing {
		if d.tracer, err = trace.New(ctx, o.Log); err != nil {
			return nil, err
		}
	}
	metrics := admin.NewRegistry()
	if o.TLS != (TLSFiles{}) {
		if d.certificate, err = certificate.Open(o.TLS, metrics, o.Log); err != nil {
			return nil, err
		}
	}
	d.queue.Register(metrics)
	gate := access.NewGate(authority, metrics, o.Log)
	d.keeper = source.NewKeeper(d.router, o.Store.DataDir, d.tableChanged, metrics, o.Log)
	d.client = egress.New(egress.Options{Allow: o.EgressAllow})
	mint, err := newMint(o)
	if err != nil {
		return nil, err
	}
	d.lanes = deliver.NewLanes(deliver.Options{
		Router: d.router, Backlog: d.queue, Client: d.client, Recorder: d.recorder,
		Credentials: authorize.NewKeeper(authorize.Options{Client: d.client.HTTP(), Mint: mint}),
		Metrics:     deliver.NewMetrics(metrics, deliver.MetricsOptions{PerWebhook: o.PerWebhook}), Log: d.queue, Logger: o.Log,
		Tracer: d.tracer, Leads: d.queue.Leads, HostConcurrency: o.HostConcurrency, HostRate: o.HostRate, Room: d.budget.room,
	})
	d.fanout = fanout.New(d.router, d.lanes, d.recorder, metrics, o.Log)

	mux := http.NewServeMux()
	mux.Handle(ingest.Pattern, gate.Guard(mayPublish, d.tracer.Ingest(ingest.New(trace.Keep(d.queue), metrics, o.Log).Within(d.budget.room).Lenient(o.AnySitecoreData))))
	mux.Handle(workflow.Pattern, gate.Guard(workflow.Attributes, d.tracer.Ingest(workflow.New(workflow.Options{
		Store: trace.Keep(d.queue), Seen: d.queue.Seen, Check: o.commandCheck(), Metrics: metrics, Log: o.Log, Room: d.budget.room,
		Validator: validate.New(validate.Options{
			Router: d.router, Road: d.lanes, Recorder: d.recorder, Metrics: metrics, Log: o.Log, Budget: o.ValidationBudget, Room: d.budget.room,
		}),
	}))))
	operate.New(operate.Options{
		Router: d.router, Lanes: d.lanes, Store: d.queue, Recorder: d.recorder, Kept: max(o.Store.Retention, queue.MinRetention), Log: o.Log,
	}).Mount(mux, gate.Guard)
	mux.HandleFunc("/", nothingHere)
	d.producers = newServer(mux, o.Log)
	var guardProfiles func(http.Handler) http.Handler
	if o.Pprof {
		guardProfiles = func(next http.Handler) http.Handler { return gate.Guard(mayReadProfiles, next) }
	}
	d.operator = newServer(admin.New(admin.Options{
		Live:          []admin.Check{{Name: "store", Look: d.storeWorks}},
		Ready:         d.readiness(),
		Metrics:       metrics,
		Reporter:      d,
		Guard:         func(next http.Handler) http.Handler { return gate.Guard(mayReadReport, next) },
		GuardProfiles: guardProfiles,
	}), o.Log)
	return d, nil
}

// commandCheck is what commands are held against.
func (o Options) commandCheck() func(*event.Event) error {
	if o.AnySitecoreData {
		return nil
	}
	return sitecore.Check
}

// run works until ctx is done or a part fails, and stops the parts in order.
func (d *dispatcher) run(ctx context.Context) error {
	defer d.close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	part := func(wg *sync.WaitGroup, f func() error) {
		wg.Go(func() {
			if err := f(); err != nil {
				cancel(err)
			}
		})
	}

	var servers, feeders, lanes sync.WaitGroup
	lanesCtx, stopLanes := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLanes()
	lanes.Go(func() { d.lanes.Run(lanesCtx) })
	part(&servers, func() error { return serve(d.producers, ingest.Listen(d.producers, d.secure(d.Events))) })
	part(&servers, func() error { return serve(d.operator, d.secure(d.Admin)) })
	if d.certificate != nil {
		servers.Go(func() { d.certificate.Follow(ctx) })
	}
	part(&feeders, func() error { return d.followTable(ctx) })
	part(&feeders, func() error { return d.feed(ctx) })
	d.Log.Info("ready for events", "address", d.Events.Addr().String(), "admin", d.Admin.Addr().String())

	<-ctx.Done()
	d.Log.Info("stopping: attempts in flight are finished first")
	drained, stopDraining := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer stopDraining()
	d.lanes.Halt()
	d.queue.Halt()
	err := d.producers.Shutdown(drained)
	if errors.Is(err, context.DeadlineExceeded) {
		err = d.producers.Close() // an upload that does not end is not accepted, so nothing is lost
	}
	feeders.Wait()
	stopLanes()
	lanes.Wait()
	// The report and health stay until the last attempt has ended. Reports
	// that wait for news are not waited for.
	err = errors.Join(err, d.operator.Close())
	servers.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return err
}

// followTable keeps the routing table in force until ctx is done.
func (d *dispatcher) followTable(ctx context.Context) error {
	if d.RoutesFile != "" {
		return d.keeper.File(ctx, d.RoutesFile)
	}
	client, err := kubernetes.NewForConfig(d.Kubernetes)
	if err != nil {
		return fmt.Errorf("making a client of the API server: %w", err)
	}
	recall := time.AfterFunc(apiPatience, d.keeper.Recall)
	defer recall.Stop()
	return d.keeper.Secrets(ctx, client, d.Namespace)
}

// feed brings what is stored to the lanes, from the first table on.
func (d *dispatcher) feed(ctx context.Context) error {
	select {
	case <-d.keeper.Loaded():
	case <-ctx.Done():
		return nil
	}
	counting := func() error {
		if _, err := d.recount(ctx); err != nil || d.Store.shared() {
			return err
		}
		return d.lanes.Prepare(ctx)
	}
	if err := d.whilePassing(ctx, "counting what is stored", counting); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var consumers sync.WaitGroup
	defer consumers.Wait()
	defer cancel() // first: an error ends them all
	consumers.Go(func() {
		d.recallSuccesses(ctx)
		d.counted.Store(true)
		d.recorder.Touch()
		keepCounting(ctx, d.recount, d.Log)
	})
	take := func(events *fanout.Fanout) {
		consumers.Go(func() { d.queue.Events(ctx, d.lanes.Wait, events.Event) })
		consumers.Go(func() { d.queue.Due(ctx, d.lanes.Wait, d.lanes.Resume) })
	}
	if d.Store.shared() {
		take(d.fanout.Keyless())
		return d.queue.Lead(ctx, d.feedOrdered)
	}
	take(d.fanout)
	consumers.Wait()
	return nil
}

// feedOrdered brings what is ordered to the lanes, where this dispatcher does so
// for all that share the store.
func (d *dispatcher) feedOrdered(ctx context.Context) error {
	if err := d.whilePassing(ctx, "counting what is ordered", func() error { return d.lanes.Prepare(ctx) }); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	var consumers sync.WaitGroup
	defer consumers.Wait()
	consumers.Go(func() { d.queue.OrderedEvents(ctx, d.lanes.Wait, d.fanout.Event) })
	consumers.Go(func() { d.queue.OrderedDue(ctx, d.lanes.Wait, d.lanes.Resume) })
	return nil
}

// tableChanged follows every change of the table or of its state.
func (d *dispatcher) tableChanged() {
	if r := d.router.Load(); r != nil {
		d.recorder.Retain(func(id string) bool { return r.Lookup(id) != nil })
	}
	d.recorder.Touch()
}

// close closes what is open, in the reverse order of start.
func (d *dispatcher) close() {
	if d.queue != nil {
		d.queue.Close()
	}
	if d.server != nil {
		d.server.Close()
	}
	if d.client != nil {
		d.client.CloseIdle()
	}
	drained, stopDraining := context.WithTimeout(context.Background(), traceTime)
	defer stopDraining()
	err := d.tracer.Close(drained)
	if d.lock != nil {
		err = errors.Join(err, d.lock.Close())
	}
	for _, l := range []net.Listener{d.Events, d.Admin} {
		if e := l.Close(); !errors.Is(e, net.ErrClosed) { // the servers have closed them, if they ran
			err = errors.Join(err, e)
		}
	}
	if err != nil {
		d.Log.Warn("closing", "err", err)
	}
}
