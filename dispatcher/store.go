package dispatcher

import (
	"context"
	"time"

	"github.com/postrider/postrider/dispatcher/queue"
	"github.com/postrider/postrider/dispatcher/queue/embedded"
)

// Store says where events and deliveries are kept, and how much of them. Zero
// values of its optional members take the defaults of [queue.Options].
type Store struct {
	DataDir  string        // of the embedded store, and of the table that is remembered; created when absent
	MaxBytes int64         // room for what is stored
	MinFree  uint64        // bytes that must be left on the disk of the embedded store
	NATS     queue.Servers // a cluster instead of the embedded store, if it has URLs
	Replicas int           // of each stream of the cluster
	SyncLazy bool          // the embedded store answers before its disk has

	NamespaceShare float64       // of MaxBytes, for what one namespace is owed; optional
	Retention      time.Duration // of settled events, to be sent again; optional
	RetentionBytes int64         // of them; optional
	DeadLetterAge  time.Duration // optional
	AttemptAge     time.Duration // of the attempt log; optional
}

// shared reports whether other dispatchers may use the same store.
func (s *Store) shared() bool { return len(s.NATS.URLs) > 0 }

// openStore opens the queue, and the server that it is on unless that is a cluster.
func (d *dispatcher) openStore(ctx context.Context) error {
	o := queue.Options{
		MaxBytes: d.Store.MaxBytes, NamespaceShare: d.Store.NamespaceShare,
		Retention: d.Store.Retention, RetentionBytes: d.Store.RetentionBytes,
		DeadLetterAge: d.Store.DeadLetterAge, AttemptAge: d.Store.AttemptAge,
		Room: d.budget.room, Log: d.Log,
	}
	if d.Store.shared() {
		return d.openCluster(ctx, o)
	}
	return d.openEmbedded(ctx, o)
}

func (d *dispatcher) openCluster(ctx context.Context, o queue.Options) error {
	o.Replicas, o.Ordered = d.Store.Replicas, d.orders
	return d.whilePassing(ctx, "opening the store", func() error {
		nc, err := queue.Connect(d.Store.NATS)
		if err != nil {
			return err
		}
		d.queue, err = queue.Open(ctx, nc, o)
		return err
	})
}

// orders reports whether a namespace orders any deliveries. It may, as long as
// there is no table.
func (d *dispatcher) orders(namespace string) bool {
	r := d.router.Load()
	return r == nil || r.Orders(namespace)
}

// whilePassing tries what it does again for as long as a cluster is between two leaders.
func (d *dispatcher) whilePassing(ctx context.Context, what string, try func() error) error {
	for {
		err := try()
		if err == nil || !queue.Passing(err) {
			return err
		}
		d.Log.Info("the store is not ready yet, trying again", "what", what, "err", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (d *dispatcher) openEmbedded(ctx context.Context, o queue.Options) error {
	var err error
	if d.server, err = embedded.Start(d.Store.DataDir, !d.Store.SyncLazy, d.Log); err != nil {
		return err
	}
	nc, err := d.server.Connect()
	if err != nil {
		return err
	}
	o.Exclusive, o.Alive = true, d.server.Healthy
	o.Pace = d.budget.pace
	o.MinFree, o.Free = d.Store.MinFree, func() (uint64, error) { return embedded.Free(d.Store.DataDir) }
	if d.queue, err = queue.Open(ctx, nc, o); err != nil {
		return err
	}
	return d.server.LimitCaches()
}

// recount takes over what the store keeps for each route, and reports whether
// that was known already.
func (d *dispatcher) recount(ctx context.Context) (agreed bool, err error) {
	stored, dead, err := d.queue.Counts(ctx)
	if err != nil {
		return false, err
	}
	return d.recorder.Recount(stored, dead), nil
}

// recallSuccesses takes over when each route last took a delivery: whoever counts
// failures in a row may not have been there then. The attempt log may be away.
func (d *dispatcher) recallSuccesses(ctx context.Context) {
	newest, err := d.queue.Successes(ctx)
	if err != nil && ctx.Err() == nil {
		d.Log.Warn("the attempt log cannot be read: failures in a row may be counted that a success has ended", "err", err)
	}
	router := d.router.Load()
	for id, at := range newest {
		if router.Lookup(id) != nil {
			d.recorder.Succeeded(id, at)
		}
	}
}
